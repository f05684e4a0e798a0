"""Views of one face: what the face expert looks at.

Two upright squares around a face, 224 pixels a side: the *head* (twice the finder's box) shows the face
beside its surroundings, the *face* itself (1.1 times the box) shows its pixels as large as they are.
"""

from __future__ import annotations

import cv2
import numpy as np

from countermark.core.images import Pixels
from countermark.detectors.faces.find import Face

SIDE = 224
#: Sides of the head and face views, as multiples of the finder's box.
HEAD, CLOSE = 2.0, 1.1
#: Faces that lean less than this, in degrees, are cut as they stand: turning resamples every pixel.
UPRIGHT = 12.0


def face_views(image: Pixels, face: Face) -> np.ndarray:
    """uint8 [2, 224, 224, 3]: the head and the face, upright; the picture's edge is repeated outside."""
    return np.stack([_cut(image, face, times) for times in (HEAD, CLOSE)])


def lean(face: Face) -> float:
    """By how many degrees the line of the eyes is turned clockwise, in (-180, 180]."""
    (x0, y0), (x1, y1) = face.landmarks[:2]
    return float(np.degrees(np.arctan2(y1 - y0, x1 - x0)))


def _cut(image: Pixels, face: Face, times: float) -> Pixels:
    x, y, wide, high = face.box
    side = times * max(wide, high)
    middle = (x + wide / 2, y + high / 2)
    turn = lean(face)
    if abs(turn) > UPRIGHT:
        # A larger part is cut and resized first, then turned at the size of the view.
        part = _resized(image, middle, side * 1.5, round(SIDE * 1.5))
        centre = (part.shape[1] / 2, part.shape[0] / 2)
        matrix = cv2.getRotationMatrix2D(centre, turn, 1)
        part = cv2.warpAffine(
            part, matrix, part.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        start = (part.shape[0] - SIDE) // 2
        return np.ascontiguousarray(part[start : start + SIDE, start : start + SIDE])
    return _resized(image, middle, side, SIDE)


def _resized(image: Pixels, middle: tuple[float, float], side: float, size: int) -> Pixels:
    """The square of ``side`` pixels around ``middle`` at ``size``; the edge's pixels are repeated outside."""
    length = max(2, round(side))
    left, top = round(middle[0] - side / 2), round(middle[1] - side / 2)
    height, width = image.shape[:2]
    over = (max(0, -top), max(0, top + length - height), max(0, -left), max(0, left + length - width))
    part = image[max(0, top) : max(0, top + length), max(0, left) : max(0, left + length)]
    if part.size == 0:
        return np.zeros((size, size, 3), np.uint8)
    part = cv2.copyMakeBorder(part, *over, cv2.BORDER_REPLICATE) if any(over) else part
    kernel = cv2.INTER_AREA if length > size else cv2.INTER_CUBIC
    return cv2.resize(part, (size, size), interpolation=kernel)
