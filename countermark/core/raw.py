"""Raw photographs, told by their first bytes: a reader of TIFF would show the embedded preview of one.

>>> is_raw(b"FUJIFILMCCD-RAW 0201"), is_raw(b"II*\\x00\\x08\\x00\\x00\\x00\\x00\\x00")
(True, False)
"""

from __future__ import annotations

import struct

_HEADS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\x00", b"FOVb")
_TIFF = {b"II*\x00": "<", b"MM\x00*": ">"}
#: Tags of the first directory: kind of picture, compression, meaning of the samples, version of DNG.
_REDUCED, _COMPRESSION, _SAMPLES, _DNG = 0xFE, 0x103, 0x106, 0xC612
_RAW_COMPRESSIONS = frozenset({32767, 34713, 65535})
_RAW_SAMPLES = frozenset({32803, 34892})
_MAX_ENTRIES = 512


def is_raw(data: bytes) -> bool:
    """Whether a file is a raw photograph, or a TIFF whose first picture is a reduced one of another.

    At most one directory of 512 entries is looked at.
    """
    if data.startswith(_HEADS) or data[4:12] == b"ftypcrx ":
        return True
    order = _TIFF.get(data[:4])
    if order is None:
        return False
    if data[8:10] == b"CR":  # Canon's CR2
        return True
    (place,) = struct.unpack(f"{order}I", data[4:8].ljust(4, b"\0"))
    if place + 2 > len(data):
        return False
    (count,) = struct.unpack_from(f"{order}H", data, place)
    for number in range(min(count, _MAX_ENTRIES)):
        at = place + 2 + 12 * number
        if at + 12 > len(data):
            return False
        tag, kind, _ = struct.unpack_from(f"{order}HHI", data, at)
        if tag == _DNG:
            return True
        value = struct.unpack_from(f"{order}I" if kind == 4 else f"{order}H", data, at + 8)[0]
        if (tag == _REDUCED and value & 1) or (tag == _COMPRESSION and value in _RAW_COMPRESSIONS):
            return True
        if tag == _SAMPLES and value in _RAW_SAMPLES:
            return True
    return False
