"""Tells clips and animated pictures from still ones, and scans them one at a time."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from countermark.app.clips.scan import ClipSettings, scan_clip
from countermark.app.rooms import Detector
from countermark.app.scan.gather import Gathered
from countermark.core.errors import ClipError, CountermarkError
from countermark.core.images import Pixels
from countermark.core.results import Evidence, Failure, ScanResult
from countermark.core.video.containers import ANIMATED, sniff_clip
from countermark.core.video.reader import read_head

if TYPE_CHECKING:
    from countermark.detectors.scoring.thresholds import Thresholds

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Moving:
    """A clip, or an animated picture with what its file declares, that is still to be scanned."""

    path: str
    evidence: tuple[Evidence, ...] | None = None
    sha256: str | None = None


class ClipDoor:
    """Scans what moves, with one detector."""

    def __init__(
        self, model: Detector, bounds: Thresholds, settings: ClipSettings, *, max_fpr: float
    ) -> None:
        self._model, self._bounds, self._settings = model, bounds, settings
        second = settings.second
        self._likely = None if second is None else float(second.thresholds(max_fpr).likely)

    def waiting(self, path: Path | str) -> Moving | None:
        """The file as something that moves, by its first bytes; None for anything else."""
        return Moving(str(path)) if sniff_clip(read_head(path)) is not None else None

    def animated(self, gathered: Gathered) -> Moving | None:
        """The animated picture among still ones; None for a still one."""
        image = gathered.image
        if image.frames < 2 or image.format not in ANIMATED:
            return None
        return Moving(gathered.path, tuple(_declared(gathered.evidence)), image.sha256)

    def scan(self, item: Moving) -> tuple[ScanResult, Pixels | None]:
        """The clip's row, and its strongest frame; an error is a row too."""
        try:
            before = _state(item.path)
            result, strongest = scan_clip(
                item.path,
                self._model,
                self._bounds,
                self._settings,
                evidence=item.evidence,
                second_likely=self._likely,
            )
            # Clips are too large to be read once: a verdict and the digest beside it are of the same bytes
            # only while nobody writes to the file.
            if before != _state(item.path) or item.sha256 not in (None, result.sha256):
                raise ClipError(
                    f"{item.path} was changed while it was scanned.",
                    code="clip.changed",
                    hint="Scan it again when it is complete.",
                )
            return result, strongest
        except CountermarkError as error:
            return _failed(item.path, error), None
        except (MemoryError, OSError, ValueError, RuntimeError) as error:
            LOG.debug("%s could not be examined", item.path, exc_info=True)
            reason = f"{item.path} could not be examined ({type(error).__name__})."
            return _failed(item.path, ClipError(reason)), None


def _state(path: str) -> tuple[int, ...]:
    """What changes when a file does; nothing of a file that is gone."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _declared(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Without what was said of the first frame alone."""
    return [
        each
        for each in evidence
        if each.kind != "mark" and not str(each.detail.get("note", "")).startswith("animated")
    ]


def _failed(path: str, error: CountermarkError) -> ScanResult:
    return ScanResult(path, None, None, None, error=Failure(error.code, error.message, error.hint))
