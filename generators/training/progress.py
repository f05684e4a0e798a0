"""What a training run shows, and how it is stopped: a bar or plain lines, and signals heard between steps."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType, TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from countermark.core.notices import NOTICE, PLAIN_SECONDS
from countermark.generators.training.checkpoints import Progress

LOG = logging.getLogger(__name__)


class TrainingBar:
    """How much of a budget is spent, as a share in [0, 1]: a bar on a terminal, else lines in the log.

    Silent when not ``enabled``, and where not even warnings are wanted.
    """

    def __init__(
        self, title: str, *, enabled: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.enabled = enabled and LOG.isEnabledFor(logging.WARNING)
        self._title, self._clock = title, clock
        self._terminal = sys.stderr.isatty()
        self._last = clock()
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not (self.enabled and self._terminal),
        )
        self._task: TaskID = self._bar.add_task(title, total=1.0, note="")

    def __enter__(self) -> TrainingBar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, share: float, at: Progress, begun: Progress, losses: Mapping[str, float]) -> None:
        """Updates the bar: images per second since ``begun``, time left, and the losses."""
        rate = (at.images - begun.images) / max(at.seconds - begun.seconds, 1e-9)
        minutes, seconds = divmod(int(at.seconds * max(1 - share, 0) / max(share, 1e-9)), 60)
        values = "  ".join(f"{name} {value:.2f}" for name, value in losses.items())
        note = f"{rate:.0f} img/s  {minutes}:{seconds:02d} left  {values}"
        if self.enabled and not self._terminal and self._clock() - self._last >= PLAIN_SECONDS:
            self._last = self._clock()
            LOG.log(NOTICE, "%s: %.0f %%, %s", self._title, 100 * min(share, 1.0), " ".join(note.split()))
        self._bar.update(self._task, completed=min(share, 1.0), note=note)


class StopSignal:
    """Turns SIGINT and SIGTERM into a flag while a block runs, so that a step is never cut in two.

    A second signal acts at once. Outside the main thread no handler can be set, and none is.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for kind in (signal.SIGINT, signal.SIGTERM):
                self._before[kind] = signal.signal(kind, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for which, handler in self._before.items():
            signal.signal(which, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
