"""Marking: embeds an identifier into an encoded image and encodes it again, as gently as it can.

Alpha and the ICC profile are kept; the EXIF orientation is applied to the pixels and dropped.
"""

from __future__ import annotations

import io
import secrets
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageOps

from countermark.core.errors import CountermarkError, ImageError
from countermark.core.images import LoadedImage, Pixels

#: Name of the scheme in credentials' soft bindings.
ALGORITHM = "org.countermark.tile.1"
QUALITY = 95


@dataclass(frozen=True)
class Marked:
    """A marked image: its encoded bytes, its pixels (uint8 RGB), the payload, and what was lost.

    ``pixels`` is None when nothing asked for them.
    """

    data: bytes
    pixels: Pixels | None
    payload: bytes | None
    psnr: float | None
    notes: tuple[str, ...] = ()


def mark(image: LoadedImage, format: str, *, payload: bytes | None = None, strict: bool = False) -> Marked:
    """Embeds ``payload`` (8 random bytes by default) and encodes as ``format``.

    An image that cannot carry a readable mark comes back unmarked with a note that says why, or as
    the error itself when ``strict``.

    Args:
        image: From the image gate.
        format: ``jpeg``, ``png``, ``webp``, ``avif`` or ``tiff``.
    """
    from countermark.provenance import watermark

    payload = payload or secrets.token_bytes(8)
    try:
        pixels = watermark.embed(image.pixels, payload)
    except CountermarkError as error:
        if strict:
            raise
        return Marked(_unmarked(image, format), image.pixels, None, None, (f"Not marked: {error}",))
    data = encode_like(image, pixels, format)
    return Marked(data, pixels, payload, _psnr(image.pixels, pixels))


def encode_like(image: LoadedImage, pixels: Pixels, format: str) -> bytes:
    """Encodes ``pixels`` (uint8 RGB) with the alpha and ICC profile of ``image``.

    JPEG at quality 95, 4:4:4. WebP at quality 95 if ``image`` is lossy WebP, else lossless. AVIF at
    quality 90. Each codec at its fast settings: what the slow ones save is 8 to 18 % of the size, for
    several times the time (docs/credentials.md).
    """
    result = Image.fromarray(np.ascontiguousarray(pixels))
    try:
        with Image.open(io.BytesIO(image.data)) as original:
            icc = original.info.get("icc_profile")
            if icc and original.mode != "RGB":
                icc = None  # a profile for another colour space would distort the colours
            transparent = original.mode in ("RGBA", "LA", "PA") or "transparency" in original.info
            if transparent and format in ("png", "webp", "tiff", "avif"):
                result.putalpha(ImageOps.exif_transpose(original).convert("RGBA").getchannel("A"))
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"The image cannot be decoded again: {error}.") from error
    options: dict[str, object] = {"icc_profile": icc} if icc else {}
    if format == "jpeg":
        options |= {"quality": QUALITY, "subsampling": 0}
    elif format == "png":
        options |= {"compress_level": 1}
    elif format == "webp" and _lossy_webp(image.data):
        options |= {"quality": QUALITY, "method": 2}
    elif format == "webp":
        options |= {"lossless": True, "quality": 0, "method": 0}
    elif format == "avif":
        options |= {"quality": 90, "speed": 9}
    stream = io.BytesIO()
    result.save(stream, format.upper(), **options)  # type: ignore[arg-type]
    return stream.getvalue()


def _psnr(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio in dB, 99 for equal images."""
    return min(99.0, float(cv2.PSNR(one, other)))


def _lossy_webp(data: bytes) -> bool:
    """Whether the file is WebP with a VP8 picture (a still one), by its chunks."""
    position = 12 if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else len(data)
    while position + 8 <= len(data):
        if data[position : position + 4] in (b"VP8 ", b"VP8L"):
            return data[position : position + 4] == b"VP8 "
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + size + size % 2
    return False


def _unmarked(image: LoadedImage, format: str) -> bytes:
    """The file's own bytes when the format stays the same, else a new encoding."""
    return image.data if image.format == format else encode_like(image, image.pixels, format)
