"""Images of any size in overlapping tiles that are blended into one another.

>>> import numpy as np
>>> image = np.full((100, 300, 3), 7, np.uint8)
>>> bool((blend_tiles((image,), 64, lambda part: part) == image).all())
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from countermark.core.images import Pixels


def fit_within(pixels: Pixels, side: int) -> Pixels:
    """Shrunk so that the longest side is at most ``side``, and the shortest at least 8 pixels."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    shape = (max(round(width * scale), 8), max(round(height * scale), 8))
    return cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA)


def spans(length: int, side: int, overlap: int) -> list[tuple[int, int]]:
    """Starts and ends of tiles of ``side`` (or ``length``) that overlap by at least ``overlap``."""
    if length <= side:
        return [(0, length)]
    count = -(-(length - overlap) // (side - overlap))
    starts = np.linspace(0, length - side, count).round().astype(int)
    return [(int(s), int(s) + side) for s in starts]


@dataclass(frozen=True)
class Window:
    """A tile: rows and columns that it fills, and those around it that it is computed from."""

    core: tuple[slice, slice]
    region: tuple[slice, slice]

    def inside(self, scale: int = 1) -> tuple[slice, slice]:
        """The core's place inside the region, in an array of 1 / ``scale`` of the side."""
        pairs = zip(self.core, self.region, strict=True)
        places = [slice((c.start - r.start) // scale, (c.stop - r.start) // scale) for c, r in pairs]
        return places[0], places[1]


def windows(height: int, width: int, tile: int, margin: int) -> Iterator[Window]:
    """Tiles that meet without overlap, each with ``margin`` around it where the image goes on."""

    def cut(length: int) -> list[tuple[slice, slice]]:
        starts = range(0, length, tile)
        cores = [slice(start, min(start + tile, length)) for start in starts]
        return [(c, slice(max(c.start - margin, 0), min(c.stop + margin, length))) for c in cores]

    for rows, more_rows in cut(height):
        for columns, more_columns in cut(width):
            yield Window((rows, columns), (more_rows, more_columns))


def blend_tiles(
    images: tuple[Pixels, ...], side: int, function: Callable[..., Pixels], overlap: int | None = None
) -> Pixels:
    """Applies ``function`` to the same tile of every image; uint8 [H, W, 3] of the first one's size.

    Weights fall linearly to the tile's edge, so that a tile fades into its neighbours.
    """
    overlap = side // 4 if overlap is None else overlap
    height, width = images[0].shape[:2]
    total = np.zeros((height, width, 3), np.float32)
    weights = np.zeros((height, width, 1), np.float32)
    for top, bottom in spans(height, side, overlap):
        for left, right in spans(width, side, overlap):
            made = function(*(np.ascontiguousarray(i[top:bottom, left:right]) for i in images))
            weight = np.minimum.outer(_ramp(bottom - top, overlap), _ramp(right - left, overlap))[..., None]
            total[top:bottom, left:right] += made * weight
            weights[top:bottom, left:right] += weight
    return np.clip(np.rint(total / weights), 0, 255).astype(np.uint8)


def _ramp(length: int, overlap: int) -> np.ndarray:
    distance = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1.0
    return np.minimum(distance / max(overlap, 1), 1.0).astype(np.float32)
