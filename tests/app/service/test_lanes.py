"""Turns are fair, waiting is bounded, and nobody who has gone keeps a worker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark.app.service.lanes import Budget, FullError, Lane, Ticket, Turns


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 60))


PARTIES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("12")), max_size=24)


@given(PARTIES, st.data())
def test_the_place_that_is_told_is_the_place_that_comes(parties: list[tuple[str, str]], data: Any) -> None:
    async def work() -> None:
        turns = Turns()
        tickets = [Ticket(owner, batch) for owner, batch in parties]
        for ticket in tickets:
            turns.add(ticket)
        gone = data.draw(st.sets(st.sampled_from(range(len(tickets))))) if tickets else set()
        for number in gone:
            turns.drop(tickets[number])
            turns.drop(tickets[number])  # twice is once
        left = [ticket for number, ticket in enumerate(tickets) if number not in gone]
        assert len(turns) == len(left)
        told = {id(ticket): turns.before(ticket) for ticket in left}
        order = list(iter(turns.next, None))
        assert sorted(map(id, order)) == sorted(map(id, left))
        assert [told[id(ticket)] for ticket in order] == list(range(len(order)))
        assert turns.next() is None and len(turns) == 0

    run(work)


def test_one_picture_does_not_wait_for_fifty_of_somebody_else() -> None:
    async def work() -> None:
        done: list[str] = []
        gate = threading.Event()
        async with Lane(workers=1, queue=100) as lane:
            first = asyncio.create_task(lane.run(gate.wait, owner="many"))
            await asyncio.sleep(0)
            many = [asyncio.create_task(lane.run(done.append, f"many {n}", owner="many")) for n in range(50)]
            await asyncio.sleep(0)
            one = asyncio.create_task(lane.run(done.append, "one", owner="one"))
            await asyncio.sleep(0)
            gate.set()
            await asyncio.gather(first, one, *many)
        assert done.index("one") <= 1
        assert [each for each in done if each != "one"] == [f"many {n}" for n in range(50)]

    run(work)


def test_a_full_queue_refuses_and_the_patient_wait_all_the_same() -> None:
    async def work() -> None:
        gate = threading.Event()
        async with Lane(workers=1, queue=1) as lane:
            running = asyncio.create_task(lane.run(gate.wait))
            await asyncio.sleep(0)
            patient = [asyncio.create_task(lane.run(str, patient=True)) for _ in range(5)]
            await asyncio.sleep(0)
            assert not lane.full, "those who are bounded elsewhere take no places"
            waiting = asyncio.create_task(lane.run(str))
            await asyncio.sleep(0)
            assert lane.full
            with pytest.raises(FullError):
                await lane.run(str)
            gate.set()
            await asyncio.gather(running, waiting, *patient)
            assert not lane.full and lane.running == 0 and lane.patient == 0

    run(work)


def test_whoever_leaves_the_queue_is_not_worked_for() -> None:
    async def work() -> None:
        done: list[str] = []
        gate = threading.Event()

        async def gone() -> bool:
            return True

        async with Lane(workers=1, queue=9) as lane:
            running = asyncio.create_task(lane.run(gate.wait))
            await asyncio.sleep(0)
            leaves = asyncio.create_task(lane.run(done.append, "cancelled"))
            silent = asyncio.create_task(lane.run(done.append, "hung up", gone=gone))
            stays = asyncio.create_task(lane.run(done.append, "stays"))
            await asyncio.sleep(0)
            leaves.cancel()
            gate.set()
            await asyncio.gather(running, stays)
            for task in (leaves, silent):
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert done == ["stays"] and lane.running == 0

    run(work)


def test_a_failure_frees_its_worker() -> None:
    async def work() -> None:
        async with Lane(workers=1, queue=0) as lane:
            for _ in range(3):
                with pytest.raises(ValueError):
                    await lane.run(int, "no number")
            assert await lane.run(int, "7") == 7

    run(work)


def test_nobody_gets_more_than_half_of_what_may_wait() -> None:
    budget = Budget(100)
    budget.take(90, "a")  # a first one always fits
    with pytest.raises(FullError):
        budget.take(1, "a")
    budget.take(10, "b")
    with pytest.raises(FullError):
        budget.take(1, "c")
    budget.give(90, "a")
    budget.give(10, "b")
    assert budget.held == 0
    with budget.hold(30, "a"), budget.hold(20, "a"), pytest.raises(FullError):
        budget.take(1, "a")
    assert budget.held == 0 and budget.fits(100, "a")
