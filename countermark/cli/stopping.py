"""Long commands are stopped in good order: what is under way is finished, and what there is is reported.

SIGTERM and Ctrl-C ask for that; a second one ends the process at once, as without us.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether a command was told to stop, and by what."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._number = 0

    @property
    def name(self) -> str:
        """Of the signal, such as ``SIGTERM``; empty while there was none."""
        return signal.Signals(self._number).name if self._number else ""

    @property
    def exit_code(self) -> int:
        """What shells expect of a command that a signal ended: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self._number

    def __bool__(self) -> bool:
        return self.event.is_set()

    def set(self, number: int) -> None:
        self._number = self._number or number
        self.event.set()


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Signals set what it yields, also where a shell's background job has SIGINT ignored.

    Outside the main thread, where nobody may handle signals, it is never set.
    """
    stop = Stop()
    before = {}

    def handle(number: int, _: FrameType | None) -> None:
        stop.set(number)
        for each in SIGNALS:  # the next one is obeyed at once
            signal.signal(each, signal.SIG_DFL)

    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
