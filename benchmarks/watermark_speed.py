"""How long marking and reading take, by size of the picture.

    python benchmarks/watermark_speed.py FOLDER [FOLDER ...] --megapixels 0.4 1 12 --count 50 --out docs

Pictures that are larger are scaled down, smaller ones left out. CPU time of one thread, the least of three:
marking, the fast read, the search when the picture was turned by 5 degrees, and the search when there is no
mark. Writes ``watermark-speed.md``: medians, and the slowest tenth's least.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from watermark import choose, prepare, timed

from countermark.core.perturb import perturb
from countermark.provenance import watermark

PAYLOAD = b"8 bytes!"
COLUMNS = ("encode", "fast read", "search, found", "search, nothing there")
#: Share of the stated size that a picture must have.
LEAST = 0.98


def measure(image: np.ndarray) -> list[float] | None:
    """Milliseconds a megapixel for each of ``COLUMNS``, NaN where the search did not find the mark."""
    size = image.shape[0] * image.shape[1] / 1e6
    try:
        marked, marking = timed(lambda: watermark.embed(image, PAYLOAD))
    except watermark.WatermarkError:
        return None
    turned = perturb("rotate:5", marked)
    found, search = timed(lambda: watermark.read(turned, time_budget=None))
    if found.payload != PAYLOAD:
        search = float("nan")
    reading = timed(lambda: watermark.read(marked, search=False))[1]
    nothing = timed(lambda: watermark.read(image, time_budget=None))[1]
    turned_size = turned.shape[0] * turned.shape[1] / 1e6
    return [
        1e3 * t / s for t, s in ((marking, size), (reading, size), (search, turned_size), (nothing, size))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--megapixels", nargs="+", type=float, default=[0.4, 1.0, 12.0])
    parser.add_argument("--count", type=int, default=50, help="pictures of each size, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    paths = choose(arguments.folders, 10**6, arguments.seed)
    lines = [
        "| megapixels | pictures (refused) | " + " | ".join(f"{name}, ms/MP" for name in COLUMNS) + " |",
        "|---" * (len(COLUMNS) + 2) + "|",
    ]
    for size in arguments.megapixels:
        rows: list[list[float]] = []
        refused = 0
        for path in paths:
            if len(rows) == arguments.count:
                break
            image = prepare(path, size)
            if image.shape[0] * image.shape[1] < LEAST * size * 1e6:
                continue
            row = measure(image)
            if row is None:
                refused += 1
            else:
                rows.append(row)
        if not rows:
            continue
        middle, slow = np.nanmedian(rows, axis=0), np.nanquantile(rows, 0.9, axis=0)
        cells = (f"{m:.0f} ({s:.0f})" for m, s in zip(middle, slow, strict=True))
        lines.append(f"| {size:g} | {len(rows)} ({refused}) | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    text = "\n".join([*lines, "", "Medians; in brackets what the slowest tenth needs at least.", ""])
    (arguments.out / "watermark-speed.md").write_text(text)


if __name__ == "__main__":
    main()
