"""Bounds on manifest stores before the library reads them.

The library's CBOR reader believes a string's length and reserves that much memory: one flipped bit
in a 60 kB file made it take 1.9 GB. So every CBOR box of every manifest store in a file is walked
first; a string, array or map that is longer than its box ends the matter. So do boxes that lie over each
other, which would be read again and again, and compressed ones that unpack to more than 64 MB together.

>>> plausible(b"\\xa1\\x61k\\x61v"), plausible(b"\\xa1\\x61k\\x7a\\x6e\\x6f\\x74\\x41v")
(True, False)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from countermark.provenance.credentials import codes
from countermark.provenance.credentials.jumbf import contents_of, stores

_LONG_HEAD = re.compile(rb"[\x5a\x5b\x7a\x7b\x9a\x9b\xba\xbb]")
_MAX_UNPACKED = 64 * 1024 * 1024
#: Bytes of boxes that are looked at, as a multiple of the store: more only where boxes lie over each other.
_MAX_READ, _SLACK = 4, 65_536
#: Items of all CBOR boxes of a file.
_MAX_ITEMS = 1_000_000
_SIZES = {24: 1, 25: 2, 26: 4, 27: 8}


def out_of_bounds(data: bytes) -> str | None:
    """Why the manifest stores in a file (or a bare store) must not be read, or None when they may.

    Returns:
        ``countermark.manifest.bounds`` when a CBOR box is not plausible, boxes lie over each other, or the
        compressed manifests (C2PA 2.x, "Compressed manifests") unpack to more than 64 MB together;
        ``countermark.manifest.compressed`` when there is one and the brotli package is missing.
    """
    return bounded_parts(data)[0]


def bounded_parts(data: bytes) -> tuple[str | None, list[bytes]]:
    """As ``out_of_bounds``, and what was looked at: every manifest store and what is compressed in it."""
    parts: list[bytes] = []
    room, items = _MAX_UNPACKED, _MAX_ITEMS
    for store in stores(data):
        held = [store]
        for packed in _apart(store, b"brob"):
            unpacked = b"" if packed is None else _unpack(packed, room)
            if unpacked is None:
                return codes.COMPRESSED, parts
            room -= len(unpacked)
            if packed is None or room < 0 or b"brob" in unpacked:
                return codes.OUT_OF_BOUNDS, parts
            held.append(unpacked)
        for part in held:
            for content in _apart(part, b"cbor"):
                walked = None if content is None else _items(content, items)
                if walked is None:
                    return codes.OUT_OF_BOUNDS, parts
                items -= walked
        parts += filter(None, held)
    return None, parts


def _apart(store: bytes, kind: bytes) -> Iterator[bytes | None]:
    """The contents of a store's boxes of a kind; None, and no more, once they lie over each other."""
    room = _MAX_READ * len(store) + _SLACK
    for content in contents_of(store, kind):
        room -= len(content)
        yield content if room >= 0 else None
        if room < 0:
            return


def plausible(content: bytes) -> bool:
    """Whether no CBOR item (RFC 8949) says that it is longer than what is left of ``content``.

    Anything else that may be wrong is left to the library, which stops there.
    """
    return _items(content, _MAX_ITEMS) is not None


def _items(content: bytes, most: int) -> int | None:
    """How many CBOR items were walked; None where one is longer than the rest, or there are too many."""
    if _LONG_HEAD.search(content) is None:
        return 0
    position, end = 0, len(content)
    for walked in range(most + 1):
        if position >= end:
            return walked
        kind, low = divmod(content[position], 32)
        position += 1
        if low < 24:
            value = low
        elif low in _SIZES:
            value = int.from_bytes(content[position : position + _SIZES[low]], "big")
            position += _SIZES[low]
        elif low == 31:
            continue  # of indefinite length, or its end
        else:
            return walked + 1
        if kind in (2, 3):
            if value > end - position:
                return None
            position += value
        elif kind in (4, 5) and value > end - position:
            return None
    return None


def _unpack(packed: bytes, most: int) -> bytes | None:
    """At most a little more than ``most`` bytes; empty for damaged data; None without brotli."""
    try:
        import brotli

        return bytes(brotli.Decompressor().process(packed, output_buffer_limit=most + 1))
    except (ImportError, TypeError):  # versions before 1.2 know no limit
        return None
    except brotli.error:
        return b""
