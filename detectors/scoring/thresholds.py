"""Decision thresholds for a chosen false-positive rate, from scores of real images held apart.

>>> table = ThresholdTable.fit([0.1] * 90 + [0.8] * 10, ["camera"] * 100)
>>> table.thresholds(0.05).likely > 0.8
True
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from countermark.core.errors import ConfigError

#: A whole source of real images may pass the threshold at most this many times as often as asked for.
SOURCE_FACTOR = 5.0
#: The abstain band begins at the score that this many times ``max_fpr`` of the real images exceed.
BAND_FACTOR = 10.0
#: And never at the score that more than this share of them exceed.
BAND_SHARE = 0.1
SMALLEST_SOURCE = 20
MAX_ENTRIES = 20_000


@dataclass(frozen=True)
class Thresholds:
    """score >= likely: likely-synthetic; unsure <= score < likely: unsure; below: no evidence.

    ``note`` is empty or says that ``max_fpr`` is lower than the calibration images can support.
    """

    likely: float
    unsure: float
    max_fpr: float
    note: str = ""


@dataclass(frozen=True)
class ThresholdTable:
    """Scores of real images and the source of each, from which thresholds are read.

    A threshold for ``max_fpr`` is the larger of two: the score that at most ``max_fpr`` of the
    images exceed when every source counts alike, and the score that no single source (of 20 images
    or more) exceeds with more than five times ``max_fpr`` of its images. The abstain band begins at
    the score that ten times ``max_fpr`` of the images exceed (at most 10 %), every source counting
    alike: ``unsure`` accuses nobody, so it need not hold for every source, and "no evidence" beside
    a high score misleads. Recipes count every delivery of a source as a source of its own.
    """

    scores: tuple[float, ...]
    sources: tuple[str, ...]

    @classmethod
    def fit(cls, scores: Sequence[float] | np.ndarray, sources: Sequence[str]) -> ThresholdTable:
        """From calibrated scores of real images and the source of each."""
        values = np.asarray(scores, dtype=np.float64)
        if not 0 < len(values) <= MAX_ENTRIES or len(values) != len(sources):
            raise ConfigError("Thresholds need one source for each of 1-20,000 scores of real images.")
        if not np.all(np.isfinite(values)):
            raise ConfigError("Thresholds cannot be read from scores that are not numbers.")
        # Rounded up: a threshold read from the table must not fall below the score it came from.
        return cls(tuple(np.round(np.ceil(values * 1e5) / 1e5, 5).tolist()), tuple(sources))

    def thresholds(self, max_fpr: float = 0.01) -> Thresholds:
        """Thresholds for a false-positive rate in (0, 0.5].

        Raises:
            ConfigError: ``max_fpr`` out of range.
        """
        if not 0 < max_fpr <= 0.5:
            raise ConfigError(f"max_fpr is {max_fpr}, not in (0, 0.5].", hint="0.01 is the default.")
        scores, sources = np.asarray(self.scores), np.asarray(self.sources, dtype=str)
        likely = self._threshold(scores, sources, max_fpr)
        band = max(max_fpr, min(BAND_FACTOR * max_fpr, BAND_SHARE))
        unsure = min(likely, self._threshold(scores, sources, band, math.inf))
        note = ""
        if max_fpr * len(scores) < 1:
            note = (
                f"{len(scores)} real images cannot show a false-positive rate of {max_fpr:g}; "
                f"the threshold is just above the highest of them (about {1 / len(scores):.2g})."
            )
        return Thresholds(float(likely), float(unsure), max_fpr, note)

    def _threshold(
        self, scores: np.ndarray, sources: np.ndarray, rate: float, factor: float = SOURCE_FACTOR
    ) -> float:
        names, inverse, counts = np.unique(sources, return_inverse=True, return_counts=True)
        weights = 1.0 / (counts[inverse] * len(names))
        found = _weighted_threshold(scores, weights, rate)
        for index, count in enumerate(counts):
            if count >= SMALLEST_SOURCE and factor < math.inf:
                own = scores[inverse == index]
                equal = np.full(len(own), 1 / len(own))
                found = max(found, _weighted_threshold(own, equal, min(factor * rate, 0.5)))
        return found

    def to_config(self) -> dict[str, Any]:
        names = sorted(set(self.sources))
        return {
            "sources": {
                name: sorted(s for s, n in zip(self.scores, self.sources, strict=True) if n == name)
                for name in names
            }
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ThresholdTable:
        """Reads what ``to_config`` wrote."""
        try:
            pairs = [(float(s), str(n)) for n, scores in config["sources"].items() for s in scores]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"A threshold table cannot be read: {error}.") from error
        return cls.fit([s for s, _ in pairs], [n for _, n in pairs])


def _weighted_threshold(scores: np.ndarray, weights: np.ndarray, rate: float) -> float:
    """Just above the lowest score at or above which at most ``rate`` of the weight lies."""
    order = np.argsort(-scores, kind="stable")
    above = np.cumsum(weights[order])
    inside = int(np.searchsorted(above, rate * (1 + 1e-9), side="right"))
    if inside >= len(scores):
        return float(scores.min())
    return float(np.nextafter(scores[order[inside]], np.inf))
