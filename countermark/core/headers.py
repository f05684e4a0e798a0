"""Width, height and depth from a file's headers, before any decoder sees the file.

>>> header_size("gif", b"GIF89a" + bytes([4, 0, 3, 0]))
(4, 3)
"""

from __future__ import annotations

import struct

from countermark.core.exif import fields

_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MAX_SEGMENTS = 4096
#: Chunks of a PNG or segments of a JPEG; large files as encoders write them have a few ten thousand.
MAX_PARTS = 100_000
_BITS, _SIZE = 258, (256, 257)


def header_size(format: str, data: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels as a file's headers claim, of TIFF its first page's; None if unclear."""
    try:
        if format == "png" and data[12:16] == b"IHDR":
            return struct.unpack(">II", data[16:24])
        if format == "gif":
            return struct.unpack("<HH", data[6:10])
        if format == "bmp":
            width, height = struct.unpack("<ii", data[18:26])
            return abs(width), abs(height)
        if format == "jpeg":
            return _jpeg(data)
        if format == "webp":
            return _webp(data)
        if format == "tiff":
            found = fields(data, _SIZE, most=4)
            width, height = (found[tag].number() if tag in found else None for tag in _SIZE)
            return (width, height) if width and height else None
        if format in ("avif", "heif"):
            return _largest(data)
    except (struct.error, IndexError):
        pass
    return None


def too_many_parts(format: str, data: bytes) -> bool:
    """Whether a PNG or JPEG has so many chunks or segments that a library, one by one, takes minutes."""
    if len(data) < 4 * MAX_PARTS or format not in ("png", "jpeg"):
        return False
    position, png = (8, True) if format == "png" else (2, False)
    for _ in range(MAX_PARTS):
        if position + 12 > len(data):
            return False
        if png:
            position += 12 + int.from_bytes(data[position : position + 4], "big")
        elif data[position] != 0xFF or data[position + 1] in (0xDA, 0xD9):
            return False
        elif data[position + 1] == 0xFF or data[position + 1] == 0x01 or 0xD0 <= data[position + 1] <= 0xD8:
            position += 1 if data[position + 1] == 0xFF else 2
        else:
            position += 2 + max(int.from_bytes(data[position + 2 : position + 4], "big"), 2)
    return True


def bit_depth(format: str, data: bytes) -> int:
    """Bits a channel as PNG, TIFF or AVIF headers claim; 8 where that is unclear."""
    if format == "png" and data[12:16] == b"IHDR":
        return max(data[24], 8)
    if format == "avif":
        at = data.find(b"av1C", 0, 65_536)
        flags = data[at + 6] if 0 <= at < len(data) - 6 else 0
        return (12 if flags & 0x20 else 10) if flags & 0x40 else 8
    if format == "tiff":
        found = fields(data, (_BITS,), most=2).get(_BITS)
        return max((found.number() if found is not None else None) or 8, 8)
    return 8


def _jpeg(data: bytes) -> tuple[int, int] | None:
    position = 2
    for _ in range(_MAX_SEGMENTS):
        while data[position] == 0xFF and data[position + 1] == 0xFF:
            position += 1
        marker = data[position + 1]
        if data[position] != 0xFF or marker in (0xD9, 0xDA):
            return None
        if marker in _FRAME_MARKERS:
            height, width = struct.unpack(">HH", data[position + 5 : position + 9])
            return width, height
        standalone = 0xD0 <= marker <= 0xD8 or marker == 0x01
        size = 0 if standalone else struct.unpack(">H", data[position + 2 : position + 4])[0]
        position += 2 + size
    return None


def _largest(data: bytes) -> tuple[int, int] | None:
    """The largest of the sizes of images in a HEIF file: that of the whole, where it is made of tiles."""
    sizes: list[tuple[int, int]] = []
    at = data.find(b"ispe", 0, 1 << 20)
    while 0 <= at <= len(data) - 16 and len(sizes) < _MAX_SEGMENTS:
        sizes.append(struct.unpack_from(">II", data, at + 8))
        at = data.find(b"ispe", at + 16, 1 << 20)
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        return width, 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None
