"""Decoding of containers with PyAV; runs in the decoding process only.

Packets of one group of pictures are held back until it is known whether a wanted time lies in it: a
group without one is not decoded, but for its first frame, which shows whether the scene changed.
Memory does not grow with the length of a clip.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import IO, Any

from countermark.core.errors import ClipError
from countermark.core.video.sampling import ClipLimits, Sampling

#: Decoders that are used. FFmpeg has hundreds; most of them nobody looks after.
CODECS = (
    "h264,hevc,vp8,vp9,av1,libdav1d,mpeg4,mpeg2video,mpeg1video,mjpeg,prores,dnxhd,h263,theora,png,qtrle,"
    "rawvideo,v210,ffv1,libvpx,libvpx-vp9,aac,mp3,mp3float,ac3,eac3,alac,flac,opus,vorbis,pcm_s16le,"
    "pcm_s24le,pcm_s16be,pcm_s24be,pcm_f32le"
)
#: Bytes of packets that are held back at most.
HELD = 16 * 1024 * 1024
#: Key frames outside of wanted groups that are decoded to see whether the scene changed, for each
#: frame that is asked for.
GLANCES = 4
#: Mean difference of small pictures (grey levels) from which a scene has changed.
SCENE_CHANGE = 28.0
_SMALL = 16
_PQ_HLG = (16, 18)
#: Nothing is opened by name: the one file is handed over open.
_CLOSED = {"protocol_whitelist": "none", "codec_whitelist": CODECS, "enable_drefs": "0"}

Emit = Callable[[dict[str, Any], list[memoryview | bytes]], None]


def decode(stream: IO[bytes], demuxer: str, sampling: Sampling, limits: ClipLimits, emit: Emit) -> None:
    """Sends the facts, then the wanted frames of an open file, then ``end``.

    Raises:
        ClipError: ``clip.no-video``, ``clip.codec``, ``clip.too-many-pixels``, ``clip.too-long``,
            ``clip.damaged``; nothing or some frames were sent before.
    """
    import av

    av.logging.set_level(None)
    try:
        container = av.open(
            io.BufferedReader(stream, 1 << 20) if isinstance(stream, io.RawIOBase) else stream,
            mode="r",
            format=demuxer,
            options=_CLOSED,
            io_open=_refuse,
            buffer_size=1 << 18,
            metadata_errors="replace",
        )
    except (av.FFmpegError, ValueError, OSError) as error:
        raise ClipError(f"it cannot be opened ({_why(error)})", code="clip.damaged") from error
    with container:
        clip = _Clip(container, sampling, limits)
        emit({"kind": "facts", **clip.facts()}, [])
        clip.run(emit)


def _refuse(url: str, flags: int, options: dict[str, Any]) -> IO[bytes]:
    raise PermissionError("a clip may not open other files")


class _Clip:
    """One open container and the state of looking through it."""

    def __init__(self, container: Any, sampling: Sampling, limits: ClipLimits) -> None:
        self.container, self.sampling, self.limits = container, sampling, limits
        streams = [each for each in container.streams.video if not each.disposition & _cover()]
        if not streams:
            raise ClipError("it has no video stream", code="clip.no-video")
        self.stream = streams[0]
        self.context = self.stream.codec_context
        if self.context is None or self.context.name not in CODECS.split(","):
            name = getattr(self.context, "name", "unknown")
            raise ClipError(f"its codec ({name}) is not one that is decoded here", code="clip.codec")
        self.check_size(self.context.width, self.context.height)
        self.context.thread_type = "AUTO"
        self.context.thread_count = 2
        self.start: float | None = None
        self.seconds = self.length()
        if self.seconds > limits.max_seconds:
            raise ClipError(
                f"it is {self.seconds:,.0f} s long; the limit is {limits.max_seconds:,.0f} s",
                code="clip.too-long",
            )
        self.wanted = sampling.times(self.seconds)
        self.step = sampling.step(self.seconds)
        self.next = 0
        self.scenes = 0
        self.sent = 0
        self.decoded = 0
        self.broken = 0
        self.glances = GLANCES * sampling.count
        self.last_sent = -1.0
        self.small: list[int] | None = None
        self.size: tuple[int, int] | None = None
        self.notes: list[str] = []
        self.last_seen = 0.0

    def check_size(self, width: int, height: int) -> None:
        limits = self.limits
        if width * height > limits.max_pixels or max(width, height) > limits.max_side:
            raise ClipError(f"its frames have {width} x {height} pixels", code="clip.too-many-pixels")

    def length(self) -> float:
        """Seconds, as the container says; from its packets where it does not."""
        stream, container = self.stream, self.container
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        if container.duration:
            return float(container.duration / 1_000_000)
        first, last = None, 0.0
        for packet in container.demux(stream):
            if packet.pts is None:
                continue
            time = float(packet.pts * packet.time_base)
            first = time if first is None else min(first, time)
            last = max(last, time + float((packet.duration or 0) * packet.time_base))
        container.seek(0)
        return max(0.0, last - (first or 0.0))

    def facts(self) -> dict[str, Any]:
        stream, context = self.stream, self.context
        rate = stream.average_rate or stream.guessed_rate
        return {
            "codec": str(context.codec.canonical_name or context.name),
            "width": context.width,
            "height": context.height,
            "seconds": self.seconds,
            "frames": stream.frames or None,
            "rate": float(rate) if rate else None,
            "audio": [
                str(each.codec_context.name) for each in self.container.streams.audio if each.codec_context
            ],
            "time_base": [stream.time_base.numerator, stream.time_base.denominator],
            "texts": [list(each) for each in _texts(self.container, stream)],
        }

    def run(self, emit: Emit) -> None:
        import av

        try:
            if self.sampling.whole:
                self._whole(emit)
            else:
                self._sampled(emit)
        except av.FFmpegError as error:
            self.broken += 1
            self.notes.append(f"damaged after {self.last_seen:.1f} s ({_why(error)})")
        emit(
            {
                "kind": "end",
                "decoded": self.decoded,
                "broken": self.broken,
                "seconds": max(self.seconds, self.last_seen),
                "notes": list(dict.fromkeys(self.notes)),
            },
            [],
        )

    def _whole(self, emit: Emit) -> None:
        for packet in self.container.demux(self.stream):
            for frame in self._frames(packet):
                self._send(frame, emit, False)

    def _sampled(self, emit: Emit) -> None:
        held: list[Any] = []
        size, running = 0, False
        # Frames that no other frame needs cost half of all decoding, and are the worst ones.
        self.context.skip_frame = "NONREF"
        for packet in self.container.demux(self.stream):
            if packet.pts is None and packet.dts is None:
                continue  # the last, empty one
            if packet.is_keyframe and (held or running):
                self._group(held, emit, running, last=True)
                held, size, running = [], 0, False
            held.append(packet)
            size += packet.size
            if size > HELD or running:
                self._group(held, emit, running, last=False)
                held, size, running = [], 0, True
        self._group(held, emit, running, last=True)

    def _group(self, packets: list[Any], emit: Emit, running: bool, *, last: bool) -> None:
        """Looks at a group of pictures, or at a piece of one that is too long to be held back."""
        if not packets:
            return
        end = max(self._time(packet) for packet in packets)
        first = self._time(packets[0])
        wanted = self._due(end, False) or (packets[0].is_keyframe and self._due(first, True))
        if not running and not wanted and last:
            if self.glances <= 0 or self.scenes >= self._scene_quota(end):
                return
            self.glances -= 1
            packets = packets[:1]
        before = self.decoded
        for packet in packets:
            for frame in self._frames(packet):
                self._consider(frame, emit)
            if not running and last and wanted and not self._due(end, False):
                break  # nothing else is wanted of this group
        if last:
            for frame in self._frames(None):
                self._consider(frame, emit)
            self.context.flush_buffers()
        if self.decoded == before and self.context.skip_frame != "DEFAULT" and wanted:
            self.context.skip_frame = "DEFAULT"  # a stream in which no frame is needed by another
            self._group(packets, emit, running, last=last)

    def _due(self, time: float, key: bool) -> bool:
        """Whether a frame at this time, a key frame or another, is the next wanted one."""
        early = self.step / 2 if key and self.sampling.snap else 0.0
        return self.next < 2 * len(self.wanted) and time >= self._want(self.next) - early - 1e-9

    def _want(self, number: int) -> float:
        """The time of the next wanted frame; goes on at the same pace if the clip is longer than it says."""
        if number < len(self.wanted):
            return self.wanted[number]
        return self.wanted[-1] + (number - len(self.wanted) + 1) * max(self.step, 1e-3)

    def _scene_quota(self, time: float) -> int:
        """Scene changes that may have been sent by now, so that the first minute does not use them up."""
        most = self.sampling.most_scenes()
        share = time / self.seconds if self.seconds > 0 else 1.0
        return min(most, 1 + int(most * share)) if most else 0

    def _consider(self, frame: Any, emit: Emit) -> None:
        time = self._time(frame)
        small = _small(frame)
        changed = self.small is not None and _difference(small, self.small) >= SCENE_CHANGE
        self.small = small
        if self._due(time, bool(frame.key_frame)):
            self.next += 1
            while self._due(time, False):
                self.next += 1
            self._send(frame, emit, False)
        elif changed and self.scenes < self._scene_quota(time) and time - self.last_sent > 0.2 * self.step:
            self.scenes += 1
            self._send(frame, emit, True)

    def _frames(self, packet: Any) -> Iterator[Any]:
        """Decoded frames of a packet; one that is damaged is counted and passed over."""
        import av

        try:
            frames = self.context.decode(packet)
        except (av.error.InvalidDataError, ValueError):
            self.broken += 1
            return
        for frame in frames:
            self.check_size(frame.width, frame.height)
            self.decoded += 1
            if frame.is_corrupt:
                self.broken += 1
                continue
            self.last_seen = max(self.last_seen, self._time(frame))
            if self.last_seen > self.limits.max_seconds:
                raise ClipError("it goes on longer than it may", code="clip.too-long")
            yield frame

    def _time(self, item: Any) -> float:
        """Seconds of a packet or frame from the clip's first."""
        stamp = item.pts if item.pts is not None else item.dts
        # Frames that a decoder gives at the end of its input come without a time base.
        base = item.time_base or self.stream.time_base
        if stamp is None or base is None:
            return self.last_seen
        if self.start is None:
            begin = self.stream.start_time
            self.start = float((stamp if begin is None else begin) * base)
        return float(stamp * base) - self.start

    def _send(self, frame: Any, emit: Emit, scene: bool) -> None:
        time = self._time(frame)
        if self.size not in (None, (frame.width, frame.height)):
            self.notes.append("the size of its frames changes")
        self.size = (frame.width, frame.height)
        if frame.interlaced_frame:
            self.notes.append("interlaced: one field of each frame is looked at")
        if int(frame.color_trc) in _PQ_HLG:
            self.notes.append("high dynamic range, shown without tone mapping")
        if frame.rotation:
            self.notes.append("turned upright as its header says")
        alpha = any(component.is_alpha for component in frame.format.components)
        if alpha:
            self.notes.append("alpha laid over white")
        packed = frame.reformat(format="rgba" if alpha else "rgb24")
        plane = packed.planes[0]
        depth = 4 if alpha else 3
        self.sent += 1
        self.last_sent = time
        emit(
            {
                "kind": "frame",
                "time": max(0.0, time),
                "width": frame.width,
                "height": frame.height,
                "depth": depth,
                "rotation": int(frame.rotation),
                "interlaced": bool(frame.interlaced_frame),
                "scene": scene,
                "key": bool(frame.key_frame),
                "pts": frame.pts,
                "colour": [
                    int(frame.color_primaries),
                    int(frame.color_trc),
                    int(frame.colorspace),
                    int(frame.color_range),
                ],
                "bits": max(component.bits for component in frame.format.components),
            },
            _rows(plane, frame.width * depth, frame.height),
        )


