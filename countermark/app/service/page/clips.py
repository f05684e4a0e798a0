"""A clip on the page: its answer, its timeline, and the frames with the highest scores.

A clip is decoded in a process of its own and therefore needs a file; it lies in memory where there is a
file system for that, else in a private folder, and is gone when the block ends.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from countermark.app.clips.scan import ClipSettings, scan_clip
from countermark.app.rooms import Detector
from countermark.app.scan.judging import named
from countermark.app.verify import verify
from countermark.core.errors import CountermarkError
from countermark.core.files import sha256_bytes
from countermark.core.images import Pixels
from countermark.core.results import Failure, ScanResult, Verification
from countermark.core.video.containers import HEAD, sniff_clip
from countermark.provenance.repository import Repository

MEMORY = "/dev/shm"
#: Frames that are shown.
SHOWN = 6


def is_clip(data: bytes) -> bool:
    """Whether the bytes are of a clip, by the first of them."""
    return sniff_clip(data[:HEAD]) is not None


@contextmanager
def clip_file(data: bytes) -> Iterator[str]:
    """A path under which another process can read ``data``, as long as the block runs."""
    home = MEMORY if os.path.isdir(MEMORY) and os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix=f"countermark-service-{os.getpid()}-", dir=home) as folder:
        path = Path(folder, "clip")
        path.write_bytes(data)
        yield str(path)


def scan_bytes(
    data: bytes, name: str, detector: Detector, repository: Repository | None, *, max_fpr: float = 0.01
) -> tuple[ScanResult, Verification | None, Failure | None, list[tuple[float, Pixels]]]:
    """What a scan and a verification say of a clip.

    Returns:
        The result; the verification, or why there is none; time and pixels of the frames with the
        highest scores, the highest first.

    Raises:
        ClipError, MissingExtraError: nothing of it can be looked at.
    """
    frames: list[tuple[float, Pixels]] = []
    settings = ClipSettings(
        stress=True,
        judge_faces=True,
        keep_frames=SHOWN,
        on_strongest=lambda path, time, pixels: frames.append((time, pixels)),
    )
    verification, failure = None, None
    with clip_file(data) as path:
        try:
            result, best = scan_clip(path, detector, detector.thresholds(max_fpr), settings)
            try:
                found = verify(path, repository=repository)
                verification = replace(found, path="", sha256=sha256_bytes(data))
            except CountermarkError as error:
                failure = Failure(error.code, error.message.replace(path, name), error.hint)
        except CountermarkError as error:
            error.message = error.message.replace(path, name)
            raise
    if not frames and best is not None:
        frames = [(0.0, best)]
    return replace(result, path="", detector=named(detector)), verification, failure, frames
