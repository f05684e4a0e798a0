"""Corpora that are made on the spot, from what is installed: for policies that need no data of their own.

``generated-and-photographs``: samples of one shipped generator, enlarged to 256 pixels, and crops of
256 pixels of the photographs that come with scikit-learn. Both labels are packed
alike: PNG, equal sides, no metadata. Enlarged samples hold less detail than photographs do, so this
is an easy set: good for "do the shipped weights work", no more.

``signed-samples``: samples of a shipped generator that were signed by the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from countermark.app.rooms import Rooms
from countermark.core.corpus import CorpusRow, write_metadata
from countermark.core.images import Pixels, write_image
from countermark.core.perturb import resize_to
from countermark.core.registry import Registry
from countermark.core.seeds import rng

Make = Callable[[Path, int, int, Rooms], None]


@dataclass(frozen=True)
class Maker:
    """Writes a labelled corpus: ``make(folder, count, seed, rooms)``; ``count`` synthetic images."""

    make: Make
    summary: str


MAKERS: Registry[Maker] = Registry("made corpus")


def photographs() -> dict[str, Pixels]:
    """Photographs that scikit-learn brings along, by name; uint8 RGB."""
    from sklearn.datasets import load_sample_images

    bunch = load_sample_images()
    return {
        Path(name).stem: np.ascontiguousarray(image)
        for name, image in zip(bunch.filenames, bunch.images, strict=True)
    }


def crops(count: int, side: int, seed: int) -> list[tuple[str, Pixels]]:
    """``count`` square crops of the photographs, in turn, shrunk to ``side``; name and pixels."""
    pictures = photographs()
    names = sorted(pictures)
    rows = []
    for number in range(count):
        name = names[number % len(names)]
        picture, generator = pictures[name], rng(seed, "crop", number)
        short = min(picture.shape[:2])
        size = int(generator.integers(max(side, short // 3), short + 1))
        top = int(generator.integers(picture.shape[0] - size + 1))
        left = int(generator.integers(picture.shape[1] - size + 1))
        rows.append((name, resize_to(picture[top : top + size, left : left + size], side, side)))
    return rows


#: The generator that is sampled; pinned, so that a new model in the package changes no evidence.
GENERATOR = "clothing-64"
SIDE = 256


def _enlarged(count: int, seed: int, rooms: Rooms) -> list[Pixels]:
    return [resize_to(p, SIDE, SIDE) for p in rooms.load_generator(GENERATOR).sample(count, seed=seed)]


def _generated_and_photographs(folder: Path, count: int, seed: int, rooms: Rooms) -> None:
    rows = []
    for number, picture in enumerate(_enlarged(count, seed, rooms)):
        file = f"synthetic/{GENERATOR}-{number:04d}.png"
        write_image(folder / file, picture)
        rows.append(CorpusRow(file, "synthetic", generator=GENERATOR, source="made", seed=str(seed + number)))
    for number, (name, picture) in enumerate(crops(count, SIDE, seed)):
        file = f"real/{name}-{number:04d}.png"
        write_image(folder / file, picture)
        rows.append(CorpusRow(file, "real", source=name))
    write_metadata(folder, rows)


def _signed_samples(folder: Path, count: int, seed: int, rooms: Rooms) -> None:
    rows = []
    for number, picture in enumerate(_enlarged(count, seed, rooms)):
        source = folder.parent / f"{folder.name}-unsigned" / f"{number:04d}.png"
        write_image(source, picture)
        rooms.sign(source, folder / f"{number:04d}.png", GENERATOR)
        rows.append(CorpusRow(f"{number:04d}.png", "synthetic", generator=GENERATOR, seed=str(seed + number)))
    write_metadata(folder, rows)


MAKERS.register(
    "generated-and-photographs",
    Maker(_generated_and_photographs, "samples of a shipped generator, crops of installed photographs"),
)
MAKERS.register("signed-samples", Maker(_signed_samples, "signed samples of a shipped generator"))
