"""The decoding process: ``python -m countermark.core.video.child REQUEST``, the file on standard input.

It bounds itself before it looks at the first byte, opens nothing but what it was given, and writes
messages (``wire``) to standard output. What goes wrong is a last message, not a traceback.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import IO, Any

from countermark.core.errors import ClipError
from countermark.core.video.sampling import ClipLimits, Sampling
from countermark.core.video.wire import send


def bound(limits: ClipLimits, *, writes: bool = False) -> None:
    """Bounds this process's memory and, unless it ``writes``, processor time and files: to none."""
    try:
        import resource
    except ImportError:  # Windows: the parent's clock is the bound
        return
    bounds = [(resource.RLIMIT_AS, limits.memory_bytes), (resource.RLIMIT_CORE, 0)]
    if not writes:
        bounds += [(resource.RLIMIT_CPU, limits.cpu_seconds), (resource.RLIMIT_FSIZE, 0)]
    for kind, value in bounds:
        hard = resource.getrlimit(kind)[1]
        ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (ceiling, ceiling))


def main(arguments: list[str]) -> int:
    """Decodes what the request names; 0 in any case that could be told to the parent."""
    request = json.loads(arguments[0])
    limits, sampling = ClipLimits(**request["limits"]), Sampling(**request["sampling"])
    source = os.fdopen(os.dup(0), "rb", buffering=0)
    sink = os.fdopen(os.dup(1), "wb", buffering=0)
    # Whatever a decoder prints must not end up among the messages.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(nowhere, number)
    bound(limits)

    def emit(message: dict[str, Any], parts: list[memoryview | bytes]) -> None:
        send(sink, message, parts)

    try:
        _decode(source, request, sampling, limits, emit)
    except ClipError as error:
        emit({"kind": "error", "code": error.code, "message": error.message}, [])
    except MemoryError:
        emit({"kind": "error", "code": "clip.too-much-memory", "message": "it takes too much memory"}, [])
    except BrokenPipeError:
        pass  # the parent has seen enough
    except Exception as error:  # decoders raise whatever they like on hostile bytes
        reason = f"it cannot be decoded ({type(error).__name__}: {str(error)[:200]})"
        with suppress(OSError):
            emit({"kind": "error", "code": "clip.damaged", "message": reason}, [])
    return 0


def _decode(
    source: IO[bytes], request: dict[str, Any], sampling: Sampling, limits: ClipLimits, emit: Any
) -> None:
    if request["demuxer"]:
        from countermark.core.video.decoding import decode

        decode(source, request["demuxer"], sampling, limits, emit)
    else:
        from countermark.core.video.animation import decode as decode_animation

        decode_animation(source, request["container"], sampling, limits, emit)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
