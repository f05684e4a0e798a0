"""From block logits to a mask that follows the picture's edges, and to the parts in it.

>>> import numpy as np
>>> picture = np.zeros((160, 160, 3), np.uint8)
>>> picture[40:120, 40:120] = 200
>>> chances = np.zeros((20, 20), np.float32)
>>> chances[4:16, 4:16] = 0.9
>>> mask = mask_of(refined(chances, picture), 0.5)
>>> [part.box for part in parts_of(mask, chances)]
[(40, 40, 80, 80)]
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from countermark.core.images import Pixels
from countermark.detectors.regions.shape import BLOCK

#: Longest side at which a map is refined; a mask is stretched from there to the picture's size.
LONGEST = 1280
#: Window of the guided filter (pixels to each side, at ``LONGEST``) and how little contrast is an edge.
RADIUS, SMOOTH = 14, 4e-4
#: Smaller parts than this share of the picture are no parts.
SMALLEST = 0.002
#: Parts that are listed at most, the largest first.
MOST = 12


@dataclass(frozen=True)
class Part:
    """One connected part.

    Attributes:
        box: Left, top, width, height in pixels of the picture.
        area: Share of the picture in [0, 1].
        strength: Mean chance of its blocks, in [0, 1].
    """

    box: tuple[int, int, int, int]
    area: float
    strength: float


def refined(chances: np.ndarray, picture: Pixels) -> np.ndarray:
    """The map stretched over the picture and bent to its edges.

    Args:
        chances: float32 [h, w] in [0, 1], one for each block of 8 x 8 pixels.
        picture: uint8 RGB [H, W, 3].

    Returns:
        float32 in [0, 1], the picture's shape, or smaller where it is over ``LONGEST``.
    """
    high, wide = picture.shape[:2]
    factor = min(1.0, LONGEST / max(high, wide))
    size = (max(1, round(wide * factor)), max(1, round(high * factor)))
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    guide = cv2.resize(luma, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    # The last rows and columns that fill no block belong to the block before them.
    rows, columns = -(-high // BLOCK), -(-wide // BLOCK)
    edge = (0, rows - chances.shape[0], 0, columns - chances.shape[1])
    whole = cv2.copyMakeBorder(chances, *edge, cv2.BORDER_REPLICATE)
    full = (max(1, round(columns * BLOCK * factor)), max(1, round(rows * BLOCK * factor)))
    field = cv2.resize(whole, full, interpolation=cv2.INTER_LINEAR)[: size[1], : size[0]]
    if field.shape != guide.shape:
        field = cv2.resize(field, size, interpolation=cv2.INTER_LINEAR)
    return np.clip(_guided(guide, field), 0, 1)


def _guided(guide: np.ndarray, field: np.ndarray) -> np.ndarray:
    """The guided filter of He, Sun and Tang (2010) with a grey guide."""
    window = (2 * RADIUS + 1, 2 * RADIUS + 1)

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, window, borderType=cv2.BORDER_REFLECT)

    middle, level = mean(guide), mean(field)
    slope = (mean(guide * field) - middle * level) / (mean(guide * guide) - middle * middle + SMOOTH)
    offset = level - slope * middle
    return mean(slope) * guide + mean(offset)


def mask_of(field: np.ndarray, threshold: float, smallest: float = SMALLEST) -> np.ndarray:
    """bool, the shape of ``field``: at or above ``threshold``, closed, without specks."""
    hard = (field >= threshold).astype(np.uint8)
    side = max(3, round(max(field.shape) / 150)) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    closed = cv2.morphologyEx(cv2.morphologyEx(hard, cv2.MORPH_CLOSE, kernel), cv2.MORPH_OPEN, kernel)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed)
    kept = [n for n in range(1, count) if stats[n, cv2.CC_STAT_AREA] >= smallest * closed.size]
    return np.isin(labels, kept)


def parts_of(mask: np.ndarray, chances: np.ndarray, shape: tuple[int, int] | None = None) -> list[Part]:
    """The connected parts of a mask, the largest first, at most ``MOST``.

    Args:
        mask: bool [h, w].
        chances: float32, one for each block, over the same picture.
        shape: Height and width of the picture, where the mask is smaller.
    """
    high, wide = shape or mask.shape
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    places = cv2.resize(labels.astype(np.float32), chances.shape[::-1], interpolation=cv2.INTER_NEAREST)
    down, across = high / mask.shape[0], wide / mask.shape[1]
    found = []
    for number in range(1, count):
        left, top, width, height, area = (int(n) for n in stats[number])
        inside = chances[places == number]
        box = (round(left * across), round(top * down), round(width * across), round(height * down))
        strength = float(inside.mean()) if inside.size else float(chances.max())
        found.append(Part(box, area / mask.size, strength))
    return sorted(found, key=lambda part: -part.area)[:MOST]
