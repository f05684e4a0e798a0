"""Portraits: every face of a labelled corpus, cut out with its surroundings; whole sources apart.

    python -m face_training.portraits CORPUS PORTRAITS

PORTRAITS gets a PNG a face and ``portraits.jsonl``: source, the picture's SHA-256, box and landmarks.
Interrupted runs go on where they stopped.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from countermark.core.corpus import read_corpus
from countermark.core.errors import CountermarkError
from countermark.core.images import Pixels, encode_image, read_image
from countermark.detectors.faces.find import Face, find_faces
from face_training.blending import Portrait

ROWS = "portraits.jsonl"
#: Sides of what is cut out, as a multiple of the face's box; its largest side in pixels.
AROUND, LARGEST = 2.4, 1400
#: Faces a picture, pictures a source, and the narrowest face that is kept, in pixels.
FACES, PICTURES, NARROWEST = 4, 120, 72
#: Sources whose portraits no head is fitted on: for thresholds, and for figures. Of the latter the region
#: network, which the expert starts from, has not met any either (``region_training.pairs.part_of``).
CALIBRATION = frozenset(
    "kotayoshida-film krssg-team photoleonov-portraits themillionphotos-wedding yuldybaeva-studio "
    "amaanakhtar-photo cheeyun-portraits jpphoto-portraits".split()
)
TEST = frozenset(
    "nattarography-photo rendezvous-beauty korylprince-engagement carolynwang-photo utahrenfaire-photo "
    "tylercr-photo website-templates".split()
)


@dataclass(frozen=True)
class Row:
    """One face: its file, relative to the folder, and where the face lies in it."""

    file: str
    source: str
    picture: str
    box: tuple[float, float, float, float]
    score: float
    landmarks: tuple[tuple[float, float], ...]

    @property
    def part(self) -> str:
        """``train``, ``calibrate`` or ``test``: by the source alone."""
        if self.source in TEST:
            return "test"
        return "calibrate" if self.source in CALIBRATION else "train"

    def load(self, folder: Path, largest: int = LARGEST) -> Portrait:
        """The portrait, no side longer than ``largest`` pixels."""
        pixels = read_image(folder / self.file).pixels
        scale = min(1.0, largest / max(pixels.shape[:2]))
        if scale < 1:
            pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return Portrait(pixels, scaled(Face(self.box, self.score, self.landmarks), scale))


def scaled(face: Face, scale: float, left: float = 0.0, top: float = 0.0) -> Face:
    """The face in a picture that was cut at (left, top) and then resized by ``scale``."""
    x, y, wide, high = face.box
    box = ((x - left) * scale, (y - top) * scale, wide * scale, high * scale)
    marks = tuple(((a - left) * scale, (b - top) * scale) for a, b in face.landmarks)
    return Face(box, face.score, marks)


def cut_out(image: Pixels, face: Face) -> Portrait:
    """The face with its surroundings, within the picture; the cut lies on the grid of 8 pixels."""
    x, y, wide, high = face.box
    side = AROUND * max(wide, high)
    left, top = (int(max(0.0, n)) // 8 * 8 for n in (x + wide / 2 - side / 2, y + high / 2 - side / 2))
    right, bottom = int(x + wide / 2 + side / 2), int(y + high / 2 + side / 2)
    pixels = np.ascontiguousarray(image[top : max(bottom, top + 1), left : max(right, left + 1)])
    scale = min(1.0, LARGEST / max(pixels.shape[:2]))
    if scale < 1:
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return Portrait(pixels, scaled(face, scale, left, top))


def read_rows(folder: Path) -> list[Row]:
    """The rows of a folder of portraits."""
    rows = []
    for line in (folder / ROWS).read_text("utf-8").splitlines():
        found = json.loads(line)
        marks = tuple((float(x), float(y)) for x, y in found.pop("landmarks"))
        rows.append(Row(**{**found, "box": tuple(found["box"])}, landmarks=marks))
    return rows


def gather(corpus: Path, folder: Path) -> None:
    """Cuts the faces of the corpus' real pictures out, source by source."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / ROWS
    done = {row.picture for row in read_rows(folder)} if log.exists() else set()
    counts: dict[str, int] = {}
    with log.open("a", encoding="utf-8") as stream:
        for row in read_corpus(corpus).rows:
            counts[row.source] = counts.get(row.source, 0) + (row.label == "real")
            if row.label != "real" or counts[row.source] > PICTURES or row.sha256 in done:
                continue
            try:
                image = read_image(corpus / row.file_name).pixels
            except CountermarkError:
                continue
            for number, face in enumerate(find_faces(image, smallest=NARROWEST, most=FACES)):
                portrait = cut_out(image, face)
                name = f"{row.source}/{row.sha256[:12]}-{number}.png"
                (folder / row.source).mkdir(exist_ok=True)
                (folder / name).write_bytes(encode_image(portrait.pixels, "png"))
                at = portrait.face
                entry = {"file": name, "source": row.source, "picture": row.sha256, "box": at.box}
                entry |= {"score": at.score, "landmarks": at.landmarks}
                stream.write(json.dumps(entry) + "\n")
                stream.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    gather(arguments.corpus, arguments.folder)
