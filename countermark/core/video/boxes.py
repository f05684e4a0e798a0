"""Boxes of ISO media files (MP4, MOV), walked in an open file: nothing but headers is read.

>>> import io
>>> [(kind, size) for kind, _, size in boxes(io.BytesIO(bytes([0, 0, 0, 12]) + b"freeabcd"))]
[('free', 4)]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from countermark.core.errors import ClipError

MAX_BOXES = 100_000
_MAX_DEPTH = 8
#: Boxes that hold boxes, on the way to where references to other files stand.
_HOLDERS = frozenset({"moov", "trak", "mdia", "minf", "dinf", "gmhd"})
#: Boxes with which a movie says that its media, or the movie itself, lie elsewhere.
_ELSEWHERE = frozenset({"rmra", "rmda"})
_LOCAL = 1


def boxes(stream: IO[bytes], start: int = 0, stop: int | None = None) -> Iterator[tuple[str, int, int]]:
    """(type, position of the content, its size) of the boxes in a range; ends where one does not fit."""
    if stop is None:
        stop = stream.seek(0, 2)
    position = start
    for _ in range(MAX_BOXES):
        if position + 8 > stop:
            return
        stream.seek(position)
        head = stream.read(16)
        size, used = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, used = int.from_bytes(head[8:16], "big"), 16
        elif size == 0:
            size = stop - position
        if size < used or position + size > stop:
            return
        yield head[4:8].decode("latin-1"), position + used, size - used
        position += size


def within(
    stream: IO[bytes],
    holders: frozenset[str] = _HOLDERS,
    start: int = 0,
    stop: int | None = None,
    depth: int = 0,
) -> Iterator[tuple[str, int, int]]:
    """As ``boxes``, and the boxes inside of ``holders``."""
    for kind, at, size in boxes(stream, start, stop):
        yield kind, at, size
        if kind in holders and depth < _MAX_DEPTH:
            yield from within(stream, holders, at, at + size, depth + 1)


def refuse_references(stream: IO[bytes], name: str) -> None:
    """Refuses a movie whose media lie in other files or at addresses (``dref``, ``rmra``).

    Raises:
        ClipError: ``clip.references``.
    """
    for kind, at, size in within(stream):
        elsewhere = kind in _ELSEWHERE
        if kind == "dref" and size >= 8:
            elsewhere = any(
                _outside(stream, place, length) for _, place, length in boxes(stream, at + 8, at + size)
            )
        if elsewhere:
            raise ClipError(
                f"{name}: its media lie in another file or at an address, which is not opened.",
                code="clip.references",
                hint="Save it with its media inside (self-contained).",
            )


def _outside(stream: IO[bytes], at: int, size: int) -> bool:
    """Whether an entry of a ``dref`` box lacks the flag that says the media are in this very file."""
    stream.seek(at)
    flags = stream.read(4)
    return size >= 4 and not flags[3] & _LOCAL
