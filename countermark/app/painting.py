"""Photographs in which a part was made anew: what a demo shows of the search for such parts.

>>> import numpy as np
>>> picture = np.full((120, 160, 3), 90, np.uint8)
>>> edited, mask = filled(picture, (50, 40, 30, 30))
>>> edited.shape, mask.shape, bool((edited[mask == 0] == picture[mask == 0]).all())
((120, 160, 3), (120, 160), True)
"""

from __future__ import annotations

import cv2
import numpy as np

from countermark.core.images import Pixels

#: x, y, width and height in pixels.
Box = tuple[int, int, int, int]
#: Spread in pixels of the seam between old and new.
SEAM = 2.0


def filled(photo: Pixels, box: Box) -> tuple[Pixels, np.ndarray]:
    """A thing taken out: what was in ``box`` is continued from around it (Telea 2004).

    Returns:
        The picture, uint8 RGB, and float32 [H, W] in [0, 1]: how much of each pixel is new. Where that is 0
        the photograph keeps its values.
    """
    mask = _ellipse(photo, box)
    other = cv2.inpaint(photo, (mask > 0).astype(np.uint8), 4, cv2.INPAINT_TELEA)
    return _blended(photo, other, mask), mask


def redrawn(photo: Pixels, box: Box) -> tuple[Pixels, np.ndarray]:
    """A part drawn anew by the super-resolver that ships here, from a quarter of its size; as ``filled``."""
    from countermark.generators import load_generator
    from countermark.generators.superres.enlarge import enlarge

    mask = _ellipse(photo, box)
    place = _around(photo, box)
    part = photo[place]
    height, width = part.shape[:2]
    small = cv2.resize(part, (-(-width // 4), -(-height // 4)), interpolation=cv2.INTER_AREA)
    network = load_generator("superres").network
    other = photo.copy()
    other[place] = enlarge(network, small, 4)[:height, :width]
    return _blended(photo, other, mask), mask


def _around(photo: Pixels, box: Box) -> tuple[slice, slice]:
    """The box with room for the seam and for what the network looks at beside it."""
    x, y, width, height = box
    top, left = max(0, y - 16), max(0, x - 16)
    return slice(top, min(photo.shape[0], y + height + 16)), slice(left, min(photo.shape[1], x + width + 16))


def _ellipse(photo: Pixels, box: Box) -> np.ndarray:
    """1 inside of the box's ellipse, 0 outside, a soft edge between."""
    x, y, width, height = box
    mask = np.zeros(photo.shape[:2], np.float32)
    cv2.ellipse(mask, (x + width // 2, y + height // 2), (width // 2, height // 2), 0, 0, 360, 1, -1)
    soft: np.ndarray = cv2.GaussianBlur(mask, (0, 0), SEAM)
    soft[soft < 0.01] = 0
    return soft


def _blended(photo: Pixels, other: Pixels, mask: np.ndarray) -> Pixels:
    mixed = photo + mask[..., None] * (other.astype(np.float32) - photo)
    found: Pixels = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)
    return found
