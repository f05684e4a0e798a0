"""Takes metadata blocks out of image files: text fields, XMP, EXIF, comments. Bounded, never decodes pixels.

>>> blocks = read_blocks(png_bytes, "png")        # doctest: +SKIP
>>> blocks.texts                                  # doctest: +SKIP
[('parameters', 'a cat, Steps: 20, Sampler: Euler a, Seed: 7')]

Sources: PNG (ISO/IEC 15948, tEXt/zTXt/iTXt/eXIf), JPEG (APP1, APP13, COM), WebP (RIFF chunks),
TIFF/EXIF tags. Each walk stops at ``MAX_BLOCKS`` blocks and ``MAX_TEXT`` bytes for one text.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_BLOCKS = 4096
MAX_TEXT = 1024 * 1024
MAX_SCAN = 64 * 1024 * 1024
_XMP_KEY = "XML:com.adobe.xmp"
_XMP_JPEG = b"http://ns.adobe.com/xap/1.0/\0"


@dataclass
class Blocks:
    """What was found: named texts, XMP packets, EXIF blobs (TIFF header first), notes on damage."""

    texts: list[tuple[str, str]] = field(default_factory=list)
    xmp: list[str] = field(default_factory=list)
    exif: list[bytes] = field(default_factory=list)
    iptc: list[str] = field(default_factory=list)


def read_blocks(data: bytes, format: str) -> Blocks:
    """The metadata blocks of an encoded image; ``format`` as the image gate names it.

    Damaged parts are left out; nothing is raised.
    """
    blocks = Blocks()
    walk = {"png": _png, "jpeg": _jpeg, "webp": _webp}.get(format)
    if walk is not None:
        walk(data, blocks)
    elif format == "tiff":
        blocks.exif.append(data[:MAX_SCAN])
    if not blocks.xmp:
        blocks.xmp += _packets(data)
    if not blocks.exif and format in ("avif", "heif"):
        at = data.find(b"Exif\0\0")
        if at >= 0:
            blocks.exif.append(data[at + 6 : at + 6 + MAX_TEXT])
    return blocks


def _png(data: bytes, blocks: Blocks) -> None:
    for kind, body in _png_chunks(data):
        if kind == b"tEXt":
            key, _, value = body.partition(b"\0")
            blocks.texts.append((_latin(key), _text(value)))
        elif kind == b"zTXt":
            key, _, rest = body.partition(b"\0")
            blocks.texts.append((_latin(key), _text(_inflate(rest[1:]))))
        elif kind == b"iTXt":
            key, _, rest = body.partition(b"\0")
            compressed, rest = rest[:1] == b"\1", rest[2:]
            value = rest.split(b"\0", 2)[-1]
            text = _text(_inflate(value) if compressed else value)
            if _latin(key) == _XMP_KEY:
                blocks.xmp.append(text)
            else:
                blocks.texts.append((_latin(key), text))
        elif kind == b"eXIf":
            blocks.exif.append(body)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 8
    for _ in range(MAX_BLOCKS):
        if position + 12 > len(data):
            return
        size = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        if kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf"):
            yield kind, data[position + 8 : position + 8 + min(size, MAX_TEXT)]
        position += 12 + size


def _jpeg(data: bytes, blocks: Blocks) -> None:
    position = 2
    for _ in range(MAX_BLOCKS):
        if position + 4 > len(data) or data[position] != 0xFF:
            return
        marker = data[position + 1]
        if marker in (0xDA, 0xD9):
            return
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 1 if marker == 0xFF else 2
            continue
        size = max(int.from_bytes(data[position + 2 : position + 4], "big"), 2)
        body = data[position + 4 : position + 2 + size]
        if marker == 0xE1 and body.startswith(b"Exif\0"):
            blocks.exif.append(body[6:])
        elif marker == 0xE1 and body.startswith(_XMP_JPEG):
            blocks.xmp.append(_text(body[len(_XMP_JPEG) :]))
        elif marker == 0xED and body.startswith(b"Photoshop 3.0\0"):
            blocks.iptc.append(_latin(body[14:]))
        elif marker == 0xFE:
            blocks.texts.append(("comment", _text(body)))
        position += 2 + size


def _webp(data: bytes, blocks: Blocks) -> None:
    position = 12
    for _ in range(MAX_BLOCKS):
        if position + 8 > len(data):
            return
        kind = data[position : position + 4]
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        body = data[position + 8 : position + 8 + min(size, MAX_TEXT)]
        if kind == b"EXIF":
            blocks.exif.append(body.removeprefix(b"Exif\0\0"))
        elif kind == b"XMP ":
            blocks.xmp.append(_text(body))
        position += 8 + size + size % 2


def _packets(data: bytes) -> list[str]:
    """XMP packets anywhere in the file, for formats that are not walked."""
    found: list[str] = []
    position = 0
    while len(found) < 4 and (start := data.find(b"<x:xmpmeta", position, MAX_SCAN)) >= 0:
        end = data.find(b"</x:xmpmeta>", start, start + MAX_TEXT)
        if end < 0:
            break
        found.append(_text(data[start : end + 12]))
        position = end
    return found


def _inflate(data: bytes) -> bytes:
    """At most ``MAX_TEXT`` bytes of a zlib stream; what came before any damage."""
    try:
        return zlib.decompressobj().decompress(data, MAX_TEXT)
    except zlib.error:
        return b""


def _text(raw: bytes) -> str:
    raw = raw[:MAX_TEXT]
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return _latin(raw)


def _latin(raw: bytes) -> str:
    return raw.decode("latin-1")
