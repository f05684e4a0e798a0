"""The pictures in a PDF, as they lie in it: JPEG files, and pixels packed without loss, within bounds.

Nothing of the document is drawn, no script of it runs, no reference out of it is followed.
"""

from __future__ import annotations

import io
import zlib
from typing import Any

from countermark.app.service.page.unpack import MAX_PICTURES, Unpacked
from countermark.core.errors import ImageError, MissingExtraError
from countermark.core.images import encode_image, sniff_format

#: Objects of a document that are looked at.
MAX_OBJECTS = 20_000
#: Pictures with a shorter side than this are ornaments: lines, bullets, logos.
MIN_SIDE = 32
MAX_PIXELS = 40_000_000


def is_pdf(data: bytes) -> bool:
    """Whether the bytes are of a PDF."""
    return data.startswith(b"%PDF-")


def pictures_of(data: bytes, *, max_bytes: int = 32 << 20, total_bytes: int = 128 << 20) -> Unpacked:
    """The pictures of a PDF's pages, each once, in the order of its objects.

    Args:
        max_bytes: Largest picture.
        total_bytes: Most bytes that are unpacked in all.

    Raises:
        ImageError: ``archive.unreadable`` or ``archive.too-large``.
        MissingExtraError: pikepdf is not installed.
    """
    try:
        import pikepdf
    except ImportError as error:
        raise MissingExtraError("pikepdf", "serve") from error
    found = Unpacked()
    left = total_bytes
    try:
        with pikepdf.open(io.BytesIO(data), attempt_recovery=False) as document:
            if len(document.objects) > MAX_OBJECTS:
                raise ImageError(
                    f"The PDF holds more than {MAX_OBJECTS:,} objects.",
                    code="archive.too-large",
                    hint="Send its pages in parts, or the pictures themselves.",
                )
            number = 0
            for thing in document.objects:
                if not isinstance(thing, pikepdf.Stream) or thing.get("/Subtype") != "/Image":
                    continue
                number += 1
                if len(found.pictures) >= MAX_PICTURES:
                    found.leave("too many")
                    continue
                content = _read(thing, min(max_bytes, left), found)
                if content is not None:
                    left -= len(content)
                    kind = sniff_format(content)
                    found.pictures.append((f"picture-{number}.{kind}", content))
    except pikepdf.PasswordError as error:
        raise ImageError(
            "The PDF is locked with a password.", code="archive.unreadable", hint="Unlock it first."
        ) from error
    except (pikepdf.PdfError, ValueError, RuntimeError, RecursionError) as error:
        raise ImageError("The PDF is damaged.", code="archive.unreadable", hint="Save it again.") from error
    return found


def _read(stream: Any, limit: int, found: Unpacked) -> bytes | None:
    """One picture: its own file where it is one, else its pixels as a PNG; or None with the reason noted."""
    try:
        width, height = int(stream.get("/Width", 0)), int(stream.get("/Height", 0))
        kind = str(stream.get("/Filter", ""))
        if min(width, height) < MIN_SIDE:
            found.leave("smaller than 32 pixels")
            return None
        if width * height > MAX_PIXELS or len(stream.read_raw_bytes()) > limit:
            found.leave("too large")
            return None
        if kind == "/DCTDecode":
            content = bytes(stream.read_raw_bytes())
        else:
            content = _pixels(stream, kind, width, height)
    except Exception:  # a stream that is damaged or coded in an unusual way, in one of many manners
        found.leave("damaged or packed in an unusual way")
        return None
    if not content or sniff_format(content) is None:
        found.leave("damaged or packed in an unusual way")
        return None
    if len(content) > limit:
        found.leave("too large")
        return None
    return content


def _pixels(stream: Any, kind: str, width: int, height: int) -> bytes:
    """Pixels that are packed without loss, as a PNG; empty for any other kind."""
    import numpy as np
    from pikepdf import PdfImage

    if kind not in ("/FlateDecode", ""):
        return b""
    if kind:
        # What it unpacks to is measured first: four channels of 16 bits and a byte a row are the most that
        # a picture of this size can need.
        most = width * height * 8 + height
        unpacking = zlib.decompressobj()
        unpacking.decompress(bytes(stream.read_raw_bytes()), most)
        if unpacking.unconsumed_tail and unpacking.decompress(unpacking.unconsumed_tail, 1):
            return b""
    picture = PdfImage(stream).as_pil_image()
    if picture.width * picture.height > MAX_PIXELS:
        return b""
    return encode_image(np.asarray(picture.convert("RGB")), "png")
