"""Reads one item for a scan: its bytes once, then a cached result, or evidence and pixels.

In this process, or, where bounds for a file are given, in one that can be stopped (``isolated``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

from countermark.app.clips.door import ClipDoor, Moving
from countermark.app.scan.ahead import Room
from countermark.app.scan.cache import ResultCache
from countermark.app.scan.gather import Gathered, gather
from countermark.app.scan.isolated import Readers
from countermark.app.scan.items import Item
from countermark.app.scan.shards import read_item
from countermark.core.decoding import reduction
from countermark.core.errors import CountermarkError, ImageError
from countermark.core.files import sha256_bytes, sha256_file
from countermark.core.headers import header_size
from countermark.core.images import Limits, sniff_format
from countermark.core.results import Failure, ScanResult

LOG = logging.getLogger(__name__)


class Reader:
    """What ``ahead.chunks`` calls for every item; raises nothing, an error is a row.

    Args:
        door: Takes what moves.
        limits: Of the image gate.
        marks: As for ``gather``, like ``mark_seconds``.
        cache: Earlier results, or None.
        processes: Where files are read in processes of their own; None reads them here.
        complete: Adds evidence that is found in this process.
    """

    def __init__(
        self,
        door: ClipDoor,
        *,
        limits: Limits,
        marks: bool,
        mark_seconds: float,
        cache: ResultCache | None = None,
        processes: Readers | None = None,
        complete: Callable[[Gathered], Gathered] = lambda found: found,
    ) -> None:
        self._door = door
        self._limits, self._marks, self._mark_seconds = limits, marks, mark_seconds
        self._cache, self._processes, self._complete = cache, processes, complete

    def __call__(self, place: int, item: Item, room: Room) -> Gathered | ScanResult | Moving:
        path = item.path
        try:
            if item.kind == "file":
                clip = self._door.waiting(path)
                if clip is not None:
                    return self._known(path, lambda: sha256_file(path)) or clip
            return self._picture(place, item, room)
        except CountermarkError as error:
            return failed(path, error)
        except (MemoryError, OSError, ValueError, RuntimeError) as error:
            LOG.debug("%s could not be examined", path, exc_info=True)
            reason = f"{path} could not be examined ({type(error).__name__})."
            return failed(path, ImageError(reason, code="image.unreadable"))

    def _known(self, path: str, digest: Callable[[], str]) -> ScanResult | None:
        return None if self._cache is None else self._cache.get(digest(), path)

    def _picture(self, place: int, item: Item, room: Room) -> Gathered | ScanResult | Moving:
        data = read_item(item, self._limits)
        known = self._known(item.path, lambda: sha256_bytes(data))
        if known is not None:
            return known

        def holding(size: int) -> AbstractContextManager[None]:
            return room.working(place, size)

        if self._processes is not None:
            found = self._processes.gather(item.path, data, holding)
        else:
            with holding(decoding_cost(data, self._limits)):
                found = gather(
                    item.path,
                    limits=self._limits,
                    marks=self._marks,
                    mark_seconds=self._mark_seconds,
                    data=data,
                )
        found = self._complete(found)
        moving = self._door.animated(found) if item.kind == "file" else None
        # The file's bytes and its transparency have said what they can.
        return moving or replace(found, image=replace(found.image, data=b"", alpha=None))


def failed(path: str, error: CountermarkError) -> ScanResult:
    """The row of a file that could not be scanned."""
    return ScanResult(path, None, None, None, error=Failure(error.code, error.message, error.hint))


def decoding_cost(data: bytes, limits: Limits) -> int:
    """Bytes that decoding takes at its peak, by the file's headers: Pillow has four a pixel, we three."""
    kind = sniff_format(data)
    width, height = (header_size(kind, data) if kind else None) or (0, 0)
    whole = min(width * height, limits.max_pixels)
    left = whole // reduction(width, height) ** 2
    return len(data) + 4 * (left if kind == "jpeg" else whole) + 3 * left
