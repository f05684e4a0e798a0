"""Finds the C2PA manifest store (JUMBF boxes, ISO 19566-5) inside a file, without validating it.

Used to tell a file with a broken credential from one without, to read the signing certificates,
and to hand the store to the manifest repository. Every walk is bounded.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import re
from collections.abc import Iterator

C2PA_TYPE = b"c2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71"
CLAIM_TYPE = b"c2cl\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71"
SIGNATURE_TYPE = b"c2cs\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71"
MARKER = b"jumd" + C2PA_TYPE
_MAX_BOXES = 65_536
_MAX_DEPTH = 16
_MAX_STORES = 32
_MAX_BLOCKS = 500_000
#: Without going back over what was read: possessive, so that time grows with length only.
_SVG_MANIFEST = re.compile(rb"<(?:\w{1,64}+:)?manifest[^>]{0,256}+>([A-Za-z0-9+/=\s]++)</")


def has_credential(data: bytes) -> bool:
    """Whether there are C2PA bytes in ``data``, readable or not."""
    return MARKER in data


def carries_store(data: bytes) -> bool:
    """Whether a file carries a manifest store where its format keeps one, readable or not.

    As ``has_credential``, but JPEG, PNG and WebP are walked instead of searched: some
    microseconds instead of a tenth of a millisecond for each image that is signed.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return any(marker == 0xEB for marker, _ in _jpeg_markers(data)) and has_credential(data)
    if data.startswith((b"\x89PNG", b"RIFF")):
        return any(True for _ in _chunks(data))
    return has_credential(data)


def manifest_store(data: bytes) -> bytes | None:
    """The manifest store's bytes from an image (any format) or a ``.c2pa`` file.

    Returns:
        The ``jumb`` superbox with its header, or None when there is none or it is cut off.
    """
    for store in stores(data):
        size = int.from_bytes(store[:4], "big")
        if 24 <= size <= len(store) and store[4:8] == b"jumb" and C2PA_TYPE in store[:128]:
            return store[:size]
    return None


def stores(data: bytes) -> Iterator[bytes]:
    """Every manifest store in a file, with the rest of the file when its size makes no sense.

    No byte is given more than twice: in a store, and in the one rest.
    """
    if data.startswith(b"\xff\xd8\xff"):
        yield from _jpeg_streams(data)
        return
    if data.startswith((b"GIF87a", b"GIF89a")):
        yield from _gif_streams(data)
        return
    if data.startswith((b"\x89PNG", b"RIFF")):
        yield from _chunks(data)
        return
    if b"<svg" in data[:4096]:
        for match in _SVG_MANIFEST.finditer(data):
            try:
                yield base64.b64decode(match.group(1))
            except binascii.Error:
                continue
    position, rest = 0, False
    for _ in range(_MAX_STORES):
        position = data.find(MARKER, position)
        if position < 0:
            return
        start = max(0, position - 12)
        size = int.from_bytes(data[start : start + 4], "big")
        if 24 <= size <= len(data) - start:
            yield data[start : start + size]
            position = max(start + size, position + len(MARKER))
            continue
        if not rest:
            rest = True
            yield data[start:]
        position += len(MARKER)


def contents_of(store: bytes, kind: bytes) -> Iterator[bytes]:
    """The contents of every box of a kind, wherever it stands in a store."""
    position = 0
    while (position := store.find(kind, position)) >= 0:
        head = store[max(0, position - 4) : position]
        if head != b"jumd":  # else it is the type of a description box
            size = int.from_bytes(head, "big")
            start = position + (12 if size == 1 else 4)
            stop = position - 4 + size
            yield store[start : stop if start <= stop <= len(store) else len(store)]
        position += 4


def boxes(data: bytes, closed: bytes = b"") -> Iterator[tuple[str, bytes, bytes]]:
    """Yields (label, type uuid, content after the description box) of every superbox, outermost first.

    At most 65,536 boxes are looked at, at whatever depth; not inside of those whose type begins with
    ``closed``.
    """
    yield from _boxes(data, 0, itertools.repeat(None, _MAX_BOXES), closed)


def _boxes(
    data: bytes, depth: int, left: Iterator[None], closed: bytes
) -> Iterator[tuple[str, bytes, bytes]]:
    if depth > _MAX_DEPTH:
        return
    position = 0
    while position + 8 <= len(data) and next(left, left) is None:
        size = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        if size < 8 or position + size > len(data):
            return
        body = data[position + 8 : position + size]
        if kind == b"jumb" and body[4:8] == b"jumd":
            described = int.from_bytes(body[:4], "big")
            label = body[25:described].split(b"\0", 1)[0].decode("utf-8", "replace")
            content = body[described:]
            yield label, body[8:24], content
            if not closed or not body.startswith(closed, 8):
                yield from _boxes(content, depth + 1, left, closed)
        position += size


