"""The encoding process: ``python -m countermark.core.video.encoder REQUEST``, frames on standard input.

Frames are encoded anew; sound and its times are copied from the source as they are.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import IO, Any

from countermark.core.video.child import bound
from countermark.core.video.sampling import ClipLimits
from countermark.core.video.wire import receive, send

#: Encoder, options and pixel format by muxer. Constant quality; the fast settings cost some per cent of size.
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "mp4": ("libx264", {"preset": "veryfast"}),
    "mov": ("libx264", {"preset": "veryfast"}),
    "matroska": ("libx264", {"preset": "veryfast"}),
    "webm": ("libvpx-vp9", {"b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"}),
}
_CLOSED = {"protocol_whitelist": "none", "enable_drefs": "0"}
_KNOWN = frozenset(
    "title artist album_artist composer album date comment genre copyright description synopsis show "
    "episode_id network lyrics keywords grouping location creation_time".split()
)
_BT709, _BT601, _UNKNOWN = 1, 6, 2


def main(arguments: list[str]) -> int:
    """Encodes what arrives; writes one message: ``done`` or ``error``."""
    request = json.loads(arguments[0])
    frames = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb", buffering=0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(nowhere, number)
    bound(ClipLimits(**request["limits"]), writes=True)
    try:
        count = _encode(frames, request)
    except MemoryError:
        send(sink, {"kind": "error", "message": "it takes too much memory"})
    except Exception as error:  # FFmpeg raises many kinds
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        with suppress(OSError):
            send(sink, {"kind": "error", "message": reason[:300]})
    else:
        send(sink, {"kind": "done", "frames": count})
    return 0


def _encode(frames: IO[bytes], request: dict[str, Any]) -> int:
    import av

    av.logging.set_level(None)
    with (
        _sound(av, request) as sound,
        av.open(request["output"], mode="w", format=request["muxer"], options=_muxing(request)) as target,
    ):
        for key, value in request["texts"]:
            target.metadata[key] = value
        picture = _picture(target, request)
        tracks = [] if sound is None else [each for each in sound.streams.audio if each.codec_context]
        copies = {each: target.add_stream_from_template(each) for each in tracks}
        packets = _packets(sound, copies)
        waiting = next(packets, None)
        count = 0
        while (found := receive(frames, most=request["width"] * request["height"] * 3)) is not None:
            message, body = found
            frame = _frame(av, body, request, picture)
            frame.pts = message["pts"]
            time = float(message["pts"] * frame.time_base)
            while waiting is not None and _time(waiting) <= time:
                target.mux(waiting)
                waiting = next(packets, None)
            for packet in picture.encode(frame):
                target.mux(packet)
            count += 1
        for packet in picture.encode(None):
            target.mux(packet)
        while waiting is not None:
            target.mux(waiting)
            waiting = next(packets, None)
    return count


@contextmanager
def _sound(av: Any, request: dict[str, Any]) -> Iterator[Any]:
    """The source, open for its sound; None where there is no source."""
    if request["source"] is None:
        yield None
        return
    with (
        open(request["source"], "rb") as source,  # a number is a file that is open already
        av.open(
            source, mode="r", format=request["demuxer"], options=_CLOSED, metadata_errors="replace"
        ) as sound,
    ):
        yield sound


def _muxing(request: dict[str, Any]) -> dict[str, str]:
    """Texts with names that MP4 does not know are written only where there are such."""
    if request["muxer"] not in ("mp4", "mov"):
        return {}
    known = all(key in _KNOWN for key, _ in request["texts"])
    return {"movflags": "+faststart" if known else "+faststart+use_metadata_tags"}


def _picture(target: Any, request: dict[str, Any]) -> Any:
    encoder, options = ENCODERS[request["muxer"]]
    rate = Fraction(request["rate"] or 25).limit_denominator(1001 * 120)
    picture = target.add_stream(encoder, rate=rate, options={**options, "crf": str(request["crf"])})
    picture.width, picture.height = request["width"], request["height"]
    odd = request["width"] % 2 or request["height"] % 2
    picture.pix_fmt = "yuv444p" if odd else "yuv420p"
    context = picture.codec_context
    context.time_base = Fraction(*request["time_base"])
    context.thread_count = 2
    primaries, transfer, matrix, _ = request["colour"]
    context.color_primaries, context.color_trc, context.color_range = primaries, transfer, 1
    context.colorspace = _matrix(request) if matrix == _UNKNOWN else matrix
    return picture


def _matrix(request: dict[str, Any]) -> int:
    """What players take for granted where nothing is said."""
    return _BT709 if request["height"] > 576 else _BT601


def _frame(av: Any, body: bytearray, request: dict[str, Any], picture: Any) -> Any:
    frame = av.VideoFrame(request["width"], request["height"], "rgb24")
    plane = frame.planes[0]
    line, width = plane.line_size, request["width"] * 3
    if line == width:
        plane.update(body)
    else:
        padded = bytearray(line * request["height"])
        for row in range(request["height"]):
            padded[row * line : row * line + width] = body[row * width : (row + 1) * width]
        plane.update(padded)
    wide = picture.codec_context.colorspace == _BT709
    converted = frame.reformat(
        format=picture.codec_context.pix_fmt,
        dst_colorspace="itu709" if wide else "itu601",
        dst_color_range=1,
    )
    converted.time_base = Fraction(*request["time_base"])
    return converted


def _packets(sound: Any, copies: dict[Any, Any]) -> Iterator[Any]:
    """Packets of the streams that are copied, each already of its new stream."""
    if not copies:
        return
    for packet in sound.demux(*copies):
        if packet.dts is None:
            continue
        packet.stream = copies[packet.stream]
        yield packet


def _time(packet: Any) -> float:
    return float(packet.dts * packet.time_base)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
