"""The frames of a clip that a report shows: those with the highest scores, kept small while it is scanned."""

from __future__ import annotations

import cv2

from countermark.core.images import Pixels

KEPT = 6
#: Longest side of a kept frame, in pixels; the strongest is kept as it is.
KEPT_SIDE = 720


class Strongest:
    """Keeps the ``most`` frames with the highest scores; the first frame stands in when none has one."""

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._frames: list[tuple[float, float, Pixels]] = []
        self.best: Pixels | None = None
        self._best_score = -1.0

    def offer(self, time: float, score: float | None, pixels: Pixels) -> None:
        """Looks at a frame shown at ``time`` seconds."""
        if self.best is None or (score is not None and score > self._best_score):
            self.best, self._best_score = pixels, -1.0 if score is None else score
        if score is None or self._most <= 0:
            return
        if len(self._frames) < self._most or score > self._frames[-1][0]:
            self._frames.append((score, time, shrunk(pixels)))
            self._frames.sort(key=lambda each: (-each[0], each[1]))
            del self._frames[self._most :]

    def times(self) -> tuple[float, ...]:
        """Times of the kept frames, the highest score first."""
        return tuple(time for _, time, _ in self._frames)

    def frames(self) -> list[tuple[float, Pixels]]:
        """Time and pixels (uint8 RGB, at most 720 a side) of the kept frames, the highest score first."""
        return [(time, pixels) for _, time, pixels in self._frames]


def shrunk(pixels: Pixels) -> Pixels:
    """A frame of at most 720 pixels a side."""
    height, width = pixels.shape[:2]
    scale = KEPT_SIDE / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
