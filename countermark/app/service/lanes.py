"""Who is worked for next: a fair queue for pictures, a bound on the bytes that wait, a lane for look-ups.

Pictures take seconds, so what waits is ordered by owner: whoever has asked for least lately is next,
and fifty pictures of one sender do not make another's one picture wait for all of them.

>>> import anyio
>>> async def main():
...     async with Lane(workers=1, queue=4) as lane:
...         return await lane.run(sum, [1, 2], owner="host a")
>>> anyio.run(main)
3
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class FullError(Exception):
    """The queue has no place left; ``seconds`` is when it is worth trying again."""

    def __init__(self, seconds: int = 2) -> None:
        super().__init__("The queue is full.")
        self.seconds = seconds


class Ticket:
    """A place in the queue; ``granted`` resolves when its turn has come."""

    def __init__(self, owner: str, batch: str) -> None:
        self.owner = owner
        self.batch = batch
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Turns:
    """Round robin over owners, and within an owner over batches; first come, first served in a batch.

    >>> async def main():
    ...     turns = Turns()
    ...     for owner, batch in (("a", "1"), ("a", "1"), ("a", "2"), ("b", "")):
    ...         turns.add(Ticket(owner, batch))
    ...     return [(t.owner, t.batch) for t in iter(turns.next, None)]
    >>> asyncio.run(main())
    [('a', '1'), ('b', ''), ('a', '2'), ('a', '1')]
    """

    def __init__(self) -> None:
        self._owners: OrderedDict[str, OrderedDict[str, deque[Ticket]]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, ticket: Ticket) -> None:
        batches = self._owners.setdefault(ticket.owner, OrderedDict())
        batches.setdefault(ticket.batch, deque()).append(ticket)
        self._length += 1

    def next(self) -> Ticket | None:
        """Takes the ticket whose turn it is; None when nobody waits."""
        if not self._owners:
            return None
        owner, batches = self._owners.popitem(last=False)
        batch, tickets = batches.popitem(last=False)
        ticket = tickets.popleft()
        if tickets:
            batches[batch] = tickets  # to the end: the owner's other batches are next
        if batches:
            self._owners[owner] = batches
        self._length -= 1
        return ticket

    def drop(self, ticket: Ticket) -> None:
        """Takes a ticket out whose owner has gone."""
        if not self._holds(ticket):
            return
        batches = self._owners[ticket.owner]
        tickets = batches[ticket.batch]
        tickets.remove(ticket)
        self._length -= 1
        if not tickets:
            batches.pop(ticket.batch, None)
        if not batches:
            self._owners.pop(ticket.owner, None)

    def before(self, ticket: Ticket) -> int:
        """How many tickets are granted before this one, if nobody else comes."""
        copy = Turns()
        copy._owners = OrderedDict(
            (owner, OrderedDict((batch, deque(tickets)) for batch, tickets in batches.items()))
            for owner, batches in self._owners.items()
        )
        return sum(1 for _ in iter(copy.next, ticket)) if self._holds(ticket) else 0

    def _holds(self, ticket: Ticket) -> bool:
        batches = self._owners.get(ticket.owner)
        return batches is not None and ticket in batches.get(ticket.batch, ())


class Lane:
    """Worker threads with a fair queue before them."""

    def __init__(self, *, workers: int, queue: int) -> None:
        self.workers = workers
        self.queue = queue
        self.turns = Turns()
        self.running = 0
        self.patient = 0  # waiting, but bounded by whoever handed them in
        self._pool: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets running tasks finish; what waits is not begun. A later ``run`` opens the lane again."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    @property
    def full(self) -> bool:
        """Whether one more would be turned away."""
        return self.running >= self.workers and len(self.turns) - self.patient >= self.queue

    async def run(
        self,
        task: Callable[..., T],
        *arguments: Any,
        owner: str = "",
        batch: str = "",
        gone: Callable[[], Awaitable[bool]] | None = None,
        seen: Callable[[Ticket], None] | None = None,
        patient: bool = False,
    ) -> T:
        """Runs a task on a worker when its turn has come.

        Args:
            task: Called with ``arguments`` on a thread.
            owner, batch: Whose task it is, see ``Turns``.
            gone: Asked once when the turn has come; True means that nobody waits for the answer.
            seen: Told the ticket, to ask ``turns.before`` for its place.
            patient: Wait even if the queue is full; the caller bounds how many do.

        Raises:
            FullError: the queue is full.
            asyncio.CancelledError: nobody waits any more.
        """
        if self.full and not patient:
            raise FullError()
        if self.running < self.workers and not len(self.turns):
            self.running += 1
        else:
            ticket = Ticket(owner, batch)
            self.turns.add(ticket)
            if seen is not None:
                seen(ticket)
            self.patient += patient
            try:
                await ticket.granted
            except asyncio.CancelledError:
                if ticket.granted.done() and not ticket.granted.cancelled():
                    self._release()
                else:
                    self.turns.drop(ticket)
                raise
            finally:
                self.patient -= patient
        # Granted: this task counts among the running until it is released.
        try:
            if gone is not None and await gone():
                raise asyncio.CancelledError("nobody waits for the answer")
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="countermark-lane")
            future = asyncio.get_running_loop().run_in_executor(self._pool, task, *arguments)
        except BaseException:
            self._release()
            raise
        # A thread cannot be stopped: whoever is cancelled leaves, and the worker counts as busy until
        # the thread has ended.
        future.add_done_callback(lambda _: self._release())
        return await asyncio.shield(future)

    def _release(self) -> None:
        self.running -= 1
        while self.running < self.workers:
            ticket = self.turns.next()
            if ticket is None:
                return
            if not ticket.granted.done():
                self.running += 1
                ticket.granted.set_result(None)


class Budget:
    """Bytes that may be held at once; one owner gets at most half, so that others find a place.

    >>> budget = Budget(100)
    >>> with budget.hold(40, "a"):
    ...     budget.fits(20, "a"), budget.fits(20, "b")
    (False, True)
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.held = 0
        self._by_owner: dict[str, int] = {}

    def fits(self, size: int, owner: str) -> bool:
        """Whether so many bytes may be held now. A first body always fits into an empty budget."""
        mine = self._by_owner.get(owner, 0)
        return self.held + size <= self.total and (mine == 0 or mine + size <= self.total // 2)

    def take(self, size: int, owner: str) -> None:
        """Holds bytes until ``give`` is called with the same; FullError when they do not fit."""
        if not self.fits(size, owner):
            raise FullError()
        self.held += size
        self._by_owner[owner] = self._by_owner.get(owner, 0) + size

    def give(self, size: int, owner: str) -> None:
        """Gives bytes back."""
        self.held -= size
        left = self._by_owner.get(owner, 0) - size
        if left > 0:
            self._by_owner[owner] = left
        else:
            self._by_owner.pop(owner, None)

    @contextmanager
    def hold(self, size: int, owner: str) -> Iterator[None]:
        """``take`` and ``give``."""
        self.take(size, owner)
        try:
            yield
        finally:
            self.give(size, owner)
