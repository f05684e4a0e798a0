"""Samples for the expert: portraits as they came, retouched, and with a face put in, each delivered somehow.

    python -m face_training.samples PORTRAITS SAMPLES --autoencoder FILE [--part train] [--rounds 2]

SAMPLES gets PNGs and ``PART.json``: label, source, box, landmarks; a PNG of the
mask beside each that has one. AUTOENCODER is a tiny autoencoder as ``detectors.recipes.twins`` reads it.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from countermark.core.images import Pixels, encode_image
from countermark.core.seeds import rng
from countermark.detectors.faces.find import Face
from countermark.detectors.recipes.twins import load_autoencoder
from face_training.blending import KINDS, SHARES, Portrait, Reconstruct, blend, delivered, retouched
from face_training.portraits import Row, read_rows, scaled

#: Faces of one source; pixels of a portrait's longer side, of a face's that is laid over, of a sample's.
MOST, FULL, DONOR, LARGEST = 150, 1000, 600, 448
#: Donors are the nearest in pose of so many drawn ones.
DRAWN = 40
#: Share of the training portraits that are retouched (of the others all are).
RETOUCHED = 0.25


@dataclass(frozen=True)
class Sample:
    """A portrait, the share of every pixel that is new (None: none is), and what is known of it."""

    pixels: Pixels
    face: Face
    mask: np.ndarray | None
    source: str
    kind: str


def pose(row: Row) -> np.ndarray:
    """Where the nose and the mouth lie from the eyes, along and across their line, in widths of the box."""
    marks = np.array(row.landmarks)
    eyes, across = (marks[0] + marks[1]) / 2, marks[1] - marks[0]
    across = across / (np.linalg.norm(across) + 1e-6)
    down = np.array([-across[1], across[0]])
    nose, mouth = marks[2] - eyes, marks[3] - eyes
    return np.array([nose @ across, nose @ down, mouth @ down]) / row.box[2]


def samples(folder: Path, reconstruct: Reconstruct, part: str, *, rounds: int, seed: int) -> Iterator[Sample]:
    """Of every portrait of a part and in every round one as it came and one with a face put in."""
    by_source: dict[str, list[Row]] = defaultdict(list)
    for row in read_rows(folder):
        if row.part == part:
            by_source[row.source].append(row)
    rows: list[Row] = []
    for source, mine in sorted(by_source.items()):
        order = rng(seed, "faces", source).permutation(len(mine))[:MOST]
        rows += [mine[int(place)] for place in order]
    for number, row in enumerate([rows[int(n)] for n in rng(seed, part).permutation(len(rows))]):
        portrait = row.load(folder, FULL)
        others = [each for each in rows if each.picture != row.picture] or [row]
        for turn in range(rounds):
            generator = rng(seed, "sample", row.file, turn)
            drawn = [others[int(n)] for n in generator.integers(len(others), size=DRAWN)]
            near = sorted(drawn, key=lambda each: float(np.abs(pose(each) - pose(row)).sum()))[:2]
            donors = [each.load(folder, DONOR) for each in near]
            yield _sample(portrait, portrait.pixels, None, row.source, "real", generator)
            if part != "train" or generator.random() < RETOUCHED:
                changed = retouched(portrait, generator)
                yield _sample(portrait, changed, None, row.source, "retouched", generator)
            kind = str(generator.choice(KINDS, p=SHARES))
            pixels, mask, made = blend(portrait, donors, generator, reconstruct, kind)
            yield _sample(portrait, pixels, mask, row.source, made, generator)
        if number % 50 == 49:
            print(number + 1, "of", len(rows), flush=True)


def _sample(
    portrait: Portrait,
    pixels: Pixels,
    mask: np.ndarray | None,
    source: str,
    kind: str,
    generator: np.random.Generator,
) -> Sample:
    """Every second one is reduced before it is delivered, as pictures are before they are sent."""
    scale = min(1.0, LARGEST / max(pixels.shape[:2]))
    if scale < 1 and generator.random() < 0.5:
        size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    sent = delivered(pixels, generator)
    factor = sent.shape[1] / portrait.pixels.shape[1]
    if mask is not None:
        mask = cv2.resize(mask, sent.shape[1::-1], interpolation=cv2.INTER_AREA)
    return Sample(sent, scaled(portrait.face, factor), mask, source, kind)


def write_samples(found: Iterator[Sample], folder: Path, part: str) -> None:
    """Writes what ``read_samples`` reads."""
    (folder / part).mkdir(parents=True, exist_ok=True)
    listed = []
    for number, sample in enumerate(found):
        name = f"{part}/{number:05}"
        (folder / f"{name}.png").write_bytes(encode_image(sample.pixels, "png"))
        if sample.mask is not None:
            cv2.imwrite(str(folder / f"{name}-mask.png"), np.round(sample.mask * 255).astype(np.uint8))
        entry = {"file": name, "source": sample.source, "kind": sample.kind, "new": sample.mask is not None}
        entry |= {"box": sample.face.box, "landmarks": sample.face.landmarks, "score": sample.face.score}
        listed.append(entry)
    (folder / f"{part}.json").write_text(json.dumps(listed), encoding="utf-8")


def read_samples(folder: Path, part: str) -> Iterator[Sample]:
    """The samples of a part, in order."""
    for entry in json.loads((folder / f"{part}.json").read_text("utf-8")):
        pixels = cv2.cvtColor(cv2.imread(str(folder / f"{entry['file']}.png")), cv2.COLOR_BGR2RGB)
        mask = None
        if entry["new"]:
            stored = cv2.imread(str(folder / f"{entry['file']}-mask.png"), cv2.IMREAD_GRAYSCALE)
            mask = stored.astype(np.float32) / 255
        marks = tuple((float(x), float(y)) for x, y in entry["landmarks"])
        face = Face(tuple(entry["box"]), entry["score"], marks)
        yield Sample(pixels, face, mask, entry["source"], entry["kind"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("portraits", type=Path)
    parser.add_argument("samples", type=Path)
    parser.add_argument("--autoencoder", type=Path, required=True)
    parser.add_argument("--part", default="train")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    reconstruct = load_autoencoder(options.autoencoder)
    found = samples(options.portraits, reconstruct, options.part, rounds=options.rounds, seed=options.seed)
    write_samples(found, options.samples, options.part)


if __name__ == "__main__":
    main()
