"""What is known of a clip, and one of its frames."""

from __future__ import annotations

from dataclasses import dataclass, field

from countermark.core.images import Pixels


@dataclass(frozen=True)
class ClipFacts:
    """What a clip's headers say.

    Attributes:
        container: A key of ``containers.CONTAINERS``, or the format of an animated picture.
        codec: FFmpeg's name of the codec, or the format of an animated picture.
        width, height: Of a frame as it is shown, in pixels.
        seconds: Length; 0 where it is not known.
        frames: Frames, where the container counts them, else None.
        rate: Frames a second on average, or None.
        audio: Names of the audio codecs.
        time_base: Unit of the frames' stamps, in seconds: numerator and denominator.
        notes: Things worth knowing: interlaced, high dynamic range, turned, transparent.
    """

    container: str
    codec: str
    width: int
    height: int
    seconds: float
    frames: int | None = None
    rate: float | None = None
    audio: tuple[str, ...] = ()
    time_base: tuple[int, int] = (1, 1000)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Attributes:
        time: Seconds from the clip's first frame.
        pixels: uint8, H x W x 3, RGB, upright, transparency laid over white.
        scene: Whether it stands after a scene change rather than at an evenly spaced time.
        key: Whether the encoder made it a key frame.
        stamp: Time in the container's own units, or None.
        colour: Primaries, transfer, matrix and range as FFmpeg numbers them.
        bits: Bits a channel in the file, before they became 8.
        interlaced, alpha: Whether fields were taken apart, or transparency laid over white.
    """

    time: float
    pixels: Pixels = field(repr=False)
    scene: bool = False
    key: bool = False
    stamp: int | None = None
    colour: tuple[int, int, int, int] = (2, 2, 2, 0)
    bits: int = 8
    interlaced: bool = False
    alpha: bool = False
