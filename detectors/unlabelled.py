"""One offset for a folder that was delivered its own way, from its pictures without labels.

    detector = load_detector()
    path = fit_unlabelled(detector, ["inbox"], out="inbox.json")
    detector = with_thresholds(detector, path)

It is for pictures that all came the same way, such as through one messenger: their scores move together,
and one number moves them back. It cannot tell a folder of generated pictures from one whose delivery makes
everything look generated; a prior around zero keeps it small. The file says what was estimated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from countermark.core.errors import CorpusError, ImageError
from countermark.core.files import atomic_write, refuse_existing
from countermark.core.images import iter_image_paths, read_image
from countermark.detectors.base import Detector
from countermark.detectors.scoring.calibration import logit
from countermark.detectors.scoring.offset import Offset, estimate_offset

OFFSET_SCHEMA: Literal["countermark-offset/1"] = "countermark-offset/1"


class OffsetFile(BaseModel):
    """What ``fit_unlabelled`` writes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal["countermark-offset/1"] = Field(alias="schema")
    detector: str
    detector_sha256: str
    offset: float = Field(ge=-3, le=3)
    low: float
    high: float
    share: float = Field(ge=0, le=1)
    pictures: int = Field(ge=1)


def fit_unlabelled(
    detector: Detector,
    pictures: Iterable[Path | str],
    *,
    out: Path | str,
    overwrite: bool = False,
    report: Callable[[int, int], None] = lambda done, files: None,
) -> tuple[Path, OffsetFile]:
    """Scores pictures and writes the offset that explains their scores.

    Args:
        pictures: Files and folders, all delivered alike; labels are neither needed nor looked at.
        out: The data file, JSON, for ``with_thresholds``.
        report: Called with (pictures scored, files).

    Raises:
        CorpusError: no readable picture.
        ConfigError: too few pictures.
        OutputError: ``out`` exists.
    """
    if not overwrite:
        refuse_existing(out)
    files = list(iter_image_paths(list(pictures)))
    scores: list[float] = []
    for number, path in enumerate(files, 1):
        try:
            pixels = read_image(path).pixels
        except ImageError:
            continue
        scores.append(float(detector.score([pixels])[0]))
        report(number, len(files))
    if not scores:
        raise CorpusError("None of the pictures could be read.", code="corpus.empty")
    found = offset_of(detector, np.asarray(scores))
    file = OffsetFile(
        schema=OFFSET_SCHEMA,
        detector=detector.name,
        detector_sha256=detector.card.sha256,
        offset=round(found.value, 4),
        low=round(found.low, 4),
        high=round(found.high, 4),
        share=round(found.share, 4),
        pictures=found.pictures,
    )
    text = json.dumps(file.model_dump(by_alias=True), indent=1) + "\n"
    return atomic_write(out, text, overwrite=overwrite), file


def offset_of(detector: Detector, scores: np.ndarray) -> Offset:
    """The offset that explains the calibrated scores, float [N] in [0, 1], of one folder."""
    table = detector.table
    return estimate_offset(logit(scores), logit(np.asarray(table.scores)), table.weights())


class Moved(Detector):
    """A detector whose scores are moved back by an offset; its thresholds stay as they were.

    Attributes:
        max_fpr: The rate that counts where none is named.
        offset: What was estimated.
    """

    max_fpr: float = 0.01
    offset: OffsetFile

    @classmethod
    def by(cls, detector: Detector, file: OffsetFile) -> Self:
        """The detector with the offset of a file."""
        calibrator = detector.calibrator.shifted(-file.offset)
        found = cls(detector.network, detector.card, calibrator, detector.table)
        found.offset = file
        return found
