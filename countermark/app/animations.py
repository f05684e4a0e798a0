"""Marks every frame of an animated picture and encodes it again, in the same times and as often repeated.

WebP, PNG and AVIF can hold a mark: lossless, or at the quality of ``marking``. GIF cannot, for 256 colours a
frame are too few; an animated GIF is marked when it becomes one of the others. Frames are decoded in a
process of its own (``core.video``), and the finished picture is read again before it is handed out.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from countermark.core.errors import CountermarkError
from countermark.core.images import LoadedImage, Pixels
from countermark.core.video.containers import ANIMATED
from countermark.core.video.reader import open_clip
from countermark.core.video.sampling import Sampling
from countermark.provenance.metadata.carrying import carry

#: Formats whose frames can hold a mark.
HOLDING = ("webp", "png", "avif")
#: Pixels of all frames together: they are held until the last one has come.
MOST_PIXELS = 150_000_000
#: Strengths that are tried, and frames of the finished picture that are read again.
STRENGTHS, CHECKED = (1.0, 1.6), 16
#: A frame that has no time of its own is shown for so many milliseconds.
USUAL_MS = 100


@dataclass
class Animated:
    """An animation whose frames are marked: its bytes, its first frame, how strong, and what was lost.

    ``data`` is None where it could not be marked; ``notes`` say why.
    """

    data: bytes | None
    pixels: Pixels | None = None
    psnr: float | None = None
    notes: list[str] = field(default_factory=list)


def moves(image: LoadedImage, format: str) -> bool:
    """Whether ``image`` is an animation that ``format`` can hold with all its frames."""
    return image.frames > 1 and image.format in ANIMATED and format in HOLDING


def mark_animation(
    image: LoadedImage, format: str, payload: bytes, *, allow_loss: bool, packet: str | None, lossless: bool
) -> Animated:
    """Embeds ``payload`` (8 bytes) into every frame and encodes as ``format`` (one of ``HOLDING``).

    Args:
        allow_loss: Mark even what loses its transparency by it.
        packet: An XMP packet that takes the place of the picture's own.
        lossless: Of WebP: keep every value; otherwise quality 95. PNG always does, AVIF never (quality 90).
    """
    height, width = image.pixels.shape[:2]
    total = image.frames * height * width
    if total > MOST_PIXELS:
        return _unmarked(f"{image.frames} frames of {width} x {height} pixels are too many to be marked")
    with tempfile.TemporaryDirectory(prefix="countermark-animation-") as folder:
        source = Path(folder, f"source.{image.format}")
        source.write_bytes(image.data)
        pooled: Animated | None = None
        for strength in STRENGTHS:
            try:
                made = _Run(image, source, format, payload, strength, allow_loss, packet, lossless).make()
            except CountermarkError as error:
                return _unmarked(error.message.rstrip("."))
            if made.data is None:
                return made
            target = Path(folder, f"{strength:g}.{format}")
            target.write_bytes(made.data)
            together, alone = _held(target, payload)
            # AVIF predicts frames from each other: its mark is there in all of them together.
            if together and (alone or format == "avif"):
                return made
            pooled = made if together else pooled
    return pooled or _unmarked("the mark cannot be read in the finished picture")


@dataclass
class _Run:
    """One pass over the frames."""

    image: LoadedImage
    source: Path
    format: str
    payload: bytes
    strength: float
    allow_loss: bool
    packet: str | None
    lossless: bool
    first: Pixels | None = None
    ratios: list[float] = field(default_factory=list)

    def make(self) -> Animated:
        times, seconds, transparent = self._times()
        if transparent and not self.allow_loss:
            return _unmarked("its transparency would be lost")
        ends = [*times[1:], max(seconds, times[-1])]
        shown = [
            max(1, round((end - start) * 1000)) or USUAL_MS for start, end in zip(times, ends, strict=True)
        ]
        with Image.open(io.BytesIO(self.image.data)) as original:
            info: dict[str, Any] = {str(key): value for key, value in original.info.items()}
        carried = carry(self.image.data, self.image.format, self.format, info, self.packet)
        loop = info.get("loop", 0 if self.image.format != "gif" else 1)
        options: dict[str, Any] = {**carried.options, "duration": shown, "loop": int(loop or 0)}
        options |= {"icc_profile": info["icc_profile"]} if info.get("icc_profile") else {}
        if self.format == "webp":
            how = (
                {"lossless": True, "quality": 0, "method": 0}
                if self.lossless
                else {"quality": 95, "method": 2}
            )
            options |= how
        elif self.format == "png":
            options |= {"compress_level": 1}
        else:
            options |= {"quality": 90, "speed": 9}
        first, *more = self._marked()
        stream = io.BytesIO()
        first.save(stream, self.format.upper(), save_all=True, append_images=more, **options)
        notes = [f"Lost, because {self.format.upper()} cannot hold it: {each}." for each in carried.lost]
        notes += ["Lost: its transparency."] if transparent else []
        psnr = min(99.0, float(np.mean(self.ratios)))
        return Animated(carried.finish(stream.getvalue()), self.first, psnr, notes)

    def _times(self) -> tuple[list[float], float, bool]:
        """When each frame is shown, the whole length in seconds, and whether any is transparent."""
        with open_clip(self.source, Sampling(whole=True)) as clip:
            times, transparent = [], False
            for frame in clip:
                times.append(frame.time)
                transparent = transparent or frame.alpha
            if clip.trouble is not None:
                raise clip.trouble
            return times, clip.facts.seconds, transparent

    def _marked(self) -> Iterator[Image.Image]:
        from countermark.provenance.watermark.frames import FrameMarker

        marker = FrameMarker(self.payload, strength=self.strength)
        with open_clip(self.source, Sampling(whole=True)) as clip:
            for frame in clip:
                marked = marker.mark(frame.pixels)
                self.ratios.append(float(cv2.PSNR(frame.pixels, marked)))
                if self.first is None:
                    self.first = marked
                yield Image.fromarray(np.ascontiguousarray(marked))


def _held(path: Path, payload: bytes) -> tuple[bool, bool]:
    """Whether the finished picture's frames give back the payload, all together and each alone."""
    from countermark.provenance.watermark.pooling import FramePool
    from countermark.provenance.watermark.reading import read

    pool, alone = FramePool(), True
    with open_clip(path, Sampling(CHECKED, scenes=0.0)) as clip:
        for frame in clip:
            pool.add(frame.pixels, frame.time)
            alone = alone and read(frame.pixels, search=False).payload == payload
    return pool.finish().reading.payload == payload, alone


def _unmarked(reason: str) -> Animated:
    return Animated(None, notes=[f"Not marked: {reason}."])
