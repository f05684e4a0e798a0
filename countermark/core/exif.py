"""EXIF and TIFF directories: the few fields that are needed, read within bounds.

A directory is a list of fields, each with an address. Nothing stops a file of a megabyte from having sixty
thousand fields that all point at the same megabyte; a reader that fetches them all needs as many gigabytes.
So a directory is looked at before any library loads it (``modest``), and only wanted fields are fetched.

>>> blob = b"II*\\0\\x08\\0\\0\\0\\x01\\0\\x12\\x01\\x03\\0\\x01\\0\\0\\0\\x06\\0\\0\\0\\0\\0\\0\\0"
>>> modest(blob), orientation(blob)
(True, 6)
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

ORIENTATION = 0x0112
EXIF_FOLDER = 0x8769
#: Directories that the main one points at: EXIF, GPS, interoperability, and what TIFF calls sub-images.
_FOLDERS = (EXIF_FOLDER, 0x8825, 0xA005, 0x014A)
_MAX_ENTRIES = 4096
_MAX_FOLDERS = 16
#: Strips or tiles of a TIFF: a library spends some microseconds on each.
_MAX_PIECES = 131_072
_PIECES = (273, 324)
#: Bytes that fields may claim beyond what there is: writers share a value between fields now and then.
_SLACK = 65_536
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_ASCII, _SHORT = 2, 3


@dataclass(frozen=True)
class Field:
    """One field: its type (TIFF 6.0), how many values, its bytes, and their order (``<`` or ``>``)."""

    kind: int
    count: int
    raw: bytes
    order: str

    def text(self) -> str | None:
        """An ASCII field as text (UTF-8, else Latin-1), without what follows its end; None for others."""
        if self.kind != _ASCII:
            return None
        raw = self.raw.rstrip(b"\0")
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return raw.decode("latin-1")

    def number(self) -> int | None:
        """The first value of a field of whole numbers; None for others."""
        size = {1: 1, 3: 2, 4: 4}.get(self.kind)
        if size is None or len(self.raw) < size:
            return None
        return int.from_bytes(self.raw[:size], "little" if self.order == "<" else "big")


def fields(blob: bytes, wanted: Collection[int], *, most: int = 1 << 20) -> dict[int, Field]:
    """The wanted fields of the main directory and of the EXIF one, the former first.

    Args:
        blob: EXIF from its TIFF header on (``Exif\\0\\0`` before it is passed over), or a TIFF.
        wanted: Their tags.
        most: Bytes that are taken of one field.
    """
    blob = _without_name(blob)
    found: dict[int, Field] = {}
    for folder in _folders(blob, (EXIF_FOLDER,)):
        for tag, kind, count, at in _entries(blob, folder):
            if tag in wanted and tag not in found:
                size = min(_SIZES.get(kind, 1) * count, most)
                found[tag] = Field(kind, count, blob[at : at + size], _order(blob))
    return found


def orientation(blob: bytes) -> int | None:
    """How a picture is to be turned: 1 to 8 as EXIF has it (1 for any other number), None where nothing is
    said."""
    blob = _without_name(blob)
    start = next(iter(_folders(blob, ())), 0)
    for tag, kind, _, at in _entries(blob, start):
        if tag == ORIENTATION:
            value = Field(kind, 1, blob[at : at + 4], _order(blob)).number()
            return value if value in range(1, 9) else 1
    return None


def modest(blob: bytes) -> bool:
    """Whether the directories claim no more bytes than the blob has, and no more than 4,096 fields each.

    What is no TIFF structure is modest: nobody will load it.
    """
    blob = _without_name(blob)
    budget = len(blob) + _SLACK
    for folder in _folders(blob, _FOLDERS):
        (number,) = struct.unpack_from(_order(blob) + "H", blob, folder)
        if number > _MAX_ENTRIES:
            return False
        for tag, kind, count, _ in _entries(blob, folder):
            budget -= _SIZES.get(kind, 1) * count
            if budget < 0 or (tag in _PIECES and count > _MAX_PIECES):
                return False
    return True


def blobs(kind: str, data: bytes) -> Iterator[bytes]:
    """The TIFF structures of a file that a picture library may load on its own.

    Args:
        kind: The file's format, as the image gate names it.
    """
    if kind == "tiff":
        yield data
    elif kind == "jpeg":
        yield b"".join(_jpeg_segments(data, 0xE1, b"Exif\0\0"))  # libraries put them together
        yield from _jpeg_segments(data, 0xE2, b"MPF\0")
    else:
        for head in (b"Exif\0\0II*\0", b"Exif\0\0MM\0*", b"II*\0", b"MM\0*"):
            at = data.find(head)
            for _ in range(_MAX_FOLDERS):
                if at < 0:
                    break
                yield data[at : at + (1 << 24)]
                at = data.find(head, at + 4)


def of_webp(data: bytes) -> bytes:
    """The EXIF of a WebP; empty where it has none."""
    position = 12
    for _ in range(_MAX_ENTRIES):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        if position + 8 > len(data):
            break
        if data[position : position + 4] == b"EXIF":
            return data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
    return b""


def _jpeg_segments(data: bytes, wanted: int, name: bytes) -> Iterator[bytes]:
    """What the segments of a kind hold after their name."""
    position = 2
    for _ in range(_MAX_ENTRIES):
        if position + 4 > len(data) or data[position] != 0xFF or data[position + 1] in (0xDA, 0xD9):
            return
        if data[position + 1] == 0xFF or data[position + 1] == 0x01 or 0xD0 <= data[position + 1] <= 0xD8:
            position += 1 if data[position + 1] == 0xFF else 2
            continue
        size = max(int.from_bytes(data[position + 2 : position + 4], "big"), 2)
        start = position + 4 + len(name)
        if data[position + 1] == wanted and data[position + 4 : start] == name:
            yield data[start : position + 2 + size]
        position += 2 + size


def _without_name(blob: bytes) -> bytes:
    return blob[6:] if blob.startswith(b"Exif\0\0") else blob


def _order(blob: bytes) -> str:
    return "<" if blob[:2] == b"II" else ">"


def _folders(blob: bytes, below: Collection[int]) -> Iterator[int]:
    """Where the main directory starts, then those that it points at under the tags ``below``."""
    if blob[:4] not in (b"II*\0", b"MM\0*") or len(blob) < 10:
        return
    order = _order(blob)
    waiting = [struct.unpack_from(order + "I", blob, 4)[0]]
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_FOLDERS:
        start = waiting.pop(0)
        if start in seen or start + 2 > len(blob):
            continue
        seen.add(start)
        yield start
        for tag, kind, count, at in _entries(blob, start):
            if tag in below and kind in (4, 13) and at + 4 * count <= len(blob):
                waiting += struct.unpack_from(f"{order}{min(count, _MAX_FOLDERS)}I", blob, at)


def _entries(blob: bytes, start: int) -> Iterator[tuple[int, int, int, int]]:
    """(tag, type, count, where its value lies) of the fields of a directory."""
    if start < 8 or start + 2 > len(blob):
        return
    order = _order(blob)
    (number,) = struct.unpack_from(order + "H", blob, start)
    number = min(number, _MAX_ENTRIES, (len(blob) - start - 2) // 12)
    entry = start + 2
    for tag, kind, count, value in struct.iter_unpack(order + "HHII", blob[entry : entry + 12 * number]):
        yield tag, kind, count, entry + 8 if _SIZES.get(kind, 1) * count <= 4 else value
        entry += 12
