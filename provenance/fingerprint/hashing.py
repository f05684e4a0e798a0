"""The 256-bit fingerprint: pHash over 16 x 16 low frequencies, by the ``imagehash`` library.

>>> import numpy as np
>>> image = np.random.default_rng(1).integers(0, 256, (80, 80, 3), dtype=np.uint8)
>>> distance(fingerprint(image), fingerprint(image))
0

The image is reduced to 64 x 64 by area averaging first, so that the hash depends neither on the
size of the file nor on the resampling filter of whoever scaled it.
"""

from __future__ import annotations

import cv2
import imagehash
import numpy as np
from PIL import Image

from countermark.core.errors import ProvenanceError
from countermark.core.images import Pixels

#: Name of the algorithm and its version, as soft bindings and the resolution service give it.
ALGORITHM = "org.countermark.phash256.1"

#: Length of a fingerprint.
BYTES = 32

#: Largest Hamming distance at which two images count as candidates for the same picture.
MAX_DISTANCE = 31

_SIDE = 64


def fingerprint(image: Pixels) -> bytes:
    """The fingerprint of an image.

    Args:
        image: uint8, H x W x 3, RGB.

    Returns:
        32 bytes: 256 bits, row by row from the lowest frequency, most significant bit first.

    Raises:
        ProvenanceError: the array is not an RGB image.
    """
    reduced = reduce_grey(image, _SIDE)
    bits = imagehash.phash(Image.fromarray(reduced), hash_size=16, highfreq_factor=4).hash
    return np.packbits(bits.ravel()).tobytes()


def distance(first: bytes, second: bytes) -> int:
    """Hamming distance in bits, 0 to 256; ProvenanceError when a length is not 32 bytes."""
    if len(first) != BYTES or len(second) != BYTES:
        raise ProvenanceError(
            f"A fingerprint has {BYTES} bytes, not {len(first)} and {len(second)}.",
            code="fingerprint.length",
        )
    return (int.from_bytes(first, "big") ^ int.from_bytes(second, "big")).bit_count()


def reduce_grey(image: Pixels, side: int) -> np.ndarray:
    """Luma of ``image`` as uint8, side x side, whatever its aspect ratio was."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ProvenanceError(
            f"A fingerprint needs uint8 RGB pixels of shape (H, W, 3), not {image.dtype} {image.shape}.",
            code="fingerprint.pixels",
        )
    # Colour conversion after the reduction: a 12 MP image would otherwise be copied whole.
    factor = min(image.shape[:2]) / (4 * side)
    if factor > 1:
        size = (round(image.shape[1] / factor), round(image.shape[0] / factor))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    shrinks = grey.shape[0] >= side and grey.shape[1] >= side
    mode = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(grey, (side, side), interpolation=mode)
