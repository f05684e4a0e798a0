"""How far long work is, on standard error: a bar with rate and time left, or plain lines where no
terminal looks on.

>>> line("Scanning", 120, 400, 30.0)
'Scanning: 120 of 400, 4.0 a second, 1:10 left'
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from countermark.cli.logs import is_quiet, tell
from countermark.core.notices import PLAIN_SECONDS


class Steps:
    """Counts steps: called with how many more are done, or told by ``reach`` how many are."""

    def __init__(
        self, show: Callable[[str, int, int | None], None], title: str = "", total: int | None = None
    ) -> None:
        self._show = show
        self.title = title
        self.total = total
        self.done = 0

    def __call__(self, steps: int = 1) -> None:
        self.done += steps
        self._show(self.title, self.done, self.total)

    def reach(self, done: int, total: int, *_: object) -> None:
        """``done`` of ``total`` steps are done."""
        self.done, self.total = done, total
        self._show(self.title, done, total)

    def stage(self, title: str, done: int, total: int) -> None:
        """The same, in a part of the work that has a name of its own."""
        self.title = title
        self.reach(done, total)


@contextmanager
def progress(title: str, total: int | None, *, quiet: bool = False) -> Iterator[Steps]:
    """Shows how far a block is.

    Args:
        title: What is done, such as ``Scanning``.
        total: How many steps there are; None while that is not known.
        quiet: Shows nothing, as for ``--json``; ``--quiet`` does the same.
    """
    if quiet or is_quiet():
        yield Steps(lambda title, done, total: None)
    elif sys.stderr.isatty():
        with _bar(title, total) as steps:
            yield steps
    else:
        yield Steps(PlainLines(), title, total)


@contextmanager
def _bar(title: str, total: int | None) -> Iterator[Steps]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            # Over all of it: where results come in batches, rich's speed is that of handing them over.
            return Text(rate(task.completed / task.elapsed if task.elapsed else 0.0), style="dim")

    columns: tuple[Any, ...] = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, Rate(), TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task(title, total=total)

        def show(title: str, done: int, total: int | None) -> None:
            bar.start()
            if bar.tasks[0].description != title:
                bar.reset(task, description=title, total=total, completed=done)
            bar.update(task, completed=done, total=total)
            if total and done >= total:
                bar.stop()  # what comes next may show a bar of its own

        yield Steps(show, title, total)


class PlainLines:
    """A line from time to time, for logs of builds."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, write: Callable[[str], None] = tell
    ) -> None:
        self._clock, self._write = clock, write
        self._last = clock()
        self._begun: dict[str, float] = {}
        self._first = self._last

    def __call__(self, title: str, done: int, total: int | None) -> None:
        now = self._clock()
        begun = self._begun.setdefault(title, now if self._begun else self._first)
        if now - self._last >= PLAIN_SECONDS:
            self._last = now
            self._write(line(title, done, total, now - begun))


def line(title: str, done: int, total: int | None, seconds: float) -> str:
    """How far it is, as a sentence."""
    speed = done / max(seconds, 1e-9)
    text = f"{title}: {done:,}" + (f" of {total:,}" if total else "") + f", {rate(speed)}"
    if total and done:
        minutes, rest = divmod(round(max(total - done, 0) / speed), 60)
        text += f", {minutes}:{rest:02d} left"
    return text


def rate(speed: float) -> str:
    """Steps a second for people, or seconds a step where it is slow.

    >>> rate(12.34), rate(0.25)
    ('12.3 a second', '4.0 s each')
    """
    if speed <= 0:
        return ""
    return f"{speed:.1f} a second" if speed >= 1 else f"{1 / speed:.1f} s each"
