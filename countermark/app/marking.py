"""Marking: embeds an identifier into an encoded image and encodes it again, as gently as it can.

Alpha and the ICC profile are kept; the EXIF orientation is applied to the pixels and dropped.
"""

from __future__ import annotations

import io
import secrets
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from countermark.core.errors import CountermarkError, ImageError
from countermark.core.images import LoadedImage, Pixels

#: Name of the scheme in credentials' soft bindings.
ALGORITHM = "org.countermark.tile.1"
QUALITY = 95


@dataclass(frozen=True)
class Marked:
    """A marked image: its encoded bytes, its pixels (uint8 RGB), the payload, and what was lost."""

    data: bytes
    pixels: Pixels
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
    difference = float(np.mean((pixels.astype(np.float32) - image.pixels) ** 2))
    psnr = 99.0 if difference == 0 else float(10 * np.log10(255**2 / difference))
    return Marked(data, pixels, payload, psnr)


def encode_like(image: LoadedImage, pixels: Pixels, format: str) -> bytes:
    """Encodes ``pixels`` (uint8 RGB) with the alpha and ICC profile of ``image``."""
    try:
        with Image.open(io.BytesIO(image.data)) as original:
            original.load()
            icc = original.info.get("icc_profile")
            upright = ImageOps.exif_transpose(original)
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"The image cannot be decoded again: {error}.") from error
    result = Image.fromarray(np.ascontiguousarray(pixels))
    if icc and original.mode != "RGB":
        icc = None  # a profile for another colour space would distort the colours
    transparent = upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info
    if transparent and format in ("png", "webp", "tiff", "avif"):
        result.putalpha(upright.convert("RGBA").getchannel("A"))
    options: dict[str, object] = {"icc_profile": icc} if icc else {}
    if format == "jpeg":
        options |= {"quality": QUALITY, "subsampling": 0}
    elif format == "webp":
        options |= {"lossless": True}
    elif format == "avif":
        options |= {"quality": 90}
    stream = io.BytesIO()
    result.save(stream, format.upper(), **options)  # type: ignore[arg-type]
    return stream.getvalue()


def _unmarked(image: LoadedImage, format: str) -> bytes:
    """The file's own bytes when the format stays the same, else a new encoding."""
    return image.data if image.format == format else encode_like(image, image.pixels, format)
