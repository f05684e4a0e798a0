"""Laundered copies of a signed image, as platforms and forgers make them; used by the demo."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from countermark.core.errors import ImageError
from countermark.core.files import atomic_write
from countermark.core.images import encode_image, read_image
from countermark.core.perturb import perturb

#: Name of a copy → what is done to the pixels and the extension it is saved under. Encoding them
#: again drops the credential, as most platforms do.
COPIES = {
    "stripped": ("none", ".png"),
    "jpeg75": ("none", ".jpg"),
    "half-size": ("resize:0.5+jpeg:85", ".png"),
    "screenshot": ("screenshot", ".png"),
}
QUALITY = 75
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def launder(source: Path, folder: Path) -> list[Path]:
    """Writes every copy of ``source`` into ``folder`` and, for PNG, one with a changed pixel."""
    pixels = read_image(source).pixels
    written = []
    for name, (spec, suffix) in COPIES.items():
        data = encode_image(perturb(spec, pixels), "jpeg" if suffix == ".jpg" else "png", quality=QUALITY)
        written.append(atomic_write(folder / f"{source.stem}-{name}{suffix}", data))
    if source.suffix.lower() == ".png":
        written.append(
            atomic_write(folder / f"{source.stem}-tampered.png", change_one_pixel(source.read_bytes()))
        )
    return written


def change_one_pixel(png: bytes) -> bytes:
    """The same PNG with one sample changed and every other chunk, credential included, untouched.

    Raises:
        ImageError: ``image.unreadable`` when these bytes are no PNG.
    """
    if not png.startswith(_SIGNATURE):
        raise ImageError("Only a PNG can be changed in place.")
    chunks, position = [], len(_SIGNATURE)
    while position + 12 <= len(png):
        size = struct.unpack(">I", png[position : position + 4])[0]
        chunks.append((png[position + 4 : position + 8], png[position + 8 : position + 8 + size]))
        position += 12 + size
    try:
        picture = bytearray(zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT")))
    except zlib.error as error:
        raise ImageError(f"The PNG is damaged: {error}.") from error
    picture[-1] = np.uint8(picture[-1] ^ 1).item()
    rebuilt, done = [_SIGNATURE], False
    for kind, body in chunks:
        if kind == b"IDAT":
            if done:
                continue
            body, done = zlib.compress(bytes(picture), 6), True
        rebuilt.append(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )
    return b"".join(rebuilt)
