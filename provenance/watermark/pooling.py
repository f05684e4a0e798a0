"""Looking for one mark in many frames of a clip: what each frame sees of it is added up.

Handling moves a whole clip alike, so the mark's tile lies in the same place and at the same scale in all
of its frames, while the pictures under it change. Added up, the mark grows with the number of frames and
the pictures only with its root. Frames are added to a *window* of a few and to the whole; whatever stands
out is decoded.

**The false-positive rate.** A sum of whitened spectra is a function of the pictures alone, as one spectrum
is. Under the null hypothesis (``significance``) the picture does not depend on the key, so the signs of the
soft bits read from a sum are fair coins too, however many frames were added, chosen or left out. Only
decoding attempts count: of single frames, of windows, of the whole and of the search, all of them together
give the p-value. A payload is returned only at a p-value of at most 1e-9 for the whole clip.

>>> import numpy as np
>>> pool = FramePool()
>>> pool.add(np.full((300, 400, 3), 128, np.uint8), 0.0)
False
>>> pool.finish().reading.payload is None
True
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from countermark.core.memory import keep_memory
from countermark.provenance.watermark import perception, spectrum
from countermark.provenance.watermark.coding import Decoded, decode
from countermark.provenance.watermark.layout import TILE, Layout, layout_for
from countermark.provenance.watermark.reading import LEAST_PEAK, MIN_SIDE, TURNS, oriented, read
from countermark.provenance.watermark.records import Reading
from countermark.provenance.watermark.significance import MAX_P, p_value

#: Frames of a window.
WINDOW = 8
#: Frames in which a changed geometry is searched for, and the square whose area they are kept at.
SEARCHED = 3
KEPT_SIDE = 1280


@dataclass(frozen=True)
class Span:
    """A stretch of a clip, in seconds, in which a payload was read."""

    start: float
    end: float
    payload: bytes


@dataclass(frozen=True)
class ClipReading:
    """Outcome of looking for a mark in a clip.

    Attributes:
        reading: As of one picture; ``p_value`` and ``attempts`` are of the whole clip.
        spans: Where it was read, in order; those that touch are one.
        frames: Frames that were looked at.
        alone: Frames in which it was read without the others.
    """

    reading: Reading
    spans: tuple[Span, ...] = ()
    frames: int = 0
    alone: int = 0

    def __bool__(self) -> bool:
        return self.reading.payload is not None


@dataclass(frozen=True)
class _Hit:
    decoded: Decoded
    start: float
    end: float


class FramePool:
    """Adds frames up, and reads their sum; memory does not grow with their number."""

    def __init__(self, *, key: bytes | str | None = None, window: int = WINDOW) -> None:
        """``key`` as for ``read``; ``window`` in frames."""
        self._layout: Layout = layout_for(key)
        self._key, self._window = key, window
        self._whole, self._part = _empty(), _empty()
        self._in_part = 0
        self._times: list[float] = []  # of the window under way
        self._first = 0.0
        self._last = 0.0
        self.frames = 0  #: Frames that were added.
        self._alone = 0
        self._attempts = 0
        self._best = 0.0
        self._hits: list[_Hit] = []
        self._kept: list[np.ndarray] = []
        self._stride = 1

    def add(self, image: np.ndarray, time: float) -> bool:
        """Adds a frame (uint8, H x W x 3, RGB) shown at ``time`` seconds.

        Returns:
            Whether the mark was read in this frame by itself.
        """
        perception.check_image(image)
        keep_memory()
        if min(image.shape[:2]) < MIN_SIDE:
            return False
        self._first = time if not self.frames else self._first
        self._last = time
        self._keep(image)
        self.frames += 1
        plane = perception.working_frame(image)
        white = spectrum.whiten(spectrum.transform(spectrum.fold(perception.normalise(plane))))
        self._whole += white
        self._part += white
        self._in_part += 1
        self._times.append(time)
        alone = self._read(white, time, time, sure=True)
        self._alone += alone
        if self._in_part == self._window:
            self._close()
        return alone

    def finish(self, *, search_seconds: float = 0.0) -> ClipReading:
        """What was read. ``search_seconds`` of processor time go into a search for a changed geometry, in a
        few of the frames, where nothing was found."""
        if self._in_part:
            self._close()
        if self.frames > self._window:
            self._read(spectrum.whiten(self._whole), self._first, self._last, sure=False)
        found, searched = None, "fast"
        if not self._hits and search_seconds > 0:
            found, searched = self._search(search_seconds)
        best = max(self._hits, key=lambda hit: hit.decoded.score, default=None)
        if best is not None:
            p = p_value(best.decoded.score, attempts=self._attempts, valid=True)
            if p <= MAX_P:
                errors = best.decoded.errors
                reading = Reading(best.decoded.payload, p, bit_errors=errors, attempts=self._attempts)
                return ClipReading(reading, self._spans(), self.frames, self._alone)
        if found is not None:
            whole = Span(self._first, self._last, found.payload or b"")
            return ClipReading(found, (whole,), self.frames, 1)
        attempts = max(1, self._attempts)
        p = p_value(self._best, attempts=attempts, valid=False)
        return ClipReading(Reading(None, p, attempts=attempts, searched=searched), (), self.frames, 0)

    def _close(self) -> None:
        """Reads the window, and begins the next one."""
        self._read(spectrum.whiten(self._part), self._times[0], self._times[-1], sure=False)
        self._part[:] = 0
        self._in_part, self._times = 0, []

    def _read(self, white: np.ndarray, start: float, end: float, *, sure: bool) -> bool:
        """Decodes a whitened spectrum; with ``sure`` only if its pilots stand out."""
        x, y, peak = spectrum.pilot_peak(white, self._layout)
        if (peak >= LEAST_PEAK or not sure) and self._decode(white, x, y, start, end):
            return True
        turned = [(spectrum.pilot_peak(oriented(white, turn), self._layout), turn) for turn in TURNS]
        (x, y, peak), turn = max(turned, key=lambda each: each[0][2])
        return peak >= LEAST_PEAK and self._decode(oriented(white, turn), x, y, start, end)

    def _decode(self, white: np.ndarray, x: float, y: float, start: float, end: float) -> bool:
        self._attempts += 1
        decoded = decode(spectrum.chip_values(spectrum.shift(white, x, y), self._layout))
        if decoded.payload is None or p_value(decoded.score, attempts=self._attempts, valid=True) > MAX_P:
            self._best = max(self._best, decoded.score)
            return False
        self._hits.append(_Hit(decoded, start, end))
        return True

    def _spans(self) -> tuple[Span, ...]:
        """Where the mark was read, hits of the same payload that overlap or follow each other joined."""
        hits = [
            hit
            for hit in sorted(self._hits, key=lambda hit: (hit.start, hit.end))
            if p_value(hit.decoded.score, attempts=self._attempts, valid=True) <= MAX_P
        ]
        # The sum of all frames says that the mark is there, not where.
        placed = [hit for hit in hits if (hit.start, hit.end) != (self._first, self._last)] or hits
        spans: list[Span] = []
        for hit in placed:
            payload = hit.decoded.payload or b""
            if spans and spans[-1].payload == payload and hit.start <= spans[-1].end + self._gap():
                spans[-1] = replace(spans[-1], end=max(spans[-1].end, hit.end))
            else:
                spans.append(Span(hit.start, hit.end, payload))
        return tuple(spans)

    def _gap(self) -> float:
        """Somewhat more than the time between two frames."""
        return 1.5 * (self._last - self._first) / max(1, self.frames - 1)

    def _keep(self, image: np.ndarray) -> None:
        """Keeps a few frames, spread over those seen so far, for the search."""
        if self.frames % self._stride:
            return
        if len(self._kept) >= 2 * SEARCHED:
            self._kept = self._kept[::2]
            self._stride *= 2
            if self.frames % self._stride:
                return
        scale = np.sqrt(image.shape[0] * image.shape[1]) / KEPT_SIDE
        if scale > 1:
            size = (max(1, round(image.shape[1] / scale)), max(1, round(image.shape[0] / scale)))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        self._kept.append(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))

    def _search(self, seconds: float) -> tuple[Reading | None, str]:
        """The full search in a few frames; every attempt of each counts."""
        step = max(1, len(self._kept) // SEARCHED)
        frames = self._kept[::step][:SEARCHED]
        how = "full"
        for grey in frames:
            image = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
            found = read(image, key=self._key, time_budget=seconds / len(frames))
            self._attempts += found.attempts
            if found.payload is not None:
                # Corrected for one frame's attempts so far; the bound for all is at most their sum's.
                p = min(1.0, found.p_value * self._attempts / max(1, found.attempts))
                if p <= MAX_P:
                    return replace(found, p_value=p, attempts=self._attempts), found.searched
            how = "stopped" if found.searched == "stopped" else how
        return None, how


def _empty() -> np.ndarray:
    return np.zeros((TILE, TILE), np.complex64)
