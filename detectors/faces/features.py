"""Features of a face: how fine its pixels are inside, and around it, by a network that looks at blocks.

The network is a region network (``detectors.regions``), trained further on faces: it describes every block
of 8 x 8 pixels by what is fine in it. A face that was put in has another history than what is around it.
"""

from __future__ import annotations

import cv2
import numpy as np

from countermark.core.images import Pixels
from countermark.detectors.faces.blocks import inside_and_around
from countermark.detectors.faces.find import Face
from countermark.detectors.regions.engine import RegionEngine
from countermark.detectors.regions.shape import BLOCK, EMBEDDED, SPREAD

#: What is looked at of a picture, in sides of the finder's box; larger cuts are reduced to so many pixels.
CUT, LARGEST = 2.4, 1024
#: Fewest blocks inside of a face and around it.
FEWEST = 6
#: Mean and spread inside and around, their difference in spreads, the region head's logits of both.
COUNT = 5 * EMBEDDED + 2


def face_features(engine: RegionEngine, image: Pixels, face: Face) -> np.ndarray | None:
    """float32 [COUNT] of one face of a picture (uint8 RGB, H x W x 3).

    None where too little of the face or of its surroundings lies in the picture.
    """
    pixels, moved = cut_out(image, face)
    if min(pixels.shape[:2]) < 2 * BLOCK:
        return None
    rows = engine.embeddings(pixels)
    inside, around = inside_and_around(moved, (rows.shape[0], rows.shape[1]))
    if inside.sum() < FEWEST or around.sum() < FEWEST:
        return None
    within, beside = rows[inside], rows[around]
    spread = beside.std(axis=0) + SPREAD
    apart = (within.mean(axis=0) - beside.mean(axis=0)) / spread
    logits = engine.compared(rows)
    parts = [within.mean(axis=0), within.std(axis=0), beside.mean(axis=0), spread, apart]
    parts.append(np.array([logits[inside].mean(), logits[around].mean()]))
    return np.concatenate(parts).astype(np.float32)


def cut_out(image: Pixels, face: Face) -> tuple[Pixels, Face]:
    """The face with its surroundings and where it lies there; cut on the grid of JPEG's blocks."""
    x, y, wide, high = face.box
    side = CUT * max(wide, high)
    left, top = (int(max(0.0, middle - side / 2)) // BLOCK * BLOCK for middle in (x + wide / 2, y + high / 2))
    right, bottom = int(x + wide / 2 + side / 2), int(y + high / 2 + side / 2)
    pixels = np.ascontiguousarray(image[top : max(bottom, top), left : max(right, left)])
    box, marks = (x - left, y - top, wide, high), face.landmarks
    moved = Face(box, face.score, tuple((a - left, b - top) for a, b in marks))
    if pixels.size == 0 or max(pixels.shape[:2]) <= LARGEST:
        return pixels, moved
    scale = LARGEST / max(pixels.shape[:2])
    reduced = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    box = (box[0] * scale, box[1] * scale, wide * scale, high * scale)
    return reduced, Face(box, face.score, tuple((a * scale, b * scale) for a, b in moved.landmarks))
