"""Metadata items of HEIC and AVIF files: found through the item table, as ISO/IEC 23008-12 (A.2) has it.

The name of a box is no payload: ``Exif`` stands first in the table that lists the items (``iinf``), and
where an item's bytes lie is told by another table (``iloc``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

MAX_ITEMS = 1024
MAX_EXTENTS = 256
MAX_WANTED = 16
MAX_BYTES = 1024 * 1024
_MAX_BOXES = 1024
XMP_TYPES = ("application/rdf+xml",)


def items(data: bytes) -> Iterator[tuple[str, str, bytes]]:
    """(type, content type, bytes) of the items ``Exif`` and ``mime``; damaged tables give nothing."""
    meta = next((span for kind, *span in _boxes(data, 0, len(data)) if kind == b"meta"), None)
    if meta is None:
        return
    parts = {kind: (start, stop) for kind, start, stop in _boxes(data, meta[0] + 4, meta[1])}
    if b"iinf" not in parts or b"iloc" not in parts:
        return
    try:
        wanted = dict(itertools.islice(_wanted(data, *parts[b"iinf"]), MAX_WANTED))
        for number, method, extents in _places(data, *parts[b"iloc"]):
            if number not in wanted:
                continue
            base = parts.get(b"idat", (0, 0))[0] if method == 1 else 0
            if method > 1:
                continue
            yield (*wanted.pop(number), _joined(data, base, extents))
    except IndexError:
        return


def _joined(data: bytes, base: int, extents: list[tuple[int, int]]) -> bytes:
    """An item's bytes, ``MAX_BYTES`` at most: extents may say the same place again and again."""
    body = bytearray()
    for at, size in extents:
        body += data[base + at : base + at + min(size, MAX_BYTES - len(body))]
        if len(body) >= MAX_BYTES:
            break
    return bytes(body)


def exif_of(body: bytes) -> bytes:
    """The TIFF structure in an Exif item: after a length and what it says is to be skipped."""
    return body[4 + int.from_bytes(body[:4], "big") :]


def _wanted(data: bytes, start: int, stop: int) -> Iterator[tuple[int, tuple[str, str]]]:
    """(item number, (type, content type)) of the items that hold metadata."""
    position = start + 4 + (2 if data[start] == 0 else 4)
    for kind, at, end in _boxes(data, position, stop):
        version = data[at]
        if kind != b"infe" or version < 2:
            continue
        wide = 4 if version >= 3 else 2
        number = int.from_bytes(data[at + 4 : at + 4 + wide], "big")
        rest = data[at + 4 + wide + 2 : end]
        item = rest[:4].decode("latin-1")
        if item in ("Exif", "mime"):
            names = rest[4:].split(b"\0")
            content = names[1].decode("latin-1") if item == "mime" and len(names) > 1 else ""
            yield number, (item, content)


def _places(data: bytes, start: int, stop: int) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """(item number, construction method, [(offset, length)]) of every item."""
    version = data[start]
    sizes = data[start + 4 : start + 6]
    offset_size, length_size = sizes[0] >> 4, sizes[0] & 15
    base_size, index_size = sizes[1] >> 4, sizes[1] & 15 if version in (1, 2) else 0
    position = start + 6
    wide = 4 if version == 2 else 2

    def number(size: int) -> int:
        nonlocal position
        if position + size > stop:
            raise IndexError(position)
        position += size
        return int.from_bytes(data[position - size : position], "big")

    for _ in range(min(number(wide), MAX_ITEMS)):
        item = number(wide)
        method = number(2) & 15 if version in (1, 2) else 0
        number(2)
        base = number(base_size)
        extents = []
        count = number(2)
        if count > MAX_EXTENTS:
            raise IndexError(count)
        for _ in range(count):
            number(index_size)
            offset = number(offset_size)
            extents.append((base + offset, min(number(length_size), MAX_BYTES)))
        yield item, method, extents


def _boxes(data: bytes, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, start of the content, stop) of the boxes in a range; ends at the first that does not fit."""
    for _ in range(_MAX_BOXES):
        if position + 8 > end:
            return
        size = int.from_bytes(data[position : position + 4], "big")
        head = 8
        if size == 1:
            size, head = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        elif size == 0:
            size = end - position
        if size < head or position + size > end:
            return
        yield data[position + 4 : position + 8], position + head, position + size
        position += size
