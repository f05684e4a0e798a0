"""How many pictures a file holds, from its structure and within bounds: no frame is opened to be counted.

>>> frames_of("gif", b"GIF89a")
Frames(number=1, exact=True)
"""

from __future__ import annotations

import struct
from typing import NamedTuple

#: Blocks, directories and fields that are walked; a count that gets there is a lower bound.
MAX_STEPS = 100_000
_WIDTH = 256


class Frames(NamedTuple):
    """``number`` pictures, or at least as many where ``exact`` is false; never under 1."""

    number: int
    exact: bool


def frames_of(kind: str, data: bytes) -> Frames:
    """Frames of a GIF and pages of a TIFF; one of anything else, whose headers say how many there are."""
    if kind == "gif":
        return _gif(data)
    if kind == "tiff":
        return _tiff(data)
    return Frames(1, True)


def _gif(data: bytes) -> Frames:
    if len(data) < 13:
        return Frames(1, True)
    position = 13 + _colours(data[10])
    steps = count = 0
    while position < len(data):
        if steps > MAX_STEPS:
            return Frames(max(count, 1), False)
        kind = data[position]
        if kind == 0x2C and position + 10 <= len(data):
            count += 1
            position += 11 + _colours(data[position + 9])
        elif kind == 0x21:
            position += 2
        else:
            break
        while position < len(data) and data[position] and steps <= MAX_STEPS:
            steps += 1
            position += 1 + data[position]
        position += 1
        steps += 1
    return Frames(max(count, 1), True)


def _colours(flags: int) -> int:
    """Bytes of the colour table that goes with these flags."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _tiff(data: bytes) -> Frames:
    """Directories that have a width.

    A Content Credential of a file of several pages stands in a directory of its own, without one
    (C2PA 2.2, A.3.5).
    """
    order = "<" if data[:2] == b"II" else ">"
    seen: set[int] = set()
    steps = count = 0
    try:
        (at,) = struct.unpack_from(order + "I", data, 4)
        while at and at not in seen:
            seen.add(at)
            (number,) = struct.unpack_from(order + "H", data, at)
            steps += 1 + number
            if steps > MAX_STEPS:
                return Frames(max(count, 1), False)
            fields = struct.iter_unpack(order + "H10x", data[at + 2 : at + 2 + 12 * number])
            count += any(tag == _WIDTH for (tag,) in fields)
            (at,) = struct.unpack_from(order + "I", data, at + 2 + 12 * number)
    except struct.error:
        pass
    return Frames(max(count, 1), True)