def certificates_of(store: bytes) -> dict[str, list[bytes]]:
    """DER certificates in each manifest's signature box, leaf first, by manifest label."""
    found: dict[str, list[bytes]] = {}
    for label, kind, content in manifest_boxes(store, within_assertions=False):
        if kind == SIGNATURE_TYPE:
            found.setdefault(label, _der_sequences(content))
    return found


def manifest_boxes(store: bytes, *, within_assertions: bool = True) -> Iterator[tuple[str, bytes, bytes]]:
    """Yields (manifest label, box type, content) of every box inside a manifest."""
    current = ""
    for label, kind, content in boxes(store, b"" if within_assertions else b"c2as"):
        if kind[:4] in (b"c2ma", b"c2um", b"c2cm"):
            current = label
        else:
            yield current, kind, content


def _der_sequences(cose: bytes) -> list[bytes]:
    """Byte strings of a COSE_Sign1 that hold a DER sequence: the x5chain certificates."""
    found: list[bytes] = []
    position = 0
    while (position := cose.find(b"\x30\x82", position)) >= 0 and len(found) < 16:
        head = cose[position - 3 : position]
        size = int.from_bytes(cose[position + 2 : position + 4], "big") + 4
        if len(head) == 3 and head[0] == 0x59 and int.from_bytes(head[1:], "big") == size:
            found.append(cose[position : position + size])
            position += size
        else:
            position += 2
    return [each for each in found if each]


def _chunks(data: bytes) -> Iterator[bytes]:
    """The contents of C2PA chunks of a PNG or RIFF file; the rest of the file where it is damaged."""
    png = data.startswith(b"\x89PNG")
    name, position = (b"caBX", 8) if png else (b"C2PA", 12)
    while position + 8 <= len(data):
        first, second = data[position : position + 4], data[position + 4 : position + 8]
        kind, length = (
            (second, int.from_bytes(first, "big")) if png else (first, int.from_bytes(second, "little"))
        )
        if kind == name:
            yield data[position + 8 : position + 8 + length]
        before = position
        position += length + (12 if png else 8 + length % 2)
        if position > len(data) + 1:
            rest = data.find(MARKER, before + 8)
            if rest >= 12:
                yield data[rest - 12 :]


def _gif_streams(data: bytes) -> Iterator[bytes]:
    """The contents of GIF application extensions named for C2PA, blocks of 255 bytes put together."""
    position, blocks = 0, 0
    for _ in range(_MAX_STORES):
        position = data.find(b"\x21\xff\x0bC2PA_GIF", position)
        if position < 0:
            return
        position += 14
        parts: list[bytes] = []
        while position < len(data) and data[position] and blocks < _MAX_BLOCKS:
            blocks += 1
            parts.append(data[position + 1 : position + 1 + data[position]])
            position += 1 + data[position]
        yield b"".join(parts)


def _jpeg_streams(data: bytes) -> list[bytes]:
    """The JUMBF streams of a JPEG: APP11 segments of one box, put together in order."""
    parts: dict[int, list[tuple[int, bytes]]] = {}
    for marker, position in _jpeg_markers(data):
        size = int.from_bytes(data[position + 2 : position + 4], "big")
        body = data[position + 4 : position + 2 + size]
        if marker == 0xEB and body[:2] == b"JP" and len(body) > 16:
            number, order = int.from_bytes(body[2:4], "big"), int.from_bytes(body[4:8], "big")
            group = parts.setdefault(number, [])
            group.append((order, body[8:] if not group else body[16:]))
    return [
        b"".join(content for _, content in sorted(group, key=lambda each: each[0]))
        for group in parts.values()
    ]


def _jpeg_markers(data: bytes) -> Iterator[tuple[int, int]]:
    """(marker, position) of the segments before the picture data."""
    position, seen = 2, 0
    while position + 4 <= len(data) and data[position] == 0xFF and seen < 65_536:
        seen += 1
        marker = data[position + 1]
        if marker in (0xDA, 0xD9):
            return
        if marker == 0xFF or 0xD0 <= marker <= 0xD8 or marker == 0x01:
            position += 1 if marker == 0xFF else 2
            continue
        yield marker, position
        position += 2 + max(int.from_bytes(data[position + 2 : position + 4], "big"), 2)
