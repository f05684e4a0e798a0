"""The picture of docs/conditional.md that shows doodles, each drawn four times.

python tools/sketch_examples.py docs/images/conditional-sketch.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from countermark.core.images import Pixels, write_image
from countermark.generators.grids import sheet
from countermark.generators.library import load_generator

SIDE, LARGE = 128, 512
SEEDS = 4
INK = (24, 24, 28)

#: Closed lines of each doodle in points of 128 x 128.
LINES = (
    [[(40, 20), (52, 26), (76, 26), (88, 20), (118, 44), (104, 60), (94, 50), (94, 112), (34, 112), (34, 50),
      (24, 60), (10, 44)]],
    [[(44, 10), (84, 10), (94, 118), (72, 118), (64, 50), (56, 118), (34, 118)]],
    [[(36, 34), (92, 34), (104, 92), (68, 94), (64, 66), (60, 94), (24, 92)]],
    [[(46, 16), (82, 16), (92, 22), (112, 110), (94, 114), (88, 60), (88, 116), (40, 116), (40, 60),
      (34, 114), (16, 110), (36, 22)], [(64, 18), (64, 116)]],
    [[(50, 10), (54, 30), (74, 30), (78, 10), (84, 50), (106, 116), (22, 116), (44, 50)]],
    [[(50, 10), (54, 30), (74, 30), (78, 10), (84, 50), (106, 116), (22, 116), (44, 50)]],
)  # fmt: skip
#: A stroke in colour on the last two.
STROKES = {4: (210, 40, 40), 5: (30, 90, 200)}


def doodles() -> list[Pixels]:
    """Doodles on white paper, uint8 [512, 512, 3]."""
    pages = []
    for number, lines in enumerate(LINES):
        page = np.full((LARGE, LARGE, 3), 255, np.uint8)
        for line in lines:
            points = (np.array(line) * LARGE // SIDE).astype(np.int32)
            cv2.polylines(page, [points], True, INK, 7, cv2.LINE_AA)
        if number in STROKES:
            cv2.line(page, (210, 250), (300, 250), STROKES[number], 26, cv2.LINE_AA)
        pages.append(page)
    return pages


def main() -> None:
    generator = load_generator("sketch-clothing-128")
    rows = []
    for page in doodles():
        shown = cv2.resize(page, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        rows.append(np.concatenate([shown[None], generator.sample(SEEDS, seed=0, condition=page)]))
    write_image(Path(sys.argv[1]), sheet(np.concatenate(rows), columns=SEEDS + 1), overwrite=True)


if __name__ == "__main__":
    main()
