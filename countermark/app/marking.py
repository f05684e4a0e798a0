"""Marking: embeds an identifier into an encoded image and encodes it again, as gently as it can.

Alpha, colour profile and metadata are kept as far as the container can hold them; the EXIF orientation is
applied to the pixels. An animation is marked in every frame (``animations``). What a mark would cost more
than that (pages, all bits above eight, ink colours) is not paid unasked: such a picture stays as it is,
unmarked, and a note says so.
"""

from __future__ import annotations

import io
import secrets
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from countermark.app.animations import mark_animation, moves
from countermark.core.errors import CountermarkError, ImageError, OutputError
from countermark.core.images import LoadedImage, Pixels
from countermark.provenance.metadata.carrying import carry

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


def mark(
    image: LoadedImage,
    format: str,
    *,
    payload: bytes | None = None,
    strict: bool = False,
    allow_loss: bool = False,
    packet: str | None = None,
) -> Marked:
    """Embeds ``payload`` (8 random bytes by default) and encodes as ``format``.

    An image that cannot carry a readable mark comes back unmarked with a note that says why, or as
    the error itself when ``strict``.

    Args:
        image: From the image gate.
        format: ``jpeg``, ``png``, ``webp``, ``avif`` or ``tiff``.
        allow_loss: Mark even what loses frames, bits or ink colours by it, see ``losses``.
        packet: An XMP packet that takes the place of the picture's own, where it is encoded again.

    Raises:
        OutputError: ``output.loss`` when another format would lose them and nobody allowed it.
    """
    from countermark.provenance import watermark

    payload = payload or secrets.token_bytes(8)
    lost = losses(image, format)
    if lost and not allow_loss:
        sentence = f"Not marked: of this picture, {' and '.join(lost)} would be lost."
        if strict:
            raise ImageError(sentence, code="mark.loss")
        return Marked(_unmarked(image, format), image.pixels, None, None, (sentence,))
    if moves(image, format):
        return _moving(image, format, payload, strict, allow_loss, packet)
    try:
        pixels = watermark.embed(image.pixels, payload)
    except CountermarkError as error:
        if strict:
            raise
        return Marked(_unmarked(image, format), image.pixels, None, None, (f"Not marked: {error}",))
    data, more = encode_with_notes(image, pixels, format, packet)
    notes = (*(f"Lost: {each}." for each in lost), *more)
    return Marked(data, pixels, payload, _psnr(image.pixels, pixels), notes)


def _moving(
    image: LoadedImage, format: str, payload: bytes, strict: bool, allow_loss: bool, packet: str | None
) -> Marked:
    """An animation, marked in every frame."""
    lossless = not (image.format == "webp" and _lossy_webp(image.data))
    made = mark_animation(image, format, payload, allow_loss=allow_loss, packet=packet, lossless=lossless)
    if made.data is not None:
        return Marked(made.data, made.pixels, payload, made.psnr, tuple(made.notes))
    if strict:
        raise ImageError(made.notes[0], code="mark.loss")
    return Marked(_unmarked(image, format), image.pixels, None, None, tuple(made.notes))


def losses(image: LoadedImage, format: str | None = None) -> list[str]:
    """What encoding a picture again (as ``format``) costs, besides the little that its codec takes."""
    found = []
    if image.frames > 1 and not (format and moves(image, format)):
        found.append(f"all but the first of {image.frames} frames")
    if image.bits > 8:
        found.append(f"all but 8 of {image.bits} bits a channel")
    if image.mode == "CMYK":
        found.append("its ink colours (CMYK)")
    return found


def encode_like(image: LoadedImage, pixels: Pixels, format: str) -> bytes:
    """``encode_with_notes`` without the notes."""
    return encode_with_notes(image, pixels, format)[0]


def encode_with_notes(
    image: LoadedImage, pixels: Pixels, format: str, packet: str | None = None
) -> tuple[bytes, tuple[str, ...]]:
    """Encodes ``pixels`` (uint8 RGB) with alpha, colour profile and metadata of ``image``.

    The second part says what the container could not hold.

    JPEG at quality 95, 4:4:4. WebP at quality 95 if ``image`` is lossy WebP, else lossless. AVIF at
    quality 90. Each codec at its fast settings: what the slow ones save is 8 to 18 % of the size, for
    several times the time (docs/credentials.md).
    """
    result = Image.fromarray(np.ascontiguousarray(pixels))
    notes: list[str] = []
    try:
        with Image.open(io.BytesIO(image.data)) as original:
            info: dict[str, Any] = {str(key): value for key, value in original.info.items()}
            icc = info.get("icc_profile")
            if icc and original.mode not in ("RGB", "RGBA", "P"):
                icc = None  # a profile for another colour space would distort the colours
                notes.append("Lost: the colour profile, which is for another colour space.")
            transparent = original.mode in ("RGBA", "LA", "PA") or "transparency" in original.info
            if transparent and format in ("png", "webp", "tiff", "avif"):
                result.putalpha(ImageOps.exif_transpose(original).convert("RGBA").getchannel("A"))
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"The image cannot be decoded again: {error}.") from error
    carried = carry(image.data, image.format, format, info, packet)
    options: dict[str, object] = {**carried.options, **({"icc_profile": icc} if icc else {})}
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
    result.save(stream, format.upper(), **options)
    notes += [f"Lost, because {format.upper()} cannot hold it: {each}." for each in carried.lost]
    return carried.finish(stream.getvalue()), tuple(notes)


def _psnr(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio in dB, 99 for equal images."""
    return min(99.0, float(cv2.PSNR(one, other)))


def _lossy_webp(data: bytes) -> bool:
    """Whether the file is WebP with a VP8 picture, or one whose first frame is one, by its chunks."""
    position = 12 if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else len(data)
    while position + 8 <= len(data):
        if data[position : position + 4] in (b"VP8 ", b"VP8L"):
            return data[position : position + 4] == b"VP8 "
        if data[position : position + 4] == b"ANMF":  # a frame: its own chunks follow 16 bytes on
            position += 24
            continue
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + size + size % 2
    return False


def _unmarked(image: LoadedImage, format: str) -> bytes:
    """The file's own bytes when the format stays the same, else a new encoding."""
    if image.format == format:
        return image.data
    check_conversion(image, format)
    return encode_like(image, image.pixels, format)


def check_conversion(image: LoadedImage, format: str) -> None:
    """Refuses to turn a picture into another format when it would lose frames, bits or ink colours.

    Raises:
        OutputError: ``output.loss``.
    """
    lost = losses(image)
    if lost:
        raise OutputError(
            f"Turned from {image.format.upper()} into {format.upper()}, this picture would lose "
            f"{' and '.join(lost)}.",
            code="output.loss",
            hint="Keep the extension of the source, or allow the loss: countermark sign --allow-loss",
        )
