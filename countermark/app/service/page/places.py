"""Faces and parts that evidence names, laid over the picture.

They are looked for after the answer is there: they never decide it, and nobody waits for them.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from countermark.app.scan.faces import FaceSearch
from countermark.app.scan.parts import PartSearch
from countermark.app.scan.verdict import ordered
from countermark.core.errors import CountermarkError
from countermark.core.images import LoadedImage
from countermark.core.results import ScanResult

#: Longest side of a mask, in pixels.
MASK_SIDE = 1024
#: Blue, green, red, as OpenCV has them: a colour that neither map nor most pictures have.
COLOUR = (255, 60, 230)


def find_places(result: ScanResult, image: LoadedImage, name: str) -> tuple[ScanResult, bytes | None]:
    """The result with what was found of its faces and parts, and the mask of an exchanged part, a PNG."""
    search = PartSearch("auto")
    found = [each for each in (search.evidence(name, image), FaceSearch("auto").evidence(image)) if each]
    mask = search.take(name)
    evidence = ordered((*result.evidence, *found), result.verdict)
    return replace(result, evidence=evidence), None if mask is None else mask_overlay(mask)


def mask_overlay(mask: np.ndarray) -> bytes:
    """A mask (bool, H x W) as a PNG that lies over the picture: coloured inside, with a firm edge."""
    height, width = mask.shape
    scale = min(1.0, MASK_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    inside = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    edge = inside - cv2.erode(inside, np.ones((5, 5), np.uint8))
    drawn = np.zeros((*inside.shape, 4), np.uint8)
    drawn[..., :3] = COLOUR
    drawn[..., 3] = np.where(edge > 0, 255, inside * 110)
    stored, encoded = cv2.imencode(".png", drawn)
    if not stored:
        raise CountermarkError("The mask could not be encoded.", code="output.failed")
    return bytes(encoded.tobytes())
