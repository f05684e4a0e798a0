"""Marks every frame of a clip and encodes it again; its sound is copied."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from countermark.core.errors import CountermarkError
from countermark.core.images import Pixels
from countermark.core.video.containers import CONTAINERS
from countermark.core.video.reader import open_clip
from countermark.core.video.records import ClipFacts, Frame
from countermark.core.video.sampling import DEFAULT_CLIP_LIMITS, ClipLimits, Sampling
from countermark.core.video.writer import ClipWriter

#: Frames of the finished clip in which the mark is read again.
CHECKED = 16
#: Strengths that are tried, one after another.
STRENGTHS = (1.0, 1.6)
#: Texts of containers that say where something was recorded.
PLACES = ("location", "com.apple.quicktime.location.iso6709", "location-eng", "xyz")
_HIGH_RANGE = (16, 18)


@dataclass(frozen=True)
class MarkedClip:
    """A marked clip: its encoded bytes, one of its frames, the payload, and what was lost.

    ``data`` is None when it could not be marked; ``notes`` say why. ``pixels`` are the middle frame's.
    """

    data: bytes | None
    pixels: Pixels | None
    payload: bytes | None
    psnr: float | None
    notes: tuple[str, ...] = ()


def mark_clip(
    source: Path,
    container: str,
    *,
    payload: bytes | None = None,
    crf: int | None = None,
    allow_loss: bool = False,
    drop_places: bool = False,
    on_progress: Callable[[float, float], None] | None = None,
    limits: ClipLimits = DEFAULT_CLIP_LIMITS,
) -> MarkedClip:
    """Embeds ``payload`` (8 random bytes by default) into every frame and encodes as ``container``.

    What comes out is read again; a mark that is not there is embedded once more, stronger.

    Raises:
        ClipError: the clip cannot be decoded.
        OutputError: it cannot be encoded.
    """
    payload = payload or secrets.token_bytes(8)
    made = MarkedClip(None, None, None, None, ("Not marked: the mark cannot be read in the finished clip.",))
    with tempfile.TemporaryDirectory(prefix="countermark-clip-") as folder:
        for strength in STRENGTHS:
            output = Path(folder, f"{strength:g}{CONTAINERS[container].suffixes[0]}")
            run = _Run(source, output, container, payload, strength, crf, allow_loss, drop_places, limits)
            found = run.make(on_progress)
            if found.payload is None:
                return found
            if _holds(output, payload, limits):
                return replace(found, data=output.read_bytes())
            made = replace(made, pixels=found.pixels)
    return made


@dataclass(frozen=True)
class _Run:
    """One pass over a clip."""

    source: Path
    output: Path
    container: str
    payload: bytes
    strength: float
    crf: int | None
    allow_loss: bool
    drop_places: bool
    limits: ClipLimits

    def make(self, on_progress: Callable[[float, float], None] | None) -> MarkedClip:
        from countermark.provenance.watermark.frames import FrameMarker

        marker = FrameMarker(self.payload, strength=self.strength)
        middle: Pixels | None = None
        ratios: list[float] = []
        with open_clip(self.source, Sampling(whole=True), self.limits) as clip:
            texts = [t for t in clip.texts if not (self.drop_places and t[0].lower() in PLACES)]
            facts, notes = clip.facts, [_encoded(clip.facts)]
            with ClipWriter(
                self.output,
                self.source,
                facts,
                container=self.container,
                crf=self.crf,
                texts=texts,
                limits=self.limits,
            ) as writer:
                for number, frame in enumerate(clip):
                    if not number:
                        lost = losses(frame)
                        if lost and not self.allow_loss:
                            return _unmarked(
                                f"of this clip, {' and '.join(lost)} would be lost", frame.pixels
                            )
                        notes += [f"Lost: {each}." for each in lost]
                    try:
                        marked = marker.mark(frame.pixels)
                    except CountermarkError as error:
                        return _unmarked(str(error), frame.pixels)
                    if middle is None or frame.time <= facts.seconds / 2:
                        middle = marked
                    if number % 25 == 0:
                        ratios.append(float(cv2.PSNR(frame.pixels, marked)))
                    writer.add(replace(frame, pixels=marked))
                    if on_progress is not None:
                        on_progress(frame.time, facts.seconds)
            if clip.trouble is not None:
                return _unmarked(f"the clip is damaged ({clip.trouble.message})", middle)
        return MarkedClip(None, middle, self.payload, min(99.0, float(np.mean(ratios))), tuple(notes))


def losses(frame: Frame) -> list[str]:
    """What encoding a clip again costs, besides the little that its codec takes."""
    found = []
    if frame.bits > 8:
        found.append(f"all but 8 of {frame.bits} bits a channel")
    if frame.colour[1] in _HIGH_RANGE:
        found.append("its high dynamic range")
    if frame.alpha:
        found.append("its transparency")
    if frame.interlaced:
        found.append("one of two fields")
    return found


def _encoded(facts: ClipFacts) -> str:
    return f"Its frames were encoded again for the mark (it was {facts.codec}); its sound was copied."


def _unmarked(reason: str, pixels: Pixels | None) -> MarkedClip:
    return MarkedClip(None, pixels, None, None, (f"Not marked: {reason.rstrip('.')}.",))


def _holds(path: Path, payload: bytes, limits: ClipLimits) -> bool:
    """Whether the finished clip gives back its payload."""
    from countermark.provenance.watermark.pooling import FramePool

    pool = FramePool()
    with open_clip(path, Sampling(CHECKED, scenes=0.0), limits) as clip:
        for frame in clip:
            pool.add(frame.pixels, frame.time)
    return pool.finish().reading.payload == payload
