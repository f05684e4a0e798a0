"""Reading ahead, within a budget of memory: pictures are decoded while others are scored.

Chunks are bounded by what their pictures hold, not by their number: a file of ten kilobytes may hold three
hundred megabytes of pixels. A picture that would go over the budget waits until earlier ones were scored;
the one that is next is never made to wait, so that every picture that the gate lets in is scanned.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from countermark.app.scan.items import Item

if TYPE_CHECKING:
    from countermark.app.clips.door import Moving
    from countermark.app.scan.gather import Gathered
    from countermark.core.results import ScanResult

Found: TypeAlias = "Gathered | ScanResult | Moving"

#: Bytes of decoded pictures that are held at a time, the next one apart; and those of a chunk.
CAPACITY = 384 << 20
CHUNK_BYTES = 128 << 20
#: Pictures of a chunk, at most.
CHUNK = 16


class Room:
    """Memory that pictures take up between being read and being scored. Places are numbered in order."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.held = 0
        self._next = 0
        self._change = threading.Condition()

    @contextmanager
    def working(self, place: int, cost: int) -> Iterator[None]:
        """Holds ``cost`` bytes while a picture is decoded; waits until they fit or it is this one's turn."""
        with self._change:
            self._change.wait_for(lambda: place <= self._next or self.held + cost <= self.capacity)
            self.held += cost
        try:
            yield
        finally:
            self.give(cost)

    def keep(self, size: int) -> None:
        """Holds what a decoded picture takes until it was scored."""
        with self._change:
            self.held += size

    def give(self, size: int) -> None:
        """Gives ``size`` bytes back."""
        with self._change:
            self.held -= size
            self._change.notify_all()

    def turn(self, place: int) -> None:
        """From now on it is this place's turn."""
        with self._change:
            self._next = place
            self._change.notify_all()


#: Reads one item: its place, the item, and the room that its pixels need.
Read = Callable[[int, Item, Room], Found]


def held_by(found: Found) -> int:
    """Bytes of pixels."""
    image = getattr(found, "image", None)
    return 0 if image is None else int(image.pixels.nbytes)


def chunks(
    items: Iterable[Item], read: Read, *, workers: int, room: Room | None = None
) -> Generator[list[Found], None, None]:
    """Yields what was read, in order, in chunks that fit into memory; the next are read meanwhile.

    The first chunk is one picture and each is at most twice as long as the one before, so that whoever waits
    sees a result as soon as there is one.

    Args:
        items: In the order of the results; taken as they are needed.
        read: Called in ``workers`` threads; raises nothing.
        workers: Threads.
        room: The budget, for tests.
    """
    room = room or Room()

    def one(place: int, item: Item) -> Found:
        found = read(place, item, room)
        room.keep(held_by(found))
        return found

    source = enumerate(items)
    waiting: deque[tuple[int, Future[Found]]] = deque()
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:

        def fill() -> None:
            while len(waiting) < 2 * CHUNK and (entry := next(source, None)) is not None:
                waiting.append((entry[0], pool.submit(one, *entry)))

        try:
            fill()
            most = 1
            while waiting:
                chunk: list[Found] = []
                size = 0
                while waiting and len(chunk) < most and size < CHUNK_BYTES:
                    place, future = waiting.popleft()
                    room.turn(place)
                    chunk.append(future.result())
                    size += held_by(chunk[-1])
                most = min(2 * most, CHUNK)
                fill()
                if waiting:
                    room.turn(waiting[0][0] - 1)  # what comes next waits for room while this is scored
                yield chunk
                del chunk
                room.give(size)
        finally:
            room.turn(1 << 62)  # whoever waits is let go, so that the pool can end
            for _, future in waiting:
                future.cancel()
