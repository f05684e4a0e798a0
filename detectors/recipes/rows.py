"""Columns, folds, weights and final calibration of the items that a recipe learns from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from countermark.core.corpus import LABELS
from countermark.detectors.recipes.draws import Item, Plan
from countermark.detectors.recipes.figures import condition_of
from countermark.detectors.recipes.folds import HeldOut, source_folds
from countermark.detectors.recipes.schema import HeadPart, Recipe, SlicePart
from countermark.detectors.scoring.calibration import balanced_weights, fit_calibrator
from countermark.detectors.scoring.thresholds import ThresholdTable


class Rows:
    """Columns of a list of items.

    ``makers`` names for (label, source) what is held out together, see ``corpora.makers``; a source that
    it does not name is held out by itself.
    """

    def __init__(self, items: Sequence[Item], makers: Mapping[tuple[str, str], str] | None = None) -> None:
        self.makers = dict(makers or {})
        self.labels = np.array([item.label for item in items])
        self.groups = np.array([item.group for item in items])
        self.sources = np.array([item.source for item in items])
        self.draws = np.array([item.draw for item in items])
        self.pictures = np.array([item.row for item in items])
        self.kinds = np.array([item.kind for item in items])
        #: What counts alike in a threshold: every source in each delivery, and after histories and edits.
        self.strata = np.array([f"{item.source}, {condition_of(item.draw)}" for item in items])

    def learnt(self, kinds: Sequence[str]) -> np.ndarray:
        """Mask of the rows that a head may be fitted on: of these kinds of draws, or all that are fitted."""
        own = np.array([draw.split("-")[0] for draw in self.draws])
        return np.isin(own, list(kinds)) if kinds else own != "measured"

    def folds(self, count: int, seed: int = 0) -> np.ndarray:
        """Whole sources, a maker's together, dealt by their pictures: further draws deal them no other way.

        Another ``seed`` deals them otherwise. A twin is held out with its photograph, in the fold of the
        real source.
        """
        pairs = np.char.startswith(self.draws, "pair")
        own = np.flatnonzero(~pairs)
        first = own[np.unique(self.pictures[own], return_index=True)[1]]
        keys = list(zip(self.sources[first].tolist(), self.labels[first].tolist(), strict=True))
        together = np.array([self.makers.get((LABELS[label], source), source) for source, label in keys])
        dealt = source_folds(self.labels[first], together, count, seed)
        fold_of = dict(zip(keys, dealt, strict=True))
        labels = np.where(pairs, 0, self.labels)
        return np.array([fold_of[key] for key in zip(self.sources.tolist(), labels.tolist(), strict=True)])

    def slices(self, parts: Mapping[str, SlicePart]) -> dict[str, np.ndarray]:
        """A mask of the rows for each slice that is measured by itself."""
        groups = [str(group).lower() for group in self.groups]
        masks = {}
        for name, part in parts.items():
            left_out = [any(fnmatchcase(group, pattern) for pattern in part.without) for group in groups]
            masks[name] = (self.labels == 0) | ~np.array(left_out)
        return masks


def item_weights(labels: np.ndarray, groups: np.ndarray, draws: np.ndarray, part: HeadPart) -> np.ndarray:
    """Square roots of balanced weights (mean 1), the twins of all sources as one group.

    Images of a pair count ``part.pairs`` times, edited and measured ones ``part.edited`` and
    ``part.measured`` times.
    """
    paired = np.char.startswith(draws, "pair")
    names = np.where(draws == "pair-twin", "twin", groups)
    weights = np.sqrt(balanced_weights(labels, names))
    weights[paired] *= part.pairs
    weights[draws == "edited"] *= part.edited
    weights[np.char.startswith(draws, "measured")] *= part.measured
    return weights / weights.mean()


def final_calibration(
    recipe: Recipe,
    labels: np.ndarray,
    groups: np.ndarray,
    strata: np.ndarray,
    kinds: np.ndarray,
    usable: np.ndarray,
    found: HeldOut,
) -> tuple[Any, ThresholdTable]:
    """Calibrator and thresholds from all held-out logits; the shipped head has seen these sources."""
    weights = np.sqrt(balanced_weights(labels[usable], groups[usable]))
    calibrator = fit_calibrator(recipe.calibration.kind, found.logits[usable], labels[usable], weights)
    real = usable & (labels == 0)
    table = ThresholdTable.fit(calibrator(found.logits[real]), strata[real].tolist(), kinds[real].tolist())
    return calibrator, table


def describe(plans: Sequence[Plan], unwanted: Collection[str] = ()) -> list[str]:
    """One line for each class and source: how many images; and one for each source that was left out."""
    named = [(row.label, row.source or "unnamed") for plan in plans for _, row in plan.rows]
    counts = Counter(name for name in named if name[1] not in unwanted)
    lines = [f"{label}: {source}, {count} images" for (label, source), count in sorted(counts.items())]
    return lines + [f"left out: {source}" for source in sorted(unwanted)]
