"""The picture of docs/conditional.md that shows layouts: scribbles and a photograph, painted anew.

python tools/layout_examples.py docs/images/conditional-layout.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from countermark.core.images import Pixels, write_image
from countermark.generators.base import to_pixels
from countermark.generators.families.painter import layout_of
from countermark.generators.grids import sheet
from countermark.generators.library import load_generator

SIDE = 128
SEEDS = 4


def scribbles() -> list[tuple[str, str | None, Pixels]]:
    """Generator, class and drawing of each row; RGB."""
    shirt = np.full((SIDE, SIDE, 3), (236, 224, 206), np.uint8)
    outline = np.array(
        [
            [44, 26],
            [84, 26],
            [116, 48],
            [104, 64],
            [92, 54],
            [92, 112],
            [36, 112],
            [36, 54],
            [24, 64],
            [12, 48],
        ]
    )
    cv2.fillPoly(shirt, [outline], (196, 40, 44))
    cv2.circle(shirt, (64, 24), 12, (236, 224, 206), -1)
    trousers = np.full((SIDE, SIDE, 3), (205, 210, 214), np.uint8)
    cv2.fillPoly(
        trousers,
        [np.array([[40, 10], [88, 10], [98, 120], [70, 120], [64, 50], [58, 120], [30, 120]])],
        (38, 62, 118),
    )
    flower = np.full((SIDE, SIDE, 3), (52, 92, 44), np.uint8)
    for angle in np.linspace(0, 2 * np.pi, 11)[:-1]:
        tip = (int(64 + 34 * np.cos(angle)), int(60 + 34 * np.sin(angle)))
        cv2.ellipse(
            flower,
            ((64 + tip[0]) // 2, (60 + tip[1]) // 2),
            (20, 9),
            np.degrees(angle),
            0,
            360,
            (246, 214, 40),
            -1,
        )
    cv2.circle(flower, (64, 60), 13, (92, 52, 24), -1)
    scene = np.full((SIDE, SIDE, 3), (150, 186, 222), np.uint8)
    cv2.circle(scene, (96, 26), 20, (232, 232, 226), -1)
    for corners, colour in (
        ([(0, 70), (36, 50), (80, 66), (128, 56), (128, 90), (0, 90)], (96, 116, 136)),
        ([(0, 84), (128, 74), (128, 128), (0, 128)], (122, 138, 66)),
        ([(62, 79), (78, 78), (56, 128), (0, 128), (0, 122)], (168, 186, 204)),
        ([(92, 30), (112, 34), (120, 62), (110, 84), (96, 84), (86, 58)], (56, 78, 38)),
    ):
        cv2.fillPoly(scene, [np.array(corners)], colour)
    return [
        ("landscapes-256", "sisley", scene),
        ("landscapes-256", "van-gogh", scene),
        ("clothing-256", "t-shirt", shirt),
        ("clothing-256", "pants", trousers),
        ("flowers-128", "sunflower", flower),
    ]


def photograph() -> tuple[str, str | None, Pixels]:
    """scikit-learn's photograph of a flower, its middle square."""
    from sklearn.datasets import load_sample_image

    pixels = np.ascontiguousarray(load_sample_image("flower.jpg"))
    left = (pixels.shape[1] - pixels.shape[0]) // 2
    square = pixels[:, left : left + pixels.shape[0]]
    return "flowers-128", "daisy", cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def main(target: Path) -> None:
    shown: list[Pixels] = []
    for name, kind, drawing in [*scribbles(), photograph()]:
        loaded = load_generator(name)
        cells = to_pixels(layout_of(drawing, 16))[0]
        small = cv2.resize(cells, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
        drawn = loaded.sample(SEEDS, seed=0, condition=kind, layout=drawing)
        alike = [cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for one in drawn]
        shown += [drawing, small, *alike]
    write_image(target, sheet(np.stack(shown), columns=2 + SEEDS), overwrite=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