def _rows(plane: Any, width: int, height: int) -> list[memoryview | bytes]:
    """A plane's bytes without what fills its lines up."""
    view, line = memoryview(plane), plane.line_size
    if line == width:
        return [view[: width * height]]
    return [view[row * line : row * line + width] for row in range(height)]


def _small(frame: Any) -> list[int]:
    """A frame's brightness (grey levels) on a grid of 16 x 16 points, from its first plane."""
    plane, bits = frame.planes[0], frame.format.components[0].bits
    view, line = memoryview(plane), plane.line_size
    deep = 2 if bits > 8 else 1
    wide = frame.format.bits_per_pixel // 8 if len(frame.planes) == 1 else deep
    rows = [(2 * y + 1) * plane.height // (2 * _SMALL) * line for y in range(_SMALL)]
    columns = [(2 * x + 1) * plane.width // (2 * _SMALL) * wide for x in range(_SMALL)]
    if deep == 1:
        return [view[row + column] for row in rows for column in columns]
    return [
        (view[row + column] | view[row + column + 1] << 8) >> (bits - 8) for row in rows for column in columns
    ]


def _difference(one: list[int], other: list[int]) -> float:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


def _cover() -> Any:
    from av.stream import Disposition

    return Disposition.attached_pic


def _texts(container: Any, stream: Any) -> Iterator[tuple[str, str]]:
    """Named texts of the container and of its picture: titles, comments, encoders."""
    for holder in (container.metadata, stream.metadata):
        for key, value in list(holder.items())[:64]:
            yield str(key)[:200], str(value)[:20_000]


def _why(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:200]
