"""What reader and embedder see of a picture: working frame, local contrast, perceptual mask.

All work happens in the *working frame*: luma, scaled down so that the picture covers at most
640 x 640 pixels' worth of area. A large picture thus carries a proportionally larger tile, and
the mark survives the picture's being shown at a quarter of its size.

>>> working_scale(640, 640), working_scale(1280, 1280), working_scale(300, 200)
(1.0, 2.0, 1.0)
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from countermark.provenance.watermark.records import WatermarkError

#: Side of the square whose area a picture has at most in the working frame.
WORKING_SIDE = 640
#: Window, in working pixels, of the high pass (used twice), of the local contrast (likewise) and of
#: the mask, both at half the size.
WINDOW = 9
HALF_WINDOW = 5
MASK_WINDOW = 7
#: Contrast (grey levels, rms) below which a place counts as flat.
FLAT = 3.0
CLIP = 3.0
#: Added to the local contrast before the mask takes its root.
MASK_FLOOR = 1.5


def check_image(image: np.ndarray) -> None:
    """Raises WatermarkError unless ``image`` is uint8, H x W x 3."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise WatermarkError(
            "The watermark needs a uint8 array of shape H x W x 3 (RGB).",
            code="watermark.bad-image",
            hint="Read files with countermark.core.images.read_image.",
        )


def working_scale(height: int, width: int) -> float:
    """Native pixels a working pixel, at least 1."""
    return float(max(1.0, np.sqrt(height * width) / WORKING_SIDE))


def luma(image: np.ndarray) -> np.ndarray:
    """float32 luma (BT.601), H x W, of an RGB picture."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)


def working_frame(image: np.ndarray) -> np.ndarray:
    """float32 luma of the picture in the working frame: whole grey levels."""
    return grey_frame(image).astype(np.float32)


def grey_frame(image: np.ndarray) -> np.ndarray:
    """uint8 luma of the picture in the working frame."""
    return cv2.cvtColor(frame(image), cv2.COLOR_RGB2GRAY)


def frame(image: np.ndarray) -> np.ndarray:
    """The picture in the working frame, uint8 RGB: itself where it is not larger."""
    height, width = image.shape[:2]
    scale = working_scale(height, width)
    if scale > 1:
        size = (max(1, round(width / scale)), max(1, round(height / scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image)


def high_pass(plane: np.ndarray) -> np.ndarray:
    """The picture without what is coarser than the mark."""
    soft = _soft(plane)
    return cv2.subtract(plane, soft, dst=soft)


def contrast(high: np.ndarray) -> np.ndarray:
    """Local mean square of a high-passed plane, at half its size: it changes slowly."""
    size = (max(1, (high.shape[1] + 1) // 2), max(1, (high.shape[0] + 1) // 2))
    square = cv2.resize(cv2.multiply(high, high), size, interpolation=cv2.INTER_AREA)
    return _soft(square, HALF_WINDOW)


def reader_gain(local: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """By what the reader multiplies the high-passed picture (H x W): contrast to the power -1.25.

    The power is above 1 because noise grows faster than the mark; it is made of square roots, which
    are much faster than a general power.
    """
    square = local + np.float32(FLAT * FLAT)
    root = cv2.sqrt(square)
    return _full(cv2.divide(1.0, cv2.multiply(root, cv2.sqrt(cv2.sqrt(root)))), shape)


def normalise(plane: np.ndarray) -> np.ndarray:
    """The picture as the reader correlates it: high-passed, even in contrast, without outliers."""
    high = high_pass(plane)
    local = contrast(high)
    limit_outliers(high, local)
    return cv2.multiply(high, reader_gain(local, high.shape), dst=high)


def limit_outliers(high: np.ndarray, local: np.ndarray) -> None:
    """Cuts values beyond ``CLIP`` times the local contrast, in place."""
    limit = cv2.sqrt(np.maximum(local, np.float32(FLAT * FLAT)))
    limit *= np.float32(CLIP)
    limit = _full(limit, high.shape)
    cv2.min(high, limit, dst=high)
    np.negative(limit, out=limit)
    cv2.max(high, limit, dst=high)


def mask(high: np.ndarray) -> np.ndarray:
    """Amplitude that each place can carry, relative; float32: the root of local contrast, gently on
    skies and skin. From the mean of absolute values, which an isolated edge raises less than the rms
    does: no halo beside outlines in a sky."""
    half = (max(1, (high.shape[1] + 1) // 2), max(1, (high.shape[0] + 1) // 2))
    level = cv2.resize(np.abs(high), half, interpolation=cv2.INTER_AREA)
    level = cv2.blur(level, (MASK_WINDOW, MASK_WINDOW), borderType=cv2.BORDER_REFLECT_101)
    level += np.float32(MASK_FLOOR)
    size = (high.shape[1], high.shape[0])
    found: np.ndarray = cv2.resize(cv2.sqrt(level), size, interpolation=cv2.INTER_LINEAR)
    return found


def _full(half: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return cv2.resize(half, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST)


def _soft(plane: np.ndarray, window: int = WINDOW) -> np.ndarray:
    # A box blur twice over, as one kernel.
    kernel = _triangle(window)
    return cv2.sepFilter2D(plane, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)


@lru_cache(maxsize=4)
def _triangle(window: int) -> np.ndarray:
    box = np.full(window, 1 / window)
    kernel: np.ndarray = np.convolve(box, box).astype(np.float32)
    return kernel
