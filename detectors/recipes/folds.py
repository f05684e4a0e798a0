"""Whole-source folds and nested calibration: figures on sources that nothing was fitted on.

A source of real images, or of generated ones, is in one fold. A fold's images are scored by a head
that was fitted without that fold; the calibrator and the thresholds that are applied to them come
from scores of other folds by heads that had seen neither fold. So neither the head, nor the
calibrator, nor the thresholds have met the sources on which figures are given.

>>> import numpy as np
>>> source_folds(np.array([0, 0, 1, 1]), np.array(["a", "b", "c", "d"]), 2).tolist()
[0, 1, 0, 1]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from countermark.core.seeds import rng
from countermark.detectors.scoring.calibration import balanced_weights, fit_calibrator
from countermark.detectors.scoring.thresholds import ThresholdTable

#: Fits on the rows of a mask and scores the rows of another: (fitted on, scored) -> logits of scored.
FitAndScore = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class HeldOut:
    """What nested folds give; every array has one entry a row.

    Attributes:
        logits: By the head fitted without the row's fold.
        probabilities: By the calibrator fitted on other folds.
        likely: The threshold for ``max_fpr`` read from other folds' real images.
    """

    logits: np.ndarray
    probabilities: np.ndarray
    likely: np.ndarray


def picked(found: Sequence[HeldOut], choice: np.ndarray) -> HeldOut:
    """Every row from one of several results: from that of its number in ``choice`` [N]."""
    rows = np.arange(len(choice))
    return HeldOut(
        np.stack([part.logits for part in found])[choice, rows],
        np.stack([part.probabilities for part in found])[choice, rows],
        np.stack([part.likely for part in found])[choice, rows],
    )


def source_folds(labels: np.ndarray, sources: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """A fold 0..count-1 for each row, whole sources together, each class spread by size."""
    generator = rng(seed, "folds") if seed else None
    folds = np.zeros(len(labels), int)
    for label in (0, 1):
        names, sizes = np.unique(sources[labels == label], return_counts=True)
        rank = sizes.astype(float)
        if generator is not None:
            rank *= np.exp(0.3 * generator.normal(size=len(names)))
        load = np.zeros(count)
        for index in np.argsort(-rank, kind="stable"):
            fold = int(np.argmin(load))
            folds[(labels == label) & (sources == names[index])] = fold
            load[fold] += sizes[index]
    return folds


def nested_scores(
    fit_and_score: FitAndScore,
    labels: np.ndarray,
    groups: np.ndarray,
    strata: np.ndarray,
    folds: np.ndarray,
    *,
    kinds: np.ndarray | None = None,
    calibrator: str = "beta",
    max_fpr: float = 0.01,
    calibrate_on: np.ndarray | None = None,
) -> HeldOut:
    """Scores every row by nested folds.

    Args:
        fit_and_score: Fits a head on one mask and returns logits of another.
        labels: [N], 1 for synthetic.
        groups: [N], what counts alike in the calibrator's weights.
        strata: [N], what counts alike in a threshold: sources in each delivery.
        folds: [N], from ``source_folds``.
        kinds: [N], of which no one may pass a threshold too often; see ``ThresholdTable``.
        calibrator: See ``fit_calibrator``.
        max_fpr: Of the thresholds.
        calibrate_on: Mask of the rows that may be calibrated on; all if None.
    """
    usable = np.ones(len(labels), bool) if calibrate_on is None else calibrate_on
    names = np.unique(folds)
    logits = np.zeros(len(labels))
    for fold in names:
        inside = folds == fold
        logits[inside] = fit_and_score(~inside, inside)
    # The head for (outer, inner) has seen neither; it scores both, each for the other's calibrator.
    apart = {int(fold): np.full(len(labels), np.nan) for fold in names}
    for place, outer in enumerate(names):
        for inner in names[place + 1 :]:
            both = (folds == outer) | (folds == inner)
            found = np.full(len(labels), np.nan)
            found[both] = fit_and_score(~both, both)
            apart[int(outer)][folds == inner] = found[folds == inner]
            apart[int(inner)][folds == outer] = found[folds == outer]
    probabilities, likely = np.zeros(len(labels)), np.zeros(len(labels))
    for fold in names:
        inside, scores = folds == fold, apart[int(fold)]
        known = usable & np.isfinite(scores)
        weights = np.sqrt(balanced_weights(labels[known], groups[known]))
        fitted = fit_calibrator(calibrator, scores[known], labels[known], weights)
        probabilities[inside] = fitted(logits[inside])
        real = known & (labels == 0)
        named = kinds[real].tolist() if kinds is not None else ()
        table = ThresholdTable.fit(fitted(scores[real]), strata[real].tolist(), named)
        likely[inside] = table.thresholds(max_fpr).likely
    return HeldOut(logits, probabilities, likely)
