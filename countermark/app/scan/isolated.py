"""Reading files in processes that can be stopped, and are replaced from time to time (``worker``).

>>> with Readers(2, seconds=20) as readers:                        # doctest: +SKIP
...     found = readers.gather("picture.jpg", data)

A file that hangs a codec, takes too much memory or kills the process costs its own row, and a new process.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from countermark.app.scan.gather import MARK_SECONDS, Gathered
from countermark.app.scan.worker import receive_head, send
from countermark.core.errors import ImageError
from countermark.core.images import DEFAULT_LIMITS, Limits, LoadedImage
from countermark.core.results import Evidence, Verification

if TYPE_CHECKING:
    from pydantic import TypeAdapter

LOG = logging.getLogger(__name__)

#: What a file may take where nothing else is said: processor seconds, and bytes beyond an idle process's.
SECONDS, MEMORY = 60.0, 3 << 30
#: Files after which a process is replaced.
RECYCLED = 1000
#: A file may also wait, for a disk or a busy machine: wall seconds for each of the processor, and some.
_PATIENCE, _MORE = 10.0, 60.0
_START = 120.0
_FROM_OUTSIDE = frozenset({getattr(signal, "SIGKILL", 9), signal.SIGTERM})
_BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from countermark.app.scan.worker import main; main()"
)

#: Holds memory for what comes from a process: called with bytes.
Holding = Callable[[int], AbstractContextManager[None]]


def _unheld(_: int) -> AbstractContextManager[None]:
    return nullcontext()


class Readers:
    """Processes that gather evidence, ``count`` at most; each is started when it is first needed.

    Safe to use from several threads.

    Args:
        count: Processes.
        seconds: Processor time that a file may take; None for no bound.
        memory: Bytes that a file may take; None for no bound.
        limits: Of the image gate.
        marks: As for ``gather``, like ``mark_seconds``.
    """

    def __init__(
        self,
        count: int,
        *,
        seconds: float | None = SECONDS,
        memory: int | None = MEMORY,
        limits: Limits = DEFAULT_LIMITS,
        marks: bool = True,
        mark_seconds: float = MARK_SECONDS,
    ) -> None:
        self._settings = {
            "seconds": seconds,
            "memory": memory,
            "limits": asdict(limits),
            "marks": marks,
            "mark_seconds": mark_seconds,
        }
        self._seconds = seconds
        self._limits = limits
        self._idle: queue.LifoQueue[_Process | None] = queue.LifoQueue()
        for _ in range(max(1, count)):
            self._idle.put(None)
        self._count = max(1, count)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes."""
        for _ in range(self._count):
            process = self._idle.get()
            if process is not None:
                process.end()
            self._idle.put(None)

    def gather(self, path: str, data: bytes, holding: Holding = _unheld) -> Gathered:
        """As ``gather.gather`` of ``data``.

        Raises:
            ImageError: as ``gather``; ``image.too-slow``, ``image.too-much-memory``, ``image.reader-died``.
        """
        process = self._idle.get()
        try:
            killed = False
            while True:
                if process is None or process.files >= RECYCLED:
                    if process is not None:
                        process.end()
                    process = None
                    process = _Process(self._settings)
                try:
                    return process.ask(path, data, self._patience(), holding, self._limits)
                except _Ended as ended:
                    code = process.end(at_once=ended.waited)
                    process = None
                    # SIGKILL and SIGTERM come from outside (a system short of memory, a person), and need
                    # not be the file's fault: it is read once more. What a codec does to itself is.
                    if killed or ended.waited or -code not in _FROM_OUTSIDE:
                        raise self._why(path, code, ended.waited) from ended
                    killed = True
        finally:
            self._idle.put(process)

    def _patience(self) -> float | None:
        return None if self._seconds is None else self._seconds * _PATIENCE + _MORE

    def _why(self, path: str, code: int, waited: bool) -> ImageError:
        LOG.warning("The process that read %r has ended (%s); another takes its place.", path, code)
        if waited or code == -getattr(signal, "SIGXCPU", 24):
            return ImageError(
                f"{path} was not read within {self._seconds:g} seconds of processor time.",
                code="image.too-slow",
                hint="Allow more with --file-seconds if you trust it.",
            )
        what = f"signal {-code}" if code < 0 else f"exit code {code}"
        return ImageError(
            f"{path} ended the process that read it ({what}).",
            code="image.reader-died",
            hint="It may be damaged, or need more memory than --file-memory allows.",
        )


class _Ended(Exception):
    """The process has ended, or was too slow."""

    def __init__(self, waited: bool = False) -> None:
        super().__init__()
        self.waited = waited


class _Process:
    def __init__(self, settings: dict[str, Any]) -> None:
        self.files = 0
        command = [sys.executable, "-P", "-c", _BOOT, json.dumps(sys.path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        try:
            send(self._to, settings)
            self._await(_START)
            if receive_head(self._from) is None:
                raise _Ended
        except (_Ended, OSError, ValueError) as error:
            self.end()
            raise ImageError(
                "A process that reads pictures could not be started.",
                code="image.reader-died",
                hint="Scan without --file-seconds and --file-memory.",
            ) from error

    def ask(
        self, path: str, data: bytes, patience: float | None, holding: Holding, limits: Limits
    ) -> Gathered:
        self.files += 1
        try:
            send(self._to, {"path": path}, data)
            self._await(patience)
            head = receive_head(self._from)
            if head is None:
                raise _Ended
            if "error" in head:
                raise _told(path, *map(str, head["error"]))
            height, width, channels = map(int, head["shape"])
            size = head["bytes"]
            if channels != 3 or size != height * width * 3 or size > 3 * limits.max_pixels:
                raise _Ended
            with holding(size):
                pixels = np.empty((height, width, 3), np.uint8)
                if self._from.readinto(pixels.data.cast("B")) != size:  # type: ignore[attr-defined]
                    raise _Ended
            return _gathered(path, data, pixels, head)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _Ended from error

    def _await(self, seconds: float | None) -> None:
        """Waits for the beginning of an answer."""
        if seconds is None or os.name == "nt":  # where pipes cannot be waited for
            return
        if not select.select([self._from], [], [], seconds)[0]:
            raise _Ended(waited=True)

    def end(self, *, at_once: bool = False) -> int:
        """Ends the process, and gives its exit code (a signal's number, negative)."""
        with suppress(OSError):
            self._to.close()
        try:
            code = self._process.wait(0 if at_once else 2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._from.close()
        return code


def _told(path: str, code: str, message: str, hint: str) -> ImageError:
    if code == "image.too-much-memory":
        return ImageError(
            f"{path} needs more memory than a file may take.",
            code=code,
            hint="Allow more with --file-memory if you trust it.",
        )
    return ImageError(message, code=code, hint=hint)


@lru_cache(maxsize=1)
def _told_records() -> TypeAdapter[tuple[tuple[Evidence, ...], Verification | None]]:
    from pydantic import TypeAdapter

    return TypeAdapter(tuple[tuple[Evidence, ...], Verification | None])


def _gathered(path: str, data: bytes, pixels: np.ndarray, head: dict[str, Any]) -> Gathered:
    about = head["image"]
    size = about["size"]
    image = LoadedImage(
        pixels,
        str(about["format"]),
        str(about["sha256"]),
        data,
        tuple(map(str, about["notes"])),
        None,
        int(about["frames"]),
        int(about["bits"]),
        str(about["mode"]),
        None if size is None else (int(size[0]), int(size[1])),
    )
    evidence, verification = _told_records().validate_json(json.dumps([head["evidence"], head["verified"]]))
    return Gathered(path, image, evidence, verification)
