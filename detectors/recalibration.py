"""Thresholds from a user's own photographs, kept in a small data file beside nothing else.

    detector = load_detector()
    path = recalibrate(detector, ["holiday", "studio"], out="mine.json")
    detector = with_thresholds(detector, path)

The guarantee is that of split conformal prediction: if a new photograph is exchangeable with those
given, it is flagged with a probability of at most ``max_fpr`` (Vovk et al. 2005). Photographs of
another kind are not covered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from countermark.core.configuration import read_text, validated
from countermark.core.errors import ConfigError, CorpusError, ImageError
from countermark.core.files import atomic_write, refuse_existing
from countermark.core.images import iter_image_paths, read_image
from countermark.core.perturb import DELIVERIES, perturb
from countermark.core.seeds import rng
from countermark.detectors.base import Detector
from countermark.detectors.scoring.thresholds import Thresholds, ThresholdTable
from countermark.detectors.unlabelled import OFFSET_SCHEMA, Moved, OffsetFile

SCHEMA = "countermark-thresholds/1"
MAX_FILE_BYTES = 4 * 1024**2


def recalibrate(
    detector: Detector,
    photos: Iterable[Path | str],
    max_fpr: float = 0.01,
    *,
    out: Path | str,
    seed: int = 0,
    overwrite: bool = False,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Scores photographs that are known to be real and writes the thresholds they give.

    Each photograph is scored as it is and under one of the other deliveries; the higher score
    counts, so that the threshold also holds for re-saved copies.

    Args:
        photos: Files and folders; every folder named counts as one source.
        max_fpr: The rate that is wanted; it must be one that so many photographs can show.
        out: The data file, JSON.
        report: Called with how many photographs are done, and how many files there are.

    Raises:
        CorpusError: no readable photograph.
        ConfigError: too few photographs for ``max_fpr``; said before the first is scored where there are
            too few files.
        OutputError: ``out`` exists.
    """
    named = [Path(source) for source in photos]
    if not overwrite:
        refuse_existing(out)
    files = sum(path.is_file() for path in iter_image_paths(named))
    if files:
        _refuse_unshown(max_fpr, files)
    scores: list[float] = []
    sources: list[str] = []
    done = 0
    specs = [spec for spec in DELIVERIES.values() if spec != "none"]
    for source in named:
        for path in iter_image_paths([source]):
            done += 1
            report(done, files)
            try:
                pixels = read_image(path).pixels
            except ImageError:
                continue
            spec = specs[int(rng(seed, path.name).integers(len(specs)))]
            scores.append(float(detector.score([pixels, perturb(spec, pixels)]).max()))
            sources.append(source.name if source.is_dir() else "files")
    if not scores:
        raise CorpusError("None of the photographs could be read.", code="corpus.empty")
    _refuse_unshown(max_fpr, len(scores))
    table = ThresholdTable.fit(scores, sources)
    record = {
        "schema": SCHEMA,
        "detector": detector.name,
        "detector_sha256": detector.card.sha256,
        "max_fpr": max_fpr,
        "photographs": len(scores),
        "thresholds": table.to_config(),
    }
    return atomic_write(out, json.dumps(record, indent=1) + "\n", overwrite=overwrite)


class ThresholdFile(BaseModel):
    """What ``recalibrate`` writes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal["countermark-thresholds/1"] = Field(alias="schema")
    detector: str
    detector_sha256: str
    max_fpr: float = Field(gt=0, le=0.5)
    photographs: int = Field(ge=1)
    thresholds: dict[str, Any]


class Recalibrated(Detector):
    """A detector with thresholds from somebody's own photographs.

    Attributes:
        max_fpr: The rate that the photographs were calibrated for.
        photographs: How many there were.
    """

    max_fpr: float
    photographs: int

    @classmethod
    def by(cls, detector: Detector, file: ThresholdFile) -> Self:
        """The detector with the thresholds of a file."""
        table = ThresholdTable.from_config(file.thresholds)
        found = cls(detector.network, detector.card, detector.calibrator, table)
        found.max_fpr, found.photographs = file.max_fpr, file.photographs
        return found

    def thresholds(self, max_fpr: float | None = None) -> Thresholds:
        """Thresholds for a false-positive rate, by default for that of the file.

        Raises:
            ConfigError: ``calibration.too-few``: a rate that so few photographs cannot show.
        """
        wanted = self.max_fpr if max_fpr is None else max_fpr
        _refuse_unshown(wanted, self.photographs)
        return super().thresholds(wanted)


def _refuse_unshown(max_fpr: float, photographs: int) -> None:
    if max_fpr * (photographs + 1) < 1:
        raise ConfigError(
            f"{photographs} photographs cannot support a false-positive rate of {max_fpr:g}.",
            code="calibration.too-few",
            hint=f"Give at least {int(np.ceil(1 / max_fpr)) - 1}, or choose a higher rate.",
        )


def with_thresholds(detector: Detector, path: Path | str) -> Recalibrated | Moved:
    """The same detector with what a file of ``recalibrate`` or ``fit_unlabelled`` says.

    Raises:
        ConfigError: not such a file, or written for other weights.
    """
    text = read_text(path, what="threshold file", max_bytes=MAX_FILE_BYTES)
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not a threshold file: it is not JSON.", code="config.value") from error
    if isinstance(record, dict) and record.get("schema") == OFFSET_SCHEMA:
        offset = validated(OffsetFile, record, str(path))
        _refuse_other_weights(detector, offset.detector_sha256, path)
        return Moved.by(detector, offset)
    own = validated(ThresholdFile, record, str(path))
    _refuse_other_weights(detector, own.detector_sha256, path)
    return Recalibrated.by(detector, own)


def _refuse_other_weights(detector: Detector, sha256: str, path: Path | str) -> None:
    if sha256 != detector.card.sha256:
        raise ConfigError(
            f"{path} was made for other weights than those of {detector.name}.",
            code="calibration.other-weights",
            hint="Run the calibration again with this detector.",
        )
