"""Region hashes: what an image would hash to after a crop, for a fixed set of windows.

>>> import numpy as np
>>> image = np.random.default_rng(2).integers(0, 256, (120, 160, 3), dtype=np.uint8)
>>> region_hashes(image).shape == (REGIONS,)
True

A hash of a whole image is lost when its edge is cut off. So every signed image also stores the
64-bit pHash (8 x 8 coefficients) of overlapping windows that keep about 86, 75 and 62 % of its
area. A cropped image as a whole then resembles one of them. The low frequencies of this hash
tolerate the rest of the misalignment; the many chance hits that come with 64 bits are sorted out
by ``countermark.provenance.fingerprint.alignment``.
"""

from __future__ import annotations

import cv2
import numpy as np

from countermark.core.images import Pixels
from countermark.provenance.fingerprint.hashing import reduce_grey

#: Side of a window as a share of the image's side, and windows per axis.
WINDOWS = ((0.93, 2), (0.866, 3), (0.79, 4))

#: Number of region hashes of one image.
REGIONS = sum(count * count for _, count in WINDOWS)

#: Length of the region hashes of one image, as they are stored.
REGION_BYTES = 8 * REGIONS

_SIDE = 32
_FULL = 128


def region_hashes(image: Pixels) -> np.ndarray:
    """The hashes of all windows, uint64, shape (REGIONS,). ``image``: uint8, H x W x 3, RGB."""
    grey = reduce_grey(image, _FULL)
    hashes = [_hash(grey[_cut(y, side), _cut(x, side)]) for y, x, side in _windows()]
    return np.array(hashes, dtype=np.uint64)


def content_hash(image: Pixels) -> int:
    """The 64-bit hash of the whole of a (perhaps cropped) image, to compare with region hashes."""
    return _hash(reduce_grey(image, _FULL))


def _windows() -> list[tuple[float, float, float]]:
    places = []
    for side, count in WINDOWS:
        step = (1 - side) / count
        offsets = [(k + 0.5) * step for k in range(count)]
        places += [(y, x, side) for y in offsets for x in offsets]
    return places


def _cut(start: float, side: float) -> slice:
    first = round(start * _FULL)
    return slice(first, first + round(side * _FULL))


def _hash(grey: np.ndarray) -> int:
    reduced = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(reduced)[:8, :8]
    return int.from_bytes(np.packbits(low.ravel() > np.median(low)).tobytes(), "little")
