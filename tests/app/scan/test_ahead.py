"""Reading ahead: chunks are bounded by what pictures hold, in order, and nothing waits for ever."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from countermark.app.scan import ahead
from countermark.app.scan.ahead import CHUNK, Room, chunks
from countermark.app.scan.items import Item
from countermark.app.scan.reader import decoding_cost
from countermark.core.images import DEFAULT_LIMITS, encode_image


def picture(size: int) -> SimpleNamespace:
    return SimpleNamespace(image=SimpleNamespace(pixels=np.zeros(size, np.uint8)))


def items(count: int) -> list[Item]:
    return [Item(str(number)) for number in range(count)]


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order_and_whole(workers: int) -> None:
    room = Room(1000)

    def read(place: int, item: Item, room: Room) -> SimpleNamespace:
        with room.working(place, 10):
            return SimpleNamespace(name=item.path, image=picture(10).image)

    found = [each.name for chunk in chunks(items(70), read, workers=workers, room=room) for each in chunk]
    assert found == [str(number) for number in range(70)]
    assert room.held == 0


def test_memory_stays_within_the_budget_and_one_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "CHUNK_BYTES", 300)
    room, most = Room(500), []

    def read(place: int, item: Item, room: Room) -> SimpleNamespace:
        with room.working(place, 200):
            most.append(room.held)
        return picture(100)

    sizes = [len(chunk) for chunk in chunks(items(60), read, workers=4, room=room)]
    assert sum(sizes) == 60 and max(sizes) == 3
    # what is being scored, what is decoded within the budget, and the one whose turn it is
    assert max(most) <= 500 + 300 + 200


def test_a_picture_larger_than_the_budget_is_read_when_it_is_its_turn() -> None:
    room = Room(100)

    def read(place: int, item: Item, room: Room) -> SimpleNamespace:
        with room.working(place, 10_000):
            return picture(5000)

    assert sum(len(chunk) for chunk in chunks(items(20), read, workers=3, room=room)) == 20


def test_whoever_stops_early_leaves_nobody_waiting() -> None:
    room = Room(1)

    def read(place: int, item: Item, room: Room) -> SimpleNamespace:
        with room.working(place, 100):
            return picture(100)

    source = chunks(items(200), read, workers=3, room=room)
    next(source)
    source.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]


def test_small_pictures_make_full_chunks_soon() -> None:
    found = chunks(items(40), lambda place, item, room: picture(1), workers=2)
    assert [len(chunk) for chunk in found] == [1, 2, 4, 8, CHUNK, 40 - 15 - CHUNK]


def test_costs_are_told_by_headers() -> None:
    pixels = np.zeros((300, 200, 3), np.uint8)
    for format in ("jpeg", "png", "webp", "tiff", "avif", "gif", "bmp"):
        data = encode_image(pixels, format)
        assert decoding_cost(data, DEFAULT_LIMITS) == len(data) + 7 * 300 * 200, format
    assert decoding_cost(b"nothing", DEFAULT_LIMITS) == 7
