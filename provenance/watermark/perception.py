"""What reader and embedder see of a picture: working frame, local contrast, perceptual mask.

All work happens in the *working frame*: luma, scaled down so that the picture covers at most
640 x 640 pixels' worth of area. A large picture thus carries a proportionally larger tile, and
the mark survives the picture's being shown at a quarter of its size.

>>> working_scale(640, 640), working_scale(1280, 1280), working_scale(300, 200)
(1.0, 2.0, 1.0)
"""

from __future__ import annotations

import cv2
import numpy as np

from countermark.provenance.watermark.records import WatermarkError

#: Side of the square whose area a picture has at most in the working frame.
WORKING_SIDE = 640
#: Window of the high pass and of the local contrast, in working pixels.
HIGH_PASS = 17
CONTRAST = 15
#: Contrast (grey levels, rms) below which a place counts as flat.
FLAT = 3.0
#: The reader divides by contrast to this power: above 1, because noise grows faster than the mark.
READER_POWER = 1.3
CLIP = 3.0
#: The mark's amplitude grows with (contrast + MASK_FLOOR) to this power, gently on skies and skin.
MASK_POWER = 0.45
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
    """float32 luma of the picture in the working frame."""
    height, width = image.shape[:2]
    scale = working_scale(height, width)
    if scale > 1:
        size = (max(1, round(width / scale)), max(1, round(height / scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return luma(np.ascontiguousarray(image))


def high_pass(plane: np.ndarray, unit: float = 1.0) -> np.ndarray:
    """The picture without what is coarser than the mark; ``unit``: size of a working pixel."""
    window = _odd(HIGH_PASS * unit)
    soft = cv2.blur(plane, (window, window), borderType=cv2.BORDER_REFLECT_101)
    soft = cv2.blur(soft, (window, window), borderType=cv2.BORDER_REFLECT_101)
    return plane - soft


def contrast(high: np.ndarray, unit: float = 1.0) -> np.ndarray:
    """Local rms of a high-passed plane."""
    window = _odd(CONTRAST * unit)
    energy = cv2.blur(high * high, (window, window), borderType=cv2.BORDER_REFLECT_101)
    energy = cv2.blur(energy, (window, window), borderType=cv2.BORDER_REFLECT_101)
    return np.sqrt(np.maximum(energy, 0))


def reader_gain(local: np.ndarray) -> np.ndarray:
    """By what the reader multiplies the high-passed picture, from its local contrast."""
    return cv2.pow(local * local + FLAT * FLAT, -READER_POWER / 2)


def normalise(plane: np.ndarray, unit: float = 1.0) -> np.ndarray:
    """The picture as the reader correlates it: high-passed, even in contrast, without outliers."""
    high = high_pass(plane, unit)
    local = contrast(high, unit)
    limit = CLIP * np.maximum(local, FLAT)
    np.minimum(high, limit, out=high)
    np.maximum(high, -limit, out=high)
    high *= reader_gain(local)
    return high


def mask(high: np.ndarray) -> np.ndarray:
    """Amplitude that each place can carry, relative; float32. From the mean of absolute values,
    which an isolated edge raises less than the rms does: no halo beside outlines in a sky."""
    window = _odd(CONTRAST)
    level = cv2.blur(np.abs(high), (window, window), borderType=cv2.BORDER_REFLECT_101)
    return cv2.pow(level + MASK_FLOOR, MASK_POWER)


def _odd(value: float) -> int:
    return max(3, int(value) | 1)
