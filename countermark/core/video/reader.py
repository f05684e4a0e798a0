"""Clips, frame by frame: the file is sniffed and bounded here and decoded in a process of its own.

>>> with open_clip("clip.mp4", Sampling(count=8)) as clip:      # doctest: +SKIP
...     clip.facts.seconds, [frame.time for frame in clip]
(60.0, [3.75, 11.25, 18.75, 26.25, 33.75, 41.25, 48.75, 56.25])
"""

from __future__ import annotations

import importlib.util
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from countermark.core import files
from countermark.core.errors import ClipError, MissingExtraError
from countermark.core.images import Pixels, sniff_format
from countermark.core.video import child
from countermark.core.video.boxes import refuse_references
from countermark.core.video.containers import ANIMATED, CONTAINERS, HEAD, sniff_clip
from countermark.core.video.records import ClipFacts, Frame
from countermark.core.video.sampling import DEFAULT_CLIP_LIMITS, ClipLimits, Sampling
from countermark.core.video.wire import receive

_HINTS = {
    "clip.no-video": "If it is a sound file, there is nothing to look at.",
    "clip.codec": "Convert it to H.264, HEVC, VP9 or AV1 first.",
    "clip.too-long": "Cut it, or raise the limit only for files that you trust.",
    "clip.too-many-pixels": "Raise the limit only for files that you trust.",
    "clip.damaged": "Fetch it again from where it came from.",
    "clip.no-frames": "Fetch it again from where it came from.",
    "clip.stopped": "Decoding took more than it may: cut the clip, or look at fewer frames.",
    "clip.too-much-memory": "Decoding took more than it may: scale the clip down first.",
    "clip.references": "Save it with its media inside (self-contained).",
}


