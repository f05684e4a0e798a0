"""Puts an XMP packet into an encoded picture without encoding it again: JPEG, PNG, WebP, TIFF.

>>> with_xmp(png, "png", packet).startswith(b"\\x89PNG")     # doctest: +SKIP
True

A packet that stands there already is replaced. Everything else keeps its bytes; in a TIFF the packet and a
new first directory are added at the end.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator

from countermark.core.errors import ProvenanceError
from countermark.core.headers import header_size

_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
_PNG = b"XML:com.adobe.xmp\0"
_TIFF_TAG = 700
_XMP_FLAG, _ALPHA_FLAG = 0x04, 0x10
_MOST = 65_533
_MAX = 65_536


def with_xmp(data: bytes, format: str, packet: str) -> bytes:
    """The file with ``packet`` as its XMP.

    Args:
        data: The encoded picture.
        format: As the image gate names it.
        packet: The whole packet.

    Raises:
        ProvenanceError: ``label.format`` for other formats, ``label.damaged``, ``label.long``.
    """
    write = WRITERS.get(format)
    if write is None:
        raise ProvenanceError(
            f"A label cannot be put into a {format.upper()} file that is not encoded again.",
            code="label.format",
            hint="Save it as PNG, JPEG, WebP or TIFF first, or sign without a label.",
        )
    try:
        return write(data, packet.encode("utf-8"))
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise ProvenanceError(
            f"The {format.upper()} file is laid out in a way that no label can be put into.",
            code="label.damaged",
            hint="Save it again with an image editor.",
        ) from error


def _jpeg(data: bytes, packet: bytes) -> bytes:
    body = _JPEG + packet
    if len(body) > _MOST:
        raise ProvenanceError("The picture's XMP is too long for one JPEG segment.", code="label.long")
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    kept: list[bytes] = []
    at, position = 0, 2
    for _ in range(_MAX):
        marker = data[position + 1]
        if data[position] != 0xFF:
            raise ValueError("no marker")
        if marker in (0xDA, 0xD9):
            return b"".join((data[:2], *kept[:at], segment, *kept[at:], data[position:]))
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 1 if marker == 0xFF else 2
            continue
        (size,) = struct.unpack_from(">H", data, position + 2)
        piece = data[position : position + 2 + max(size, 2)]
        position += len(piece)
        if marker == 0xE1 and piece[4:].startswith(_JPEG):
            continue
        kept.append(piece)
        if marker == 0xE0 or (marker == 0xE1 and piece[4:].startswith(b"Exif\0")):
            at = len(kept)
    raise ValueError("segments")


def _png(data: bytes, packet: bytes) -> bytes:
    body = _PNG + bytes(4) + packet
    chunk = struct.pack(">I", len(body)) + b"iTXt" + body + struct.pack(">I", zlib.crc32(b"iTXt" + body))
    out = [data[:8]]
    position, placed = 8, False
    for _ in range(_MAX):
        if position + 12 > len(data):
            break
        (size,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        whole = data[position : position + 12 + size]
        own = kind in (b"iTXt", b"tEXt", b"zTXt") and whole[8:].startswith(_PNG)
        if kind == b"IDAT" and not placed:
            out.append(chunk)
            placed = True
        if not own:
            out.append(whole)
        position += 12 + size
        if kind == b"IEND":
            break
    if not placed:
        raise ValueError("no picture data")
    return b"".join(out) + data[position:]


def _webp(data: bytes, packet: bytes) -> bytes:
    chunks = [*_riff(data)]
    kinds = [kind for kind, _ in chunks]
    if b"VP8X" in kinds:
        at = kinds.index(b"VP8X")
        head = bytearray(chunks[at][1])
        head[0] |= _XMP_FLAG
        chunks[at] = (b"VP8X", bytes(head))
    else:
        width, height = header_size("webp", data) or (0, 0)
        lossless = dict(chunks).get(b"VP8L", b"")
        alpha = bool(lossless) and bool(lossless[4] & 0x10)
        flags = _XMP_FLAG | (_ALPHA_FLAG if alpha else 0)
        sides = b"".join((side - 1).to_bytes(3, "little") for side in (width, height))
        chunks.insert(0, (b"VP8X", bytes([flags, 0, 0, 0]) + sides))
    chunks = [each for each in chunks if each[0] != b"XMP "]
    chunks.append((b"XMP ", packet))
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
        for kind, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _riff(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 12
    end = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    for _ in range(_MAX):
        if position + 8 > end:
            return
        (size,) = struct.unpack_from("<I", data, position + 4)
        if position + 8 + size > len(data):
            raise ValueError("a chunk is cut off")
        yield data[position : position + 4], data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2


def _tiff(data: bytes, packet: bytes) -> bytes:
    order = "<" if data[:2] == b"II" else ">"
    (version, first) = struct.unpack_from(order + "HI", data, 2)
    if version != 42:
        raise ValueError("BigTIFF")
    (count,) = struct.unpack_from(order + "H", data, first)
    end = first + 2 + 12 * count
    entries = [data[at : at + 12] for at in range(first + 2, end, 12)]
    following = data[end : end + 4]
    if len(following) != 4:
        raise ValueError("the directory is cut off")
    padded = data + b"\0" * (len(data) % 2)
    place, length = len(padded), len(packet)
    held = packet + b"\0" * (length % 2)
    tag = struct.pack(order + "HHII", _TIFF_TAG, 1, length, place)
    if length <= 4:
        raise ValueError("no packet")
    kept = [each for each in entries if struct.unpack(order + "H", each[:2])[0] != _TIFF_TAG]
    ordered = sorted((*kept, tag), key=lambda each: struct.unpack(order + "H", each[:2])[0])
    directory = struct.pack(order + "H", len(ordered)) + b"".join(ordered) + following
    head = padded[:4] + struct.pack(order + "I", place + len(held))
    return head + padded[8:] + held + directory


WRITERS: dict[str, Callable[[bytes, bytes], bytes]] = {
    "jpeg": _jpeg,
    "png": _png,
    "webp": _webp,
    "tiff": _tiff,
}
