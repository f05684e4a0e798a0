"""Thumbnails, larger views and heatmaps of scanned images, for HTML reports: of those that matter most."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from countermark.app.clips.scan import frame_name
from countermark.app.rooms import Explains
from countermark.app.scan.faces import face_crops
from countermark.core.errors import CountermarkError
from countermark.core.images import Pixels
from countermark.core.results import ScanResult, Verdict
from countermark.reports import Thumbnail, make_thumbnail

MAX_THUMBNAILS = 400
MAX_HEATMAPS = 60
#: Larger views: how many, and their longest side in pixels.
MAX_FULL, FULL_SIDE = 40, 1024
#: As reports sort them: what one looks at first.
ORDER = (
    Verdict.DECLARED_SYNTHETIC,
    Verdict.LIKELY_SYNTHETIC,
    Verdict.UNSURE,
    Verdict.NO_EVIDENCE,
    Verdict.DECLARED_CAPTURED,
)
HEATED = ORDER[:3]
#: Frames of clips, and their longest side in pixels.
MAX_FRAMES, FRAME_SIDE = 120, 240
#: What the laid-over picture is called.
HEAT, PART = "Heatmap", "Part that does not fit"

#: Larger is more worth a picture: place of the verdict, score, then the first name.
Rank = tuple[int, float, int]


class Collector:
    """Keeps a small JPEG of the results that a report shows first; ``images`` is by path.

    A scan hands over results in the order of the files. Once the places are taken, a result that a
    report would show earlier takes the place of the last one, and likewise for heatmaps and larger views.

    Args:
        max_thumbnails: Pictures that are kept.
        max_heatmaps: Heatmaps among them; each costs about as much as a score.
        max_full: Larger views among them.
        part_of: The mask of an exchanged part by path, where one was found: shown in place of a heatmap.
    """

    def __init__(
        self,
        detector: Explains,
        *,
        max_heatmaps: int = MAX_HEATMAPS,
        max_thumbnails: int = MAX_THUMBNAILS,
        max_full: int = MAX_FULL,
        part_of: Callable[[str], np.ndarray | None] = lambda path: None,
    ) -> None:
        self.images: dict[str, Thumbnail] = {}
        self._detector, self._part_of = detector, part_of
        self._kept = _Best(max_thumbnails)
        self._heated = _Best(max_heatmaps)
        self._full = _Best(max_full)
        self._seen = 0
        self._frames = 0
        self._crops: dict[str, tuple[tuple[bytes, str], ...]] = {}

    def __call__(self, result: ScanResult, pixels: Pixels | None) -> None:
        crops = self._crops.pop(result.path, None)
        if pixels is None:
            return
        part = self._part_of(result.path)
        self._seen += 1
        rank = rank_of(result, self._seen)
        taken, gone = self._kept.offer(rank, result.path)
        if not taken:
            return
        if gone is not None:
            self.images.pop(gone, None)
        heated = result.score is not None and result.verdict in HEATED
        heat = part
        if heated and part is None:
            taken, gone = self._heated.offer(rank, result.path)
            self._change(gone, lambda image: replace(image, heatmap=None))
            heat = self._heatmap(pixels) if taken else None
        taken, gone = self._full.offer(rank, result.path)
        self._change(gone, lambda image: replace(image, full=None))
        full = FULL_SIDE if taken else 0
        image = make_thumbnail(pixels, heat, full_side=full, caption=PART if part is not None else HEAT)
        self.images[result.path] = replace(
            image, crops=face_crops(result, pixels) if crops is None else crops
        )

    def frame(self, path: str, time: float, pixels: Pixels) -> None:
        """Keeps a frame of a clip, in the place of that name; of the first clips only."""
        if self._frames < MAX_FRAMES:
            self._frames += 1
            self.images[frame_name(path, time)] = make_thumbnail(pixels, side=FRAME_SIDE)

    def faces(self, path: str, crops: tuple[tuple[bytes, str], ...]) -> None:
        """Keeps faces of a clip, JPEG and caption each, until its result comes."""
        self._crops[path] = crops

    def _change(self, path: str | None, change: Callable[[Thumbnail], Thumbnail]) -> None:
        """Changes a picture, if it is kept still."""
        if path is not None and path in self.images:
            self.images[path] = change(self.images[path])

    def _heatmap(self, pixels: Pixels) -> np.ndarray | None:
        try:
            return self._detector.heatmap(pixels)
        except CountermarkError:
            return None


class _Best:
    """The places for the ``size`` highest ranks."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._heap: list[tuple[Rank, str]] = []

    def offer(self, rank: Rank, path: str) -> tuple[bool, str | None]:
        """Whether there is a place, and who has lost it."""
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, (rank, path))
            return True, None
        if not self._heap or self._heap[0][0] >= rank:
            return False, None
        return True, heapq.heapreplace(self._heap, (rank, path))[1]


def rank_of(result: ScanResult, number: int) -> Rank:
    """How much a result is worth a picture; ``number`` settles ties, the first file first."""
    place = ORDER.index(result.verdict) if result.verdict in ORDER else len(ORDER)
    return -place, result.score or 0.0, -number
