"""Encoding a clip anew from changed frames, in a process of its own; sound is copied.

>>> with ClipWriter("out.mp4", "clip.mp4", facts, crf=18) as writer:     # doctest: +SKIP
...     for frame in clip:
...         writer.add(frame)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from countermark.core.errors import OutputError
from countermark.core.video import encoder
from countermark.core.video.containers import CONTAINERS
from countermark.core.video.reader import child_environment
from countermark.core.video.records import ClipFacts, Frame
from countermark.core.video.sampling import DEFAULT_CLIP_LIMITS, ClipLimits
from countermark.core.video.wire import receive, send

#: Quality by muxer: a constant rate factor that is hard to tell from the source.
CRF = {"mp4": 18, "mov": 18, "matroska": 18, "webm": 24}

#: Texts that the container writes itself.
_OWN = frozenset(
    "major_brand minor_version compatible_brands encoder handler_name vendor_id language duration "
    "_statistics_writing_app _statistics_tags bps number_of_frames number_of_bytes".split()
)


class ClipWriter:
    """Takes frames and writes a clip; what it has written is whole only after the block has ended well."""

    def __init__(
        self,
        output: Path | str,
        source: Path | str | None,
        facts: ClipFacts,
        *,
        container: str | None = None,
        crf: int | None = None,
        texts: Sequence[tuple[str, str]] = (),
        limits: ClipLimits = DEFAULT_CLIP_LIMITS,
    ) -> None:
        """``output`` is overwritten; its sound comes from ``source`` (None: no sound), of these ``facts``.

        Args:
            container: A key of ``CONTAINERS``; that of the source by default.
            crf: Constant rate factor, lower is better; ``CRF`` by default.
            texts: Names and values that the container gets, such as its title.
        """
        self._output, self._facts, self._limits = output, facts, limits
        self._source = None if source is None else Path(source)
        self._muxer = CONTAINERS[container or facts.container].muxer
        self._crf = CRF[self._muxer] if crf is None else crf
        self._texts = [pair for pair in texts if pair[0].lower() not in _OWN]
        self._process: subprocess.Popen[bytes] | None = None
        self._size = (0, 0)
        self._count = 0
        self.frames = 0

    def __enter__(self) -> Self:
        return self

    def add(self, frame: Frame) -> None:
        """Encodes a frame; all of them have the size of the first.

        Raises:
            OutputError: ``output.failed``, with the encoder's reason.
        """
        height, width = frame.pixels.shape[:2]
        if self._process is None:
            self._size = (width, height)
            self._process = self._start(frame)
        if (width, height) != self._size:
            raise OutputError(
                "The frames of this clip have different sizes, and are not encoded again.",
                code="output.format",
                hint="Sign it without a watermark: it is then left as it is.",
            )
        stamp = frame.stamp
        if stamp is None:  # a picture's times, in its own unit
            stamp = round(frame.time * self._facts.time_base[1] / self._facts.time_base[0])
        assert self._process.stdin is not None
        pixels = np.ascontiguousarray(frame.pixels)
        try:
            send(self._process.stdin, {"pts": stamp}, [pixels.data.cast("B")])
        except (BrokenPipeError, OSError) as error:
            raise self._failed() from error
        self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is None:
            return
        try:
            if kind is not None:
                return
            assert process.stdin is not None
            with suppress(OSError):
                process.stdin.close()
            message = self._answer()
            if message.get("kind") != "done" or message.get("frames") != self._count:
                raise self._error(str(message.get("message", "the encoder stopped")))
            self.frames = self._count
        finally:
            process.kill()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()
            process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        try:
            found = receive(self._process.stdout, most=0)
        except (ValueError, OSError):
            found = None
        return {} if found is None else found[0]

    def _failed(self) -> OutputError:
        return self._error(str(self._answer().get("message", "the encoder stopped")))

    def _error(self, reason: str) -> OutputError:
        return OutputError(
            f"The clip could not be encoded again: {reason}.",
            hint="Sign it without a watermark, or save it as MP4 (H.264) first.",
        )

    def _start(self, frame: Frame) -> subprocess.Popen[bytes]:
        facts = self._facts
        named = None if self._source is None else os.fspath(self._source)
        handle = os.open(named, os.O_RDONLY) if named is not None and os.name == "posix" else None
        request = {
            "source": named if handle is None else handle,
            "demuxer": CONTAINERS[facts.container].demuxer,
            "output": os.fspath(self._output),
            "muxer": self._muxer,
            "width": self._size[0],
            "height": self._size[1],
            "rate": facts.rate,
            "time_base": facts.time_base,
            "colour": frame.colour,
            "crf": self._crf,
            "texts": self._texts,
            "limits": asdict(self._limits),
        }
        try:
            return subprocess.Popen(
                [sys.executable, "-m", encoder.__name__, json.dumps(request)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=child_environment(),
                pass_fds=() if handle is None else (handle,),
            )
        finally:
            if handle is not None:
                os.close(handle)
