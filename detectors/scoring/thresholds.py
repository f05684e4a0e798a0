"""Decision thresholds for a chosen false-positive rate, from scores of real images held apart.

A threshold has to be of use to people: were it to hold for every single source, the worst source would
decide for all of them, and next to nothing would be found. So a rate is one over *all* real images with
every source counting alike, and beside it no *kind* of picture (photographs, paintings, screenshots …)
may pass the threshold much more often: see ``ThresholdTable``.

>>> table = ThresholdTable.fit([0.1] * 90 + [0.8] * 10, ["camera"] * 100)
>>> table.thresholds(0.05).likely > 0.8
True
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from countermark.core.errors import ConfigError
from countermark.core.intervals import rate
from countermark.core.results import Interval

#: Rates with a name, side by side in reports.
WORKING_POINTS: Mapping[str, float] = {"strict": 0.001, "default": 0.01, "review": 0.05}
#: A whole kind of real picture may pass the threshold at most this many times as often as asked for.
KIND_FACTOR = 5.0
#: Kinds of fewer sources or images than these have no say: a few images show no rate.
SMALLEST_KIND = (3, 60)
#: The abstain band begins at the score that this many times ``max_fpr`` of the real images exceed.
BAND_FACTOR = 10.0
#: And never at the score that more than this share of them exceed.
BAND_SHARE = 0.1
MAX_ENTRIES = 50_000
#: Scores are kept to so much.
STEP = 1e-5
ARRAYS = ("thresholds.scores", "thresholds.groups", "thresholds.names")
#: Names of groups are deflated in a weights file; unpacked they are no longer than this.
MAX_NAMES = 8_000_000


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
    """Scores of real images, the source of each and its kind, from which thresholds are read.

    A threshold for ``max_fpr`` is the larger of two: the score that at most ``max_fpr`` of the images
    exceed when every source counts alike, and the score that no kind of picture (of three sources and 60
    images or more) exceeds with more than five times ``max_fpr`` of its images, sources counting alike.
    The abstain band begins at the score that ten times ``max_fpr`` of the images exceed (at most 10 %):
    ``unsure`` accuses nobody, and "no evidence" beside a high score misleads.
    """

    scores: tuple[float, ...]
    sources: tuple[str, ...]
    kinds: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls, scores: Sequence[float] | np.ndarray, sources: Sequence[str], kinds: Sequence[str] = ()
    ) -> ThresholdTable:
        """From calibrated scores of real images, the source of each, and its kind where that is known.

        Rows are kept from the lowest score to the highest.
        """
        values = np.asarray(scores, dtype=np.float64)
        if not 0 < len(values) <= MAX_ENTRIES or len(values) != len(sources):
            raise ConfigError("Thresholds need one source for each of 1-50,000 scores of real images.")
        if kinds and len(kinds) != len(values):
            raise ConfigError("Thresholds need a kind for each score, or none at all.")
        if not np.all(np.isfinite(values)):
            raise ConfigError("Thresholds cannot be read from scores that are not numbers.")
        # Rounded up: a threshold read from the table must not fall below the score it came from.
        rounded = np.round(np.ceil(np.round(values / STEP, 6)) * STEP, 5)
        rows = sorted(zip(rounded.tolist(), sources, kinds or [""] * len(sources), strict=True))
        kept, own, named = zip(*rows, strict=True)
        return cls(kept, own, named if any(named) else ())

    def thresholds(self, max_fpr: float = 0.01) -> Thresholds:
        """Thresholds for a false-positive rate in (0, 0.5].

        Raises:
            ConfigError: ``max_fpr`` out of range.
        """
        if not 0 < max_fpr <= 0.5:
            raise ConfigError(f"max_fpr is {max_fpr}, not in (0, 0.5].", hint="0.01 is the default.")
        scores, weights = np.asarray(self.scores), self.weights()
        likely = _weighted_threshold(scores, weights, max_fpr)
        for inside in self._kinds().values():
            own = weights[inside] / weights[inside].sum()
            likely = max(likely, _weighted_threshold(scores[inside], own, min(KIND_FACTOR * max_fpr, 0.5)))
        band = max(max_fpr, min(BAND_FACTOR * max_fpr, BAND_SHARE))
        unsure = min(likely, _weighted_threshold(scores, weights, band))
        note = ""
        if max_fpr * len(scores) < 1:
            note = (
                f"{len(scores)} real images cannot show a false-positive rate of {max_fpr:g}; "
                f"the threshold is just above the highest of them (about {1 / len(scores):.2g})."
            )
        return Thresholds(float(likely), float(unsure), max_fpr, note)

    def rates(self, threshold: float) -> dict[str, Interval]:
        """The share of real images at or above ``threshold``: of ``all``, and of every kind, by images.

        The intervals are exact ones of counts; images of one source are not independent, so read them as
        the narrowest that is honest.
        """
        flagged = np.asarray(self.scores) >= threshold
        found = {"all": rate(int(flagged.sum()), len(flagged))}
        for kind, inside in self._kinds(smallest=(1, 1)).items():
            found[kind] = rate(int(flagged[inside].sum()), int(inside.sum()))
        return found

    def share_of_kind(self, score: float, kind: str) -> Interval | None:
        """The share of one kind's real images at or above ``score``, sources counting alike.

        None for kinds of too few sources or images (``SMALLEST_KIND``). The interval is that of as many
        independent images, so read it as the narrowest that is honest.
        """
        if kind not in self._of_kinds:
            return None
        scores, weights, clusters = self._of_kinds[kind]
        share = float(weights[scores >= score].sum())
        exact = rate(round(share * len(scores)), len(scores))
        return Interval(share, min(exact.low, share), max(exact.high, share), exact.n, clusters)

    @cached_property
    def _of_kinds(self) -> dict[str, tuple[np.ndarray, np.ndarray, int]]:
        """Scores, weights that sum to one, and number of sources of every kind that is large enough.

        Kept: every picture of a scan asks for one of them, and the sources are thousands of names.
        """
        scores, sources, weights = (
            np.asarray(self.scores),
            np.asarray(self.sources, dtype=str),
            self.weights(),
        )
        return {
            kind: (scores[inside], weights[inside] / weights[inside].sum(), len(np.unique(sources[inside])))
            for kind, inside in self._kinds().items()
        }

    def weights(self) -> np.ndarray:
        """Float64 [N] that sum to one, every source counting alike."""
        names, inverse, counts = np.unique(
            np.asarray(self.sources, dtype=str), return_inverse=True, return_counts=True
        )
        weights: np.ndarray = 1.0 / (counts[inverse] * len(names))
        return weights

    def _kinds(self, smallest: tuple[int, int] = SMALLEST_KIND) -> dict[str, np.ndarray]:
        """Masks of the kinds that have at least so many sources and images."""
        if not self.kinds:
            return {}
        kinds, sources = np.asarray(self.kinds, dtype=str), np.asarray(self.sources, dtype=str)
        masks = {str(kind): kinds == kind for kind in np.unique(kinds) if kind}
        return {
            kind: mask
            for kind, mask in masks.items()
            if mask.sum() >= smallest[1] and len(np.unique(sources[mask])) >= smallest[0]
        }

    def to_config(self) -> dict[str, Any]:
        """JSON types, for files of a few scores; see ``to_arrays`` for those of a shipped detector."""
        pairs = list(zip(self.sources, self.kinds or [""] * len(self.scores), strict=True))
        return {
            "groups": [
                {
                    "source": source,
                    "kind": kind,
                    "scores": sorted(
                        s for s, p in zip(self.scores, pairs, strict=True) if p == (source, kind)
                    ),
                }
                for source, kind in sorted(set(pairs))
            ]
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ThresholdTable:
        """Reads what ``to_config`` wrote.

        Raises:
            ConfigError: something else.
        """
        try:
            rows = [
                (float(score), str(group["source"]), str(group["kind"]))
                for group in config["groups"]
                for score in group["scores"]
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"A threshold table cannot be read: {error}.") from error
        return cls.fit([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Scores, groups and the groups' names as arrays for a weights file; a card need not list them."""
        pairs = list(zip(self.sources, self.kinds or [""] * len(self.scores), strict=True))
        groups = sorted(set(pairs))
        place = {pair: number for number, pair in enumerate(groups)}
        names = zlib.compress(json.dumps(groups, ensure_ascii=False).encode(), 9)
        steps = np.round(np.asarray(self.scores) / STEP).astype(np.int32)
        # From one score to the next, in half as many bytes; no two of a detector's are so far apart.
        apart = np.diff(steps, prepend=np.int32(0))
        small = apart.min() >= 0 and apart.max() < 2**16
        return {
            ARRAYS[0]: apart.astype(np.uint16) if small else steps,
            ARRAYS[1]: np.asarray([place[pair] for pair in pairs], np.uint16),
            ARRAYS[2]: np.frombuffer(names, np.uint8).copy(),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> ThresholdTable:
        """Reads what ``to_arrays`` wrote.

        Raises:
            ConfigError: the arrays do not fit together.
        """
        try:
            scores, places, names = (np.asarray(arrays[name]) for name in ARRAYS)
            groups = [(str(source), str(kind)) for source, kind in json.loads(_inflated(names.tobytes()))]
            chosen = [groups[int(place)] for place in places]
            if scores.dtype == np.uint16:
                scores = np.cumsum(scores, dtype=np.int64)
        except (KeyError, IndexError, TypeError, ValueError, RecursionError, zlib.error) as error:
            raise ConfigError(f"A threshold table cannot be read: {error}.") from error
        values = np.round(scores * STEP, 5)
        return cls.fit(values, [pair[0] for pair in chosen], [pair[1] for pair in chosen])

    def summary(self) -> dict[str, Any]:
        """What a card says of the table: how many scores of how many sources, and kinds."""
        kinds = {kind: int(mask.sum()) for kind, mask in self._kinds(smallest=(1, 1)).items()}
        return {"scores": len(self.scores), "counted_alike": len(set(self.sources)), "kinds": kinds}


def _inflated(names: bytes) -> bytes:
    """JSON as it is, of files before names were deflated, or unpacked within its bound."""
    if names.startswith(b"["):
        return names
    stream = zlib.decompressobj()
    found = stream.decompress(names, MAX_NAMES)
    if not stream.eof:
        raise ValueError("the names of groups are cut off or too long")
    return found


def _weighted_threshold(scores: np.ndarray, weights: np.ndarray, share: float) -> float:
    """Just above the lowest score at or above which at most ``share`` of the weight lies."""
    order = np.argsort(-scores, kind="stable")
    above = np.cumsum(weights[order])
    inside = int(np.searchsorted(above, share * (1 + 1e-9), side="right"))
    if inside >= len(scores):
        return float(scores.min())
    return float(np.nextafter(scores[order[inside]], np.inf))
