"""Messages between a process and the one that decodes or encodes for it: a line of JSON, then bytes.

>>> import io
>>> stream = io.BytesIO()
>>> send(stream, {"kind": "frame"}, [b"ab", b"c"])
>>> _ = stream.seek(0)
>>> receive(stream, most=8)
({'kind': 'frame', 'bytes': 3}, b'abc')
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import IO, Any

MAX_LINE = 65_536


def send(
    stream: IO[bytes], message: dict[str, Any], parts: Sequence[bytes | bytearray | memoryview] = ()
) -> None:
    """Writes a message and the bytes that belong to it."""
    size = sum(memoryview(part).nbytes for part in parts)
    stream.write(json.dumps({**message, "bytes": size}).encode() + b"\n")
    for part in parts:
        stream.write(part)
    stream.flush()


def receive(stream: IO[bytes], *, most: int) -> tuple[dict[str, Any], bytearray] | None:
    """The next message and its bytes; None at the end of the stream.

    Raises:
        ValueError: the message is cut off, is none, or brings more than ``most`` bytes.
    """
    line = stream.readline(MAX_LINE)
    if not line:
        return None
    message = json.loads(line)
    size = message.get("bytes") if isinstance(message, dict) else None
    if not isinstance(size, int) or not 0 <= size <= most:
        raise ValueError("not a message of the decoding process")
    body = bytearray(size)
    view, filled = memoryview(body), 0
    while filled < size:
        got = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        if not got:
            raise ValueError("a message was cut off")
        filled += got
    return message, body