class Clip:
    """An open clip: iterate over it once, for its frames in order of time.

    Attributes:
        facts: What its headers say; ``notes`` and ``seconds`` are complete once all frames were seen.
        texts: Named texts in the container (title, comment, encoder), at most 128.
        trouble: What ended decoding early after some frames, or None.
        decoded: Frames that were decoded, seen or not.
    """

    def __init__(self, name: str, container: str, process: subprocess.Popen[bytes], limits: ClipLimits):
        self.name = name
        self.trouble: ClipError | None = None
        self.decoded = 0
        self.texts: tuple[tuple[str, str], ...] = ()
        self._process, self._limits = process, limits
        self._ended = False
        self._most = 4 * limits.max_pixels
        first = self._message()
        if first is None:
            raise self._stopped()
        message, _ = first
        if message["kind"] == "error":
            raise self._error(message)
        self.texts = tuple((str(key), str(value)) for key, value in message.get("texts", []))
        self.facts = ClipFacts(
            container,
            str(message["codec"]),
            int(message["width"]),
            int(message["height"]),
            float(message["seconds"]),
            message["frames"],
            message["rate"],
            tuple(message["audio"]),
            (int(message["time_base"][0]), int(message["time_base"][1])),
        )

    def __iter__(self) -> Iterator[Frame]:
        """Frames as they are decoded.

        Raises:
            ClipError: nothing could be decoded at all; see ``trouble`` for what came after frames.
        """
        sent = 0
        while not self._ended:
            found = self._message()
            if found is None:
                self._end(self._stopped(), sent)
                return
            message, body = found
            if message["kind"] == "frame":
                sent += 1
                frame = _frame(message, body)
                if sent == 1:
                    height, width = frame.pixels.shape[:2]
                    self.facts = replace(self.facts, width=width, height=height)
                yield frame
                continue
            self._ended = True
            if message["kind"] == "error":
                self._end(self._error(message), sent)
                return
            self.decoded = int(message["decoded"])
            notes = [str(note) for note in message["notes"]]
            if message["broken"]:
                notes.append(f"{message['broken']} damaged parts were passed over")
            self.facts = replace(self.facts, notes=tuple(notes), seconds=float(message["seconds"]))
            if not sent:
                reason = "no frame of it can be decoded" if message["broken"] else "it holds no frames"
                self._end(self._error({"code": "clip.no-frames", "message": reason}), sent)

    def _end(self, error: ClipError, sent: int) -> None:
        self._ended = True
        if not sent:
            raise error
        self.trouble = error

    def _message(self) -> tuple[dict[str, Any], bytearray] | None:
        stream = self._process.stdout
        assert stream is not None
        # A process that says nothing for so long is ended; its end then ends the reading.
        watchdog = threading.Timer(self._limits.idle_seconds, self._process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            return receive(stream, most=self._most)
        except (ValueError, OSError):
            return None
        finally:
            watchdog.cancel()

    def _stopped(self) -> ClipError:
        """The decoding process ended without a word: out of time, out of memory, or a decoder's fault."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        message = f"decoding was stopped (at {self._limits.cpu_seconds} s of processor time, or by a fault)"
        return self._error({"code": "clip.stopped", "message": message})

    def _error(self, message: dict[str, Any]) -> ClipError:
        code = str(message["code"])
        return ClipError(f"{self.name}: {message['message']}.", code=code, hint=_HINTS.get(code, ""))


@contextmanager
def open_clip(
    path: Path | str,
    sampling: Sampling | None = None,
    limits: ClipLimits = DEFAULT_CLIP_LIMITS,
    *,
    name: str | None = None,
) -> Iterator[Clip]:
    """Opens a clip or an animated picture.

    Args:
        path: A regular file.
        sampling: Which frames are wanted.
        name: What errors call the file; its path by default.

    Raises:
        ClipError: ``clip.unsupported``, ``clip.too-large``, ``clip.references``, and what decoding says
            (``clip.no-video``, ``clip.codec``, ``clip.too-long``, ``clip.too-many-pixels``,
            ``clip.damaged``, ``clip.stopped`` …).
        MissingExtraError: PyAV is not installed.
    """
    name = str(path) if name is None else name
    sampling = sampling or Sampling()
    with open_regular(path, limits, name) as stream:
        head = stream.read(HEAD)
        container = sniff_clip(head)
        moving = sniff_format(head)
        if container is None and moving not in ANIMATED:
            raise ClipError(
                f"{name} is not a clip in a supported container.",
                code="clip.unsupported",
                hint="Supported: MP4, MOV, WebM, MKV; animated GIF, WebP, PNG, AVIF.",
            )
        demuxer = ""
        if container is not None:
            if importlib.util.find_spec("av") is None:
                raise MissingExtraError("av", "video")
            demuxer = CONTAINERS[container].demuxer
            if demuxer == "mov":
                refuse_references(stream, name)
        stream.seek(0)
        kind = container or str(moving)
        process = _start(stream, kind, demuxer, sampling, limits)
        try:
            yield Clip(name, kind, process, limits)
        finally:
            process.kill()
            if process.stdout is not None:
                process.stdout.close()
            process.wait()


def read_head(path: Path | str) -> bytes:
    """The first bytes of a regular file, for ``sniff_clip``; empty where there is none to read."""
    return files.read_head(path, HEAD)


@contextmanager
def open_regular(path: Path | str, limits: ClipLimits, name: str) -> Iterator[IO[bytes]]:
    """The file, open and unbuffered, when it is a regular one within the byte cap; never blocks on a pipe."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ClipError(f"{name} is not a regular file.", code="image.not-a-file")
        stream = open(path, "rb", buffering=0)  # noqa: SIM115  # closed below, by ``with``
    except FileNotFoundError as error:
        raise ClipError(f"{name} does not exist.", code="image.missing") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ClipError(f"{name} cannot be opened: {reason}.", code="image.unreadable") from error
    with stream:
        if not status.st_size:
            raise ClipError(f"{name} is empty.", code="image.empty", hint="Check how it was copied.")
        if status.st_size > limits.max_bytes:
            raise ClipError(
                f"{name} has {status.st_size:,} bytes; the limit is {limits.max_bytes:,}.",
                code="clip.too-large",
            )
        yield stream


def _start(
    stream: IO[bytes], container: str, demuxer: str, sampling: Sampling, limits: ClipLimits
) -> subprocess.Popen[bytes]:
    request = {
        "container": container,
        "demuxer": demuxer,
        "sampling": asdict(sampling),
        "limits": asdict(limits),
    }
    return subprocess.Popen(
        [sys.executable, "-m", child.__name__, json.dumps(request)],
        stdin=stream,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=1 << 16,
        env=child_environment(),
    )


def child_environment() -> dict[str, str]:
    """The own environment, with the place of this package first, and one thread for linear algebra."""
    place = str(Path(__file__).resolve().parents[3])  # of the package: core imports nothing above itself
    paths = [place, *filter(None, [os.environ.get("PYTHONPATH", "")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}


def _frame(message: dict[str, Any], body: bytearray) -> Frame:
    shape = (int(message["height"]), int(message["width"]), int(message["depth"]))
    pixels: Pixels = np.frombuffer(body, np.uint8).reshape(shape)
    if shape[2] == 4:
        pixels = _over_white(pixels)
    if message["interlaced"]:
        pixels = _one_field(pixels)
    turns = round(int(message["rotation"]) / 90) % 4
    if turns:
        pixels = np.ascontiguousarray(np.rot90(pixels, turns))
    primaries, transfer, matrix, span = map(int, message["colour"])
    return Frame(
        float(message["time"]),
        pixels,
        bool(message["scene"]),
        bool(message["key"]),
        message["pts"],
        (primaries, transfer, matrix, span),
        int(message["bits"]),
        bool(message["interlaced"]),
        shape[2] == 4,
    )


def _over_white(pixels: np.ndarray) -> Pixels:
    alpha = pixels[..., 3:].astype(np.uint16)
    mixed = (pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return mixed.astype(np.uint8)


def _one_field(pixels: Pixels) -> Pixels:
    """The upper field's lines, with those between drawn from their neighbours: no comb of two moments."""
    whole = pixels.copy()
    upper = whole[0::2]
    below = np.concatenate([upper[1:], upper[-1:]])[: len(whole[1::2])]
    whole[1::2] = ((upper[: len(below)].astype(np.uint16) + below + 1) >> 1).astype(np.uint8)
    return whole
