"""Samples for the expert: views of portraits as they came, retouched, and with a face put in.

    python -m face_training.samples PORTRAITS SAMPLES --autoencoder FILE [--per 2] [--seed 1]

SAMPLES gets ``views.npy`` (uint8 [n, 2, 224, 224, 3]) and ``samples.json``. AUTOENCODER is a tiny
autoencoder as ``detectors.recipes.twins.load_autoencoder`` reads it.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from countermark.core.images import Pixels
from countermark.core.seeds import rng
from countermark.detectors.faces.find import Face
from countermark.detectors.faces.views import face_views
from countermark.detectors.recipes.twins import load_autoencoder
from face_training.blending import KINDS, SHARES, Portrait, Reconstruct, blend, delivered, retouched
from face_training.portraits import Row, read_rows, scaled

VIEWS, LIST = "views.npy", "samples.json"
#: Faces of one source; pixels of a portrait's longer side, and of a face's that is laid over.
MOST, LARGEST, DONOR = 150, 900, 600
#: Donors are the nearest in pose of so many drawn ones.
DRAWN = 40
#: Share of the training portraits that are retouched (of the others all are).
RETOUCHED = 0.25


def pose(row: Row) -> np.ndarray:
    """Where the nose and the mouth lie from the eyes, along and across their line, in widths of the box."""
    marks = np.array(row.landmarks)
    eyes, across = (marks[0] + marks[1]) / 2, marks[1] - marks[0]
    across = across / (np.linalg.norm(across) + 1e-6)
    down = np.array([-across[1], across[0]])
    nose, mouth = marks[2] - eyes, marks[3] - eyes
    return np.array([nose @ across, nose @ down, mouth @ down]) / row.box[2]


def samples(
    folder: Path, reconstruct: Reconstruct, *, per: int, seed: int
) -> Iterator[tuple[np.ndarray, dict]]:
    """Views and what is known of them; ``per`` faces put in a training portrait, one in the others."""
    by_source: dict[str, list[Row]] = defaultdict(list)
    for row in read_rows(folder):
        by_source[row.source].append(row)
    rows = []
    for source, mine in sorted(by_source.items()):
        rng(seed, "faces", source).shuffle(mine)  # type: ignore[arg-type]
        rows += mine[:MOST]
    by_part = {part: [row for row in rows if row.part == part] for part in ("train", "calibrate", "test")}
    for row in rows:
        generator = rng(seed, "sample", row.file)
        portrait = row.load(folder, LARGEST)
        others = [each for each in by_part[row.part] if each.picture != row.picture]
        drawn = [others[int(n)] for n in generator.integers(len(others), size=DRAWN)]
        near = sorted(drawn, key=lambda each: float(np.abs(pose(each) - pose(row)).sum()))[:2]
        donors = [each.load(folder, DONOR) for each in near]
        training = row.part == "train"
        yield _sample(portrait, delivered(portrait.pixels, generator), row, 0, "real")
        if not training:
            yield _sample(portrait, portrait.pixels, row, 0, "native")
        if not training or generator.random() < RETOUCHED:
            changed = delivered(retouched(portrait, generator), generator)
            yield _sample(portrait, changed, row, 0, "retouched")
        for _ in range(per if training else 1):
            kind = str(generator.choice(KINDS, p=SHARES))
            pixels, made = blend(portrait, donors, generator, reconstruct, kind)
            yield _sample(portrait, delivered(pixels, generator), row, 1, made)


def _sample(portrait: Portrait, pixels: Pixels, row: Row, label: int, kind: str) -> tuple[np.ndarray, dict]:
    face: Face = scaled(portrait.face, pixels.shape[1] / portrait.pixels.shape[1])
    known = {"source": row.source, "part": row.part, "picture": row.picture, "label": label, "kind": kind}
    return face_views(pixels, face), known | {"width": face.box[2]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("portraits", type=Path)
    parser.add_argument("samples", type=Path)
    parser.add_argument("--autoencoder", type=Path, required=True)
    parser.add_argument("--per", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    reconstruct = load_autoencoder(options.autoencoder)
    views, known = [], []
    for view, each in samples(options.portraits, reconstruct, per=options.per, seed=options.seed):
        views.append(view)
        known.append(each)
        if len(views) % 200 == 0:
            print(len(views), flush=True)
    options.samples.mkdir(parents=True, exist_ok=True)
    np.save(options.samples / VIEWS, np.stack(views))
    (options.samples / LIST).write_text(json.dumps(known), encoding="utf-8")


if __name__ == "__main__":
    main()
