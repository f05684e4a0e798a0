"""Photographs and their synthetic copies, cut out once and kept: what training composes pictures from.

    python -m region_training.pairs CORPUS OUT --part train --autoencoder FILE --networks FOLDER

Whole sources go into one part each: ``train``, ``calibrate`` or ``test``. A cutting is ``PHOTO/photo.png``
with a file for each maker beside it. Work that was interrupted is taken up again.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from countermark.core.corpus import CorpusRow, read_corpus
from countermark.core.errors import CountermarkError
from countermark.core.images import Pixels, read_image
from countermark.core.perturb import perturb
from countermark.core.seeds import derive, rng
from countermark.detectors.recipes.twins import cut_to_multiple
from region_training.makers import HELD_OUT, makers

PARTS = {"train": 0.5, "calibrate": 0.22, "test": 0.28}
SEED = 57
#: How often a maker is used, where it is not on every photograph.
SHARES = {"autoencoder": 0.8, "rrdb-x4": 0.2, "compact-x4": 0.4, "upconv-denoise-x2": 0.25}
USUAL = 0.35
#: With ``--one``: lots of the autoencoder beyond its own; it stands for the decoders of diffusion models.
AGAIN = 4


def part_of(source: str) -> str:
    """The part that a source belongs to, by its name alone."""
    place = derive(SEED, "part", source) % 1000 / 1000
    for part, share in PARTS.items():
        place -= share
        if place < 0:
            return part
    return "test"


def chosen(rows: list[CorpusRow], part: str, each: int) -> list[CorpusRow]:
    """At most ``each`` photographs of every source of a part, in a lot's order."""
    by_source: dict[str, list[CorpusRow]] = defaultdict(list)
    for row in rows:
        if not row.is_synthetic and part_of(row.source) == part:
            by_source[row.source].append(row)
    found = []
    for source in sorted(by_source):
        lot = sorted(by_source[source], key=lambda row: derive(SEED, "lot", row.file_name))
        found += lot[:each]
    return sorted(found, key=lambda row: derive(SEED, "order", row.file_name))


def cutting(picture: Pixels, side: int, generator: np.random.Generator) -> Pixels | None:
    """A crop of ``side``, as often as not of a picture that was made smaller and saved before.

    Its place is a multiple of 8 more often than not: the grid of an earlier JPEG then fits a later one.
    """
    short = min(picture.shape[:2])
    if short < side:
        return None
    if generator.random() < 0.5 and short > side * 1.15:
        factor = float(generator.uniform(max(side / short, 0.3), 1))
        picture = perturb(f"resize:{factor}", picture)
        if generator.random() < 0.75:
            picture = perturb(f"jpeg:{int(generator.integers(75, 97))}", picture)
    step = 8 if generator.random() < 0.75 else 1
    top, left = (int(generator.integers((n - side) // step + 1)) * step for n in picture.shape[:2])
    return cut_to_multiple(picture[top : top + side, left : left + side])


def save(path: Path, picture: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--part", choices=list(PARTS), default="train")
    parser.add_argument("--each", type=int, default=14)
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--autoencoder", type=Path)
    parser.add_argument("--networks", type=Path)
    parser.add_argument("--only", nargs="*", help="Makers that are used; all of them by default.")
    parser.add_argument("--one", action="store_true", help="One maker a photograph, held-out ones too.")
    options = parser.parse_args()
    known = makers(options.networks, options.autoencoder)
    if options.only is not None:
        known = {name: maker for name, maker in known.items() if name in options.only}
    loaded: dict[str, object] = {}
    rows = chosen(list(read_corpus(options.corpus).rows), options.part, options.each)
    print(len(rows), "photographs of", len({row.source for row in rows}), "sources", flush=True)
    for number, row in enumerate(rows):
        folder = options.out / options.part / f"{row.source}-{row.sha256[:12]}"
        if (folder / "done").exists():
            continue
        generator = rng(SEED, "cutting", row.file_name)
        try:
            picture = read_image(options.corpus / row.file_name).pixels
        except CountermarkError:
            continue
        cut = cutting(picture, options.side, generator)
        if cut is None:
            continue
        save(folder / "photo.png", cut)
        if options.one:
            lot = [*sorted(known), *["autoencoder"] * (AGAIN if "autoencoder" in known else 0)]
            names = [lot[int(generator.integers(len(lot)))]]
        else:
            learnt = [name for name in sorted(known) if name not in HELD_OUT]
            names = [name for name in learnt if generator.random() < SHARES.get(name, USUAL)]
        for name in names:
            if name not in loaded:
                loaded[name] = known[name]()
            save(folder / f"{name}.png", loaded[name](cut, generator))  # type: ignore[operator]
        (folder / "done").touch()
        if number % 20 == 0:
            print(number, flush=True)


if __name__ == "__main__":
    main()
