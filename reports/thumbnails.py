"""Small pictures for a report: re-encoded pixels, never the bytes of the file that was scanned.

>>> import numpy as np
>>> thumbnail = make_thumbnail(np.zeros((900, 600, 3), np.uint8), side=300)
>>> thumbnail.width, thumbnail.height
(200, 300)
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

from countermark.core.images import Pixels, encode_image


@dataclass(frozen=True)
class Thumbnail:
    """A JPEG and, where there are such, one with the heatmap laid over it, and a larger one."""

    jpeg: bytes
    heatmap: bytes | None = None
    width: int = 0
    height: int = 0
    full: bytes | None = None
    #: What the laid-over picture shows.
    caption: str = "Heatmap"
    #: Places that evidence names, cut out, and what each shows.
    crops: tuple[tuple[bytes, str], ...] = ()

    @property
    def crop_uris(self) -> list[tuple[str, str]]:
        return [(_data_uri(jpeg), label) for jpeg, label in self.crops]

    @property
    def uri(self) -> str:
        return _data_uri(self.jpeg)

    @property
    def heatmap_uri(self) -> str | None:
        return None if self.heatmap is None else _data_uri(self.heatmap)

    @property
    def full_uri(self) -> str | None:
        return None if self.full is None else _data_uri(self.full)


def make_thumbnail(
    pixels: Pixels,
    heatmap: np.ndarray | None = None,
    *,
    side: int = 360,
    quality: int = 82,
    full_side: int = 0,
    caption: str = "Heatmap",
) -> Thumbnail:
    """Shrinks and encodes an image for a report.

    Args:
        pixels: uint8 RGB, H x W x 3.
        heatmap: float in [0, 1], any H x W; stretched over the image. 1 is where the detector's
            evidence lies.
        side: Longest side in pixels; small images are enlarged by whole factors, without smoothing.
        quality: JPEG quality.
        caption: What the heatmap shows, for its switch.
        full_side: Longest side of the larger picture; 0, or a small image: none.
    """
    import cv2

    height, width = pixels.shape[:2]
    full = None
    if full_side > side and max(height, width) > side:
        full = encode_image(_fit(pixels, full_side), "jpeg", quality=quality)
    if max(height, width) > side:
        small = _fit(pixels, side)
    else:
        factor = max(1, side // max(height, width))
        small = np.repeat(np.repeat(pixels, factor, axis=0), factor, axis=1)
    height, width = small.shape[:2]
    overlay = None
    if heatmap is not None:
        heat = cv2.resize(np.asarray(heatmap, dtype=np.float32), (width, height))
        overlay = encode_image(_overlay(small, np.clip(heat, 0, 1)), "jpeg", quality=quality)
    return Thumbnail(encode_image(small, "jpeg", quality=quality), overlay, width, height, full, caption)


def make_crop(
    pixels: Pixels, box: tuple[float, float, float, float], *, side: int = 112, quality: int = 85
) -> bytes | None:
    """A square JPEG around a box, half as large again.

    Args:
        pixels: uint8 RGB, H x W x 3.
        box: x, y, width and height in pixels; what lies outside the picture is left out.
        side: Longest side in pixels.

    Returns:
        None where the box lies outside.
    """
    x, y, width, height = box
    reach = 0.75 * max(width, height)
    left, top = (max(0, round(middle - reach)) for middle in (x + width / 2, y + height / 2))
    right, bottom = round(x + width / 2 + reach), round(y + height / 2 + reach)
    part = pixels[top : max(top, bottom), left : max(left, right)]
    if part.size == 0:
        return None
    return encode_image(np.ascontiguousarray(_fit(part, side)), "jpeg", quality=quality)


def _fit(pixels: Pixels, side: int) -> Pixels:
    """The image with no side longer than ``side``."""
    import cv2

    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small: Pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return small


def _overlay(pixels: Pixels, heat: np.ndarray) -> Pixels:
    """Greyed image with the inferno map on top, stronger where the heat is."""
    import cv2

    colours = cv2.cvtColor(
        cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB
    )
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    weight = (0.25 + 0.6 * heat)[..., None]
    return np.clip(grey * (1 - weight) + colours * weight, 0, 255).astype(np.uint8)


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
