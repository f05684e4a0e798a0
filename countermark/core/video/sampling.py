"""Which frames of a clip are looked at, and the bounds that hold before and while it is decoded.

Nothing heavy is imported here: the decoding process needs it too.

>>> Sampling(count=4).times(8.0)
[1.0, 3.0, 5.0, 7.0]
"""

from __future__ import annotations

from dataclasses import dataclass

from countermark.core.errors import ConfigError

#: Frames that are looked at unless told otherwise, as most published work on detectors does.
DEFAULT_FRAMES = 32
#: Most frames that may be asked for.
MOST_FRAMES = 20_000
#: Frames after scene changes, as a share of the evenly spaced ones, that are looked at besides.
SCENE_SHARE = 0.25


@dataclass(frozen=True)
class ClipLimits:
    """Bounds of one clip.

    Attributes:
        max_bytes: Largest file.
        max_seconds: Longest clip.
        max_pixels: Largest width x height of a frame; 8192 x 4352 holds every 8K.
        max_side: Longest side of a frame, in pixels.
        cpu_seconds: Processor time that decoding one file may take.
        idle_seconds: Longest silence of the decoding process, on the clock.
        memory_bytes: Address space of the decoding process (where the system can bound it).
    """

    max_bytes: int = 16 * 1024**3
    max_seconds: float = 6 * 3600.0
    max_pixels: int = 8192 * 4352
    max_side: int = 16_384
    cpu_seconds: int = 900
    idle_seconds: float = 300.0
    memory_bytes: int = 6 * 1024**3


DEFAULT_CLIP_LIMITS = ClipLimits()


@dataclass(frozen=True)
class Sampling:
    """Which frames are looked at.

    Attributes:
        count: Frames, evenly spaced; with ``every``, the most of them.
        every: Seconds between frames; None: as ``count`` gives it.
        scenes: As a share of ``count``: how many frames after scene changes there may be besides.
        whole: Every frame of the clip, without any of the above.
        snap: Take a key frame instead where there is one within half the distance to the next frame: it
            is the frame that the encoder kept best, and nothing before it has to be decoded.
    """

    count: int = DEFAULT_FRAMES
    every: float | None = None
    scenes: float = SCENE_SHARE
    whole: bool = False
    snap: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST_FRAMES:
            raise ConfigError(
                f"{self.count} frames of a clip cannot be looked at.",
                code="clip.frames",
                hint=f"Ask for 1 to {MOST_FRAMES:,}.",
            )
        if self.every is not None and not 0.001 <= self.every <= 86_400:
            raise ConfigError(
                f"A frame every {self.every:g} seconds cannot be had.",
                code="clip.every",
                hint="Ask for 0.001 to 86,400 seconds.",
            )

    def step(self, seconds: float) -> float:
        """Seconds from one evenly spaced frame to the next, in a clip of so many seconds."""
        least = seconds / self.count if seconds > 0 else 0.0
        return least if self.every is None else max(self.every, seconds / self.count)

    def most_scenes(self) -> int:
        """Frames that scene changes may have; none with ``every`` or in a small sample."""
        return 0 if self.every is not None or self.count < 8 else int(self.count * self.scenes)

    def times(self, seconds: float) -> list[float]:
        """The evenly spaced times, each in the middle of its share of the clip."""
        step = self.step(seconds)
        if step <= 0:
            return [0.0]
        return [(number + 0.5) * step for number in range(max(1, round(seconds / step)))]
