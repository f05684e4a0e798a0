"""Takes one manifest out of a manifest store (JUMBF, ISO 19566-5), for those who want only one.

>>> extract_manifest(b"not JUMBF", "urn:c2pa:1")
b'not JUMBF'
"""

from __future__ import annotations

from collections.abc import Iterator

_MAX_BOXES = 4096


def extract_manifest(store: bytes, manifest_id: str) -> bytes:
    """The store with no other manifest in it than ``manifest_id``.

    A store that cannot be taken apart, or that does not hold the manifest, is returned whole.
    """
    outer = list(_boxes(store, 0, len(store)))
    if len(outer) != 1 or outer[0][0] != b"jumb":
        return store
    inner = list(_boxes(store, 8, len(store)))
    if not inner or inner[0][0] != b"jumd":
        return store
    description = store[inner[0][1] : inner[0][2]]
    for kind, start, stop in inner[1:]:
        if kind == b"jumb" and _label(store, start + 8, stop) == manifest_id:
            content = description + store[start:stop]
            return (len(content) + 8).to_bytes(4, "big") + b"jumb" + content
    return store


def _boxes(data: bytes, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields (type, start, stop) of the boxes in a range; ends at the first that does not fit."""
    for _ in range(_MAX_BOXES):
        if position + 8 > end:
            return
        size = int.from_bytes(data[position : position + 4], "big")
        if size < 8 or position + size > end:
            return
        yield data[position + 4 : position + 8], position, position + size
        position += size


def _label(data: bytes, position: int, end: int) -> str | None:
    """The label in the description box at ``position``: after type (16 bytes) and toggles (1 byte)."""
    first = next(_boxes(data, position, end), None)
    if first is None or first[0] != b"jumd" or first[2] - first[1] < 26:
        return None
    return data[first[1] + 25 : first[2]].split(b"\0", 1)[0].decode("ascii", "replace")
