"""A process that reads strangers' files for a scan, so that a codec that hangs or dies takes nothing along.

Started by ``isolated``; speaks over its standard input and output: a line of JSON, then as many bytes as it
names. Nothing that it says is unpickled. It holds itself to its limits with what the system offers (Linux and
other Unixes: ``setrlimit``); the starting process stops it where that is not enough.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from dataclasses import asdict
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from countermark.core.images import Limits

#: Longest line of JSON in either direction.
MAX_LINE = 64 << 20


def send(stream: IO[bytes], head: dict[str, Any], body: bytes | memoryview = b"") -> None:
    """Writes a message."""
    stream.write(json.dumps({**head, "bytes": len(body)}, default=str).encode() + b"\n")
    stream.write(body)
    stream.flush()


def receive_head(stream: IO[bytes]) -> dict[str, Any] | None:
    """The first part of a message; None where the other side has ended.

    Raises:
        ValueError: the other side does not keep to the form.
    """
    line = stream.readline(MAX_LINE)
    if not line:
        return None
    head = json.loads(line)
    if not line.endswith(b"\n") or not isinstance(head, dict) or not isinstance(head.get("bytes"), int):
        raise ValueError("not a message")
    return head


def main() -> None:
    """Answers until standard input ends."""
    # Ctrl-C is for the scan, which lets its files finish; it ends this process by closing its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source = sys.stdin.buffer
    # Libraries that print must not write into the conversation.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    settings = receive_head(source)
    if settings is None:
        return
    from countermark.app.scan import gather as module  # loaded before memory is limited
    from countermark.core.images import Limits
    from countermark.provenance import watermark  # noqa: F401
    from countermark.provenance.credentials import verification  # noqa: F401

    limits = Limits(**settings["limits"])
    _hold_memory(settings["memory"])
    send(answers, {"ready": True})
    while (head := receive_head(source)) is not None:
        data = source.read(head["bytes"])
        _hold_time(settings["seconds"])
        answer, pixels = _answer(module, head["path"], data, limits, settings)
        send(answers, answer, b"" if pixels is None else pixels.data.cast("B"))
        del data, pixels


def _answer(
    module: ModuleType, path: str, data: bytes, limits: Limits, settings: dict[str, Any]
) -> tuple[dict[str, Any], np.ndarray | None]:
    from countermark.core.errors import CountermarkError

    try:
        found = module.gather(
            path, limits=limits, marks=settings["marks"], mark_seconds=settings["mark_seconds"], data=data
        )
    except CountermarkError as error:
        return {"error": [error.code, error.message, error.hint]}, None
    except MemoryError:
        return {"error": ["image.too-much-memory", "", ""]}, None
    except Exception as error:
        return {
            "error": ["image.unreadable", f"{path} could not be examined ({type(error).__name__}).", ""]
        }, None
    image = found.image
    about = {
        "format": image.format,
        "sha256": image.sha256,
        "notes": image.notes,
        "frames": image.frames,
        "bits": image.bits,
        "mode": image.mode,
        "size": image.size,
    }
    evidence = [asdict(each) for each in found.evidence]
    pixels = np.ascontiguousarray(image.pixels)
    verified = None if found.verification is None else asdict(found.verification)
    return {"image": about, "evidence": evidence, "verified": verified, "shape": pixels.shape}, pixels


def _hold_memory(more: int | None) -> None:
    """Lets this process take ``more`` bytes of addresses beyond what it has now."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if more is not None:
            with open("/proc/self/statm") as stream:
                now = int(stream.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (now + more, resource.getrlimit(resource.RLIMIT_AS)[1]))
    except (ImportError, OSError, ValueError):
        return  # the starting process watches over the time in any case


def _hold_time(seconds: float | None) -> None:
    """Has the system end this process after so much more processor time, a second more at most."""
    if seconds is None:
        return
    try:
        import resource

        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds), hard))
    except (ImportError, OSError, ValueError):
        return


if __name__ == "__main__":
    main()
