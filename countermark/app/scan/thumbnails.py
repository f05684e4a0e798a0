"""Thumbnails and heatmaps of scanned images, for HTML reports."""

from __future__ import annotations

import numpy as np

from countermark.app.rooms import Explains
from countermark.core.errors import CountermarkError
from countermark.core.images import Pixels
from countermark.core.results import ScanResult, Verdict
from countermark.reports import Thumbnail, make_thumbnail

MAX_THUMBNAILS = 400
MAX_HEATMAPS = 60
HEATED = (Verdict.LIKELY_SYNTHETIC, Verdict.UNSURE, Verdict.DECLARED_SYNTHETIC)


class Collector:
    """Keeps a small JPEG of every result that a scan hands over; ``images`` is by path."""

    def __init__(self, detector: Explains, *, max_heatmaps: int = MAX_HEATMAPS) -> None:
        self.images: dict[str, Thumbnail] = {}
        self._detector = detector
        self._max_heatmaps = max_heatmaps
        self._heated = 0

    def __call__(self, result: ScanResult, pixels: Pixels | None) -> None:
        if pixels is None or len(self.images) >= MAX_THUMBNAILS:
            return
        self.images[result.path] = make_thumbnail(pixels, self._heatmap(result, pixels))

    def _heatmap(self, result: ScanResult, pixels: Pixels) -> np.ndarray | None:
        if result.score is None or result.verdict not in HEATED or self._heated >= self._max_heatmaps:
            return None
        self._heated += 1
        try:
            return self._detector.heatmap(pixels)
        except CountermarkError:
            return None
