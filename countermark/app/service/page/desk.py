"""What people have handed in: entries in memory, worked on in turn, gone after a stated time.

An entry has an unguessable name, which is the only way to it. Nothing of it is written to a disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

from countermark.app.service.context import Context
from countermark.app.service.lanes import FullError, Ticket
from countermark.app.service.page.examine import Look, draw_map, examine
from countermark.app.service.work import SUFFIXES, sign_picture
from countermark.core.errors import CountermarkError
from countermark.core.images import sniff_format
from countermark.core.results import Failure, SignedImage
from countermark.reports.text import visible

#: Entries that may wait or be worked on at once, of everybody together and of one owner.
MAX_OPEN, MAX_OPEN_OF_ONE = 400, 250

_BATCH = re.compile(r"[A-Za-z0-9_-]{16,64}")


@dataclass
class Signed:
    """A signed picture to fetch."""

    data: bytes
    facts: SignedImage
    file_name: str


@dataclass
class Entry:
    """One thing handed in.

    Attributes:
        state: ``waiting``, ``working``, ``ready`` (the answer is there, the map is not), ``done`` or
            ``failed``.
        stage: What happens now; a key of ``words.STAGES``.
        kind: ``look`` or ``sign``.
    """

    id: str
    owner: str
    batch: str
    name: str
    expires: datetime
    deadline: float
    kind: str = "look"
    place: int = 0
    state: str = "waiting"
    stage: str = "waiting"
    data: bytes = b""
    max_fpr: float = 0.01
    look: Look | None = None
    signed: Signed | None = None
    failure: Failure | None = None
    options: dict[str, Any] = field(default_factory=dict)
    ticket: Ticket | None = None

    @property
    def open(self) -> bool:
        return self.state in ("waiting", "working")

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        held = self.look.size if self.look is not None else len(self.data)
        return held + (len(self.signed.data) if self.signed is not None else 0)


class Desk:
    """All entries of a service."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._batches: dict[str, list[str]] = {}
        self._left_out: dict[str, dict[str, int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, name: str) -> Entry | None:
        """The entry of this name, unless its time is over."""
        entry = self._entries.get(name)
        if entry is not None and entry.deadline <= time.monotonic() and not entry.open:
            self.forget(name)
            return None
        return entry

    def batch(self, name: str) -> list[Entry]:
        """The entries of a batch by their places, of one place in the order in which they came."""
        found = [entry for each in list(self._batches.get(name, ())) if (entry := self.find(each))]
        return sorted(found, key=lambda entry: entry.place)

    def left_out(self, batch: str) -> dict[str, int]:
        """How many files of a batch's archives are not among its entries, by reason."""
        return self._left_out.get(batch, {})

    def note_left_out(self, batch: str, reasons: dict[str, int]) -> None:
        mine = self._left_out.setdefault(batch, {})
        for reason, count in reasons.items():
            mine[reason] = mine.get(reason, 0) + count

    def submit(
        self, data: bytes, name: str, *, owner: str, batch: str, max_fpr: float = 0.01, place: int = 0
    ) -> Entry:
        """Takes a picture in, ``place`` among those of its batch; FullError when there is no room."""
        entry = self._add(data, name, owner=owner, batch=batch)
        entry.max_fpr, entry.place = max_fpr, place
        self._start(self._look(entry))
        return entry

    def sign(self, data: bytes, name: str, *, owner: str, options: dict[str, Any]) -> Entry:
        """Takes a picture in to be signed; FullError when there is no place."""
        entry = self._add(data, name, owner=owner, batch="")
        entry.kind, entry.options = "sign", options
        self._start(self._sign(entry))
        return entry

    def refuse(self, name: str, error: CountermarkError, *, owner: str, batch: str, place: int = 0) -> Entry:
        """An entry for something that was turned away, with the reason."""
        entry = self._add(b"", name, owner=owner, batch=batch)
        entry.place = place
        entry.state = entry.stage = "failed"
        entry.failure = Failure(error.code, error.message, error.hint)
        return entry

    def forget(self, name: str) -> None:
        """Drops an entry at once; one that is being worked on is dropped when it ends."""
        entry = self._entries.pop(name, None)
        if entry is None:
            return
        mine = self._batches.get(entry.batch, [])
        if name in mine:
            mine.remove(name)
        if not mine:
            self._batches.pop(entry.batch, None)
            self._left_out.pop(entry.batch, None)

    def before(self, entry: Entry) -> int:
        """How many pictures are worked on before this one."""
        return 0 if entry.ticket is None else self.context.lane.turns.before(entry.ticket)

    async def sweep(self) -> None:
        """Drops what is over, again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(min(5.0, self.context.settings.keep_seconds / 2))
            for name in list(self._entries):
                self.find(name)

    async def close(self) -> None:
        """Ends what is worked on and forgets everything."""
        for task in list(self._tasks):
            task.cancel()
        for task in list(self._tasks):
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._entries.clear()
        self._batches.clear()

    def _add(self, data: bytes, name: str, *, owner: str, batch: str) -> Entry:
        waiting = [entry for entry in self._entries.values() if entry.open]
        if len(waiting) >= MAX_OPEN or sum(e.owner == owner for e in waiting) >= MAX_OPEN_OF_ONE:
            raise FullError(5)
        self._make_room(len(data))
        keep = self.context.settings.keep_seconds
        entry = Entry(
            id=secrets.token_urlsafe(18),
            owner=owner,
            batch=batch if _BATCH.fullmatch(batch) else secrets.token_urlsafe(18),
            name=visible(name or "picture", 200),
            expires=datetime.now(UTC) + timedelta(seconds=keep),
            deadline=time.monotonic() + keep,
            data=data,
        )
        self._entries[entry.id] = entry
        self._batches.setdefault(entry.batch, []).append(entry.id)
        return entry

    def _make_room(self, size: int) -> None:
        """Drops the oldest results until ``size`` more bytes fit; FullError when even then they do not."""
        limit = self.context.settings.keep_bytes
        held = sum(entry.size for entry in self._entries.values())
        for name, entry in list(self._entries.items()):
            if held + size <= limit:
                return
            if not entry.open:
                held -= entry.size
                self.forget(name)
        if held + size > limit:
            raise FullError(5)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self, entry: Entry) -> None:
        def report(stage: str) -> None:
            entry.state, entry.stage = "working", stage

        async with self._outcome(entry):
            look = await self._run(
                entry, lambda: examine(self.context, entry.data, entry.name, report, max_fpr=entry.max_fpr)
            )
            entry.look, entry.data = look, b""
            verdict = look.result.verdict
            self.context.metrics.scanned.labels(verdict.value if verdict else "error").inc()
            entry.state, entry.stage = "ready", "map"
            # Its own turn: everybody's answers come before anybody's map.
            await self._run(entry, lambda: draw_map(self.context, look))

    async def _sign(self, entry: Entry) -> None:
        def work() -> Signed:
            entry.state, entry.stage = "working", "signing"
            data, facts = sign_picture(
                self.context, entry.data, name=entry.name, title=entry.name, thumbnail=256, **entry.options
            )
            return Signed(data, facts, signed_name(entry.name, data))

        async with self._outcome(entry):
            entry.signed = await self._run(entry, work)
            entry.data = b""

    @contextlib.asynccontextmanager
    async def _outcome(self, entry: Entry) -> Any:
        """Brings an entry to an end whatever happens, and counts its time from then."""
        try:
            yield
            entry.state = entry.stage = "done"
        except CountermarkError as error:
            entry.failure = Failure(error.code, error.message, error.hint)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            import logging

            from countermark.app.service.observe import LOGGER

            logging.getLogger(LOGGER).exception("desk", extra={"facts": {"entry": entry.kind}})
            entry.failure = Failure("service.failure", f"The service failed ({type(error).__name__}).")
        finally:
            if entry.failure is not None and entry.look is None:
                entry.state = entry.stage = "failed"
                entry.data = b""
            elif entry.state == "ready":  # the map alone failed
                entry.state = entry.stage = "done"
            keep = self.context.settings.keep_seconds
            entry.deadline = time.monotonic() + keep
            entry.expires = datetime.now(UTC) + timedelta(seconds=keep)

    async def _run(self, entry: Entry, work: Callable[[], Any]) -> Any:
        def seen(ticket: Ticket) -> None:
            entry.ticket = ticket

        try:
            return await self.context.lane.run(
                work, owner=entry.owner, batch=entry.batch, seen=seen, patient=True
            )
        finally:
            entry.ticket = None


def signed_name(name: str, data: bytes) -> str:
    """What a signed picture is called when it is fetched: the old name, plain, with its format's ending."""
    plain = PurePosixPath(name.replace("\\", "/")).stem
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-.")[:80]
    kind = sniff_format(data) or "bin"
    return f"{stem or 'picture'}-signed{SUFFIXES.get(kind, f'.{kind}')}"
