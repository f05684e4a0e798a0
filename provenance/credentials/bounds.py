"""Bounds on manifest stores before the library reads them.

The library's CBOR reader believes a string's length and reserves that much memory: one flipped bit
in a 60 kB file made it take 1.9 GB. So every CBOR box of every manifest store in a file is walked
first; a string, array or map that is longer than its box ends the matter.

>>> plausible(b"\\xa1\\x61k\\x61v"), plausible(b"\\xa1\\x61k\\x7a\\x6e\\x6f\\x74\\x41v")
(True, False)
"""

from __future__ import annotations

import re

from countermark.provenance.credentials import codes
from countermark.provenance.credentials.jumbf import contents_of, stores

_LONG_HEAD = re.compile(rb"[\x5a\x5b\x7a\x7b\x9a\x9b\xba\xbb]")
_MAX_UNPACKED = 64 * 1024 * 1024
_SIZES = {24: 1, 25: 2, 26: 4, 27: 8}


def out_of_bounds(data: bytes) -> str | None:
    """Why the manifest stores in a file (or a bare store) must not be read, or None when they may.

    Returns:
        ``countermark.manifest.bounds`` when a CBOR box is not plausible, or a compressed manifest
        (C2PA 2.x, "Compressed manifests") unpacks to more than 64 MB;
        ``countermark.manifest.compressed`` when there is one and the brotli package is missing.
    """
    return bounded_parts(data)[0]


def bounded_parts(data: bytes) -> tuple[str | None, list[bytes]]:
    """As ``out_of_bounds``, and what was looked at: every manifest store and what is compressed in it."""
    parts: list[bytes] = []
    for store in stores(data):
        held = [store]
        for unpacked in unpacked_of(store):
            if unpacked is None:
                return codes.COMPRESSED, parts
            if len(unpacked) > _MAX_UNPACKED or b"brob" in unpacked:
                return codes.OUT_OF_BOUNDS, parts
            held.append(unpacked)
        if not all(plausible(content) for part in held for content in contents_of(part, b"cbor")):
            return codes.OUT_OF_BOUNDS, parts
        parts += filter(None, held)
    return None, parts


def plausible(content: bytes) -> bool:
    """Whether no CBOR item (RFC 8949) says that it is longer than what is left of ``content``.

    Anything else that may be wrong is left to the library, which stops there.
    """
    if _LONG_HEAD.search(content) is None:
        return True
    position, end = 0, len(content)
    while position < end:
        kind, low = content[position] >> 5, content[position] & 31
        position += 1
        if low < 24:
            value = low
        elif low in _SIZES:
            value = int.from_bytes(content[position : position + _SIZES[low]], "big")
            position += _SIZES[low]
        elif low == 31:
            continue  # of indefinite length, or its end
        else:
            return True
        if kind in (2, 3):
            if value > end - position:
                return False
            position += value
        elif kind in (4, 5) and value > end - position:
            return False
    return True


def unpacked_of(store: bytes) -> list[bytes | None]:
    """What the compressed manifests of a store hold; None for each where brotli is missing."""
    return [_unpack(packed) for packed in contents_of(store, b"brob")]


def _unpack(packed: bytes) -> bytes | None:
    """At most a little more than ``_MAX_UNPACKED`` bytes; empty for damaged data; None without brotli."""
    try:
        import brotli

        return bytes(brotli.Decompressor().process(packed, output_buffer_limit=_MAX_UNPACKED + 1))
    except (ImportError, TypeError):  # versions before 1.2 know no limit
        return None
    except brotli.error:
        return b""
