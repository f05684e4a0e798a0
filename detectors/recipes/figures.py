"""Figures of held-out scores, one set for each way in which images were drawn.

>>> import numpy as np
>>> labels, scores = np.array([0] * 50 + [1] * 50), np.linspace(0.01, 0.99, 100)
>>> figures(labels, scores, np.full(100, 0.9), np.array(["a", "b"] * 50))["auroc"]
1.0
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from countermark.core.intervals import bootstrap
from countermark.core.results import Interval
from countermark.core.stats import auroc, expected_calibration_error, tpr_at_fpr, weighted_auroc
from countermark.detectors.recipes.folds import HeldOut

RESAMPLES = 200
NOTE = (
    "Nested folds over whole sources: neither head, nor calibrator, nor thresholds have met the source "
    "of an image that is counted; a generator may occur in another source."
)
SHIPPED_NOTE = (
    "Heads held out as above, but calibrator and threshold are the shipped ones, which have seen the "
    "held-out scores of every source."
)


def held_out_figures(
    labels: np.ndarray,
    groups: np.ndarray,
    sources: np.ndarray,
    draws: np.ndarray,
    found: HeldOut,
    slices: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Figures under each delivery and under random histories, with rates by source and by group.

    ``slices`` are masks of rows for which ranking is measured once more.
    """
    kinds = np.array([condition_of(draw) for draw in draws])
    result: dict[str, Any] = {"held_out": NOTE}
    for kind in sorted(set(kinds) - {"pair", "hard"}):
        inside = kinds == kind
        y, p, likely = labels[inside], found.probabilities[inside], found.likely[inside]
        if len(np.unique(y)) < 2:
            continue
        whole = figures(y, p, likely, sources[inside], logits=found.logits[inside])
        flagged = p >= likely
        top = np.quantile(found.logits[inside][y == 0], 0.95)
        whole["fpr_at_default_by_source"] = _rates(flagged[y == 0], sources[inside][y == 0])
        whole["tpr_at_5_fpr_by_generator"] = _rates(
            found.logits[inside][y == 1] > top, groups[inside][y == 1]
        )
        parts = {name: inside & mask for name, mask in (slices or {}).items()}
        whole |= {
            f"only_{name}": _ranking(labels[m], found.logits[m], sources[m]) for name, m in parts.items()
        }
        result[kind.replace("-", "_")] = whole
    hard = (kinds == "hard") & (labels == 0)
    if hard.any():
        flagged = found.probabilities[hard] >= found.likely[hard]
        result["hard_pictures_of_real_images_fpr_at_default"] = _rates(flagged, draws[hard])
    pairs = kinds == "pair"
    if len(np.unique(labels[pairs])) == 2:
        result["twins_auroc"] = round(auroc(labels[pairs], found.logits[pairs]), 3)
    return result


def mean_figures(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures of several dealings of the same rows: every number's mean, AUROC also one by one.

    >>> mean_figures([{"auroc": 0.8, "images": 4}, {"auroc": 0.9, "images": 4}])
    {'auroc': 0.85, 'images': 4, 'auroc_by_dealing': [0.8, 0.9]}
    """
    if len(parts) == 1:
        return dict(parts[0])
    found: dict[str, Any] = {}
    for name, first in parts[0].items():
        values = [part[name] for part in parts]
        if isinstance(first, dict):
            found[name] = mean_figures(values)
        elif isinstance(first, list):
            found[name] = [round(float(mean), 3) for mean in np.mean(values, axis=0)]
        elif isinstance(first, float):
            found[name] = round(float(np.mean(values)), 4)
        else:
            found[name] = first
    if "auroc" in found:
        found["auroc_by_dealing"] = [part["auroc"] for part in parts]
    return found


def figures(
    labels: np.ndarray,
    probabilities: np.ndarray,
    likely: np.ndarray,
    sources: np.ndarray,
    logits: np.ndarray | None = None,
) -> dict[str, Any]:
    """AUROC with its interval over sources, TPR at 1 and 5 % FPR, ECE, rates at the default threshold.

    Ranks come from ``logits``: the calibrators of different folds differ.
    """
    ranks = probabilities if logits is None else logits
    interval = _area(labels, ranks, sources)
    flagged = probabilities >= likely
    return {
        "images": len(labels),
        "auroc": round(auroc(labels, ranks), 3),
        "auroc_interval": [round(interval.low, 3), round(interval.high, 3)],
        "tpr_at_5_fpr": round(tpr_at_fpr(labels, ranks, 0.05), 3),
        "tpr_at_1_fpr": round(tpr_at_fpr(labels, ranks, 0.01), 3),
        "ece": round(expected_calibration_error(labels, probabilities), 3),
        "ece_even": round(even_calibration_error(labels, probabilities), 3),
        "fpr_at_default": round(float(flagged[labels == 0].mean()), 4),
        "tpr_at_default": round(float(flagged[labels == 1].mean()), 3),
    }


def _ranking(labels: np.ndarray, logits: np.ndarray, sources: np.ndarray) -> dict[str, Any]:
    """How well logits rank, without thresholds or probabilities; only the count where a class is missing."""
    if len(np.unique(labels)) < 2:
        return {"images": len(labels)}
    interval = _area(labels, logits, sources)
    return {
        "images": len(labels),
        "auroc": round(auroc(labels, logits), 3),
        "auroc_interval": [round(interval.low, 3), round(interval.high, 3)],
        "tpr_at_5_fpr": round(tpr_at_fpr(labels, logits, 0.05), 3),
    }


def _area(labels: np.ndarray, ranks: np.ndarray, sources: np.ndarray) -> Interval:
    statistic = partial(weighted_auroc, labels, ranks)
    return bootstrap(statistic, labels, sources, resamples=RESAMPLES, bounds=(0.0, 1.0))


def even_calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> float:
    """ECE with both classes counting alike, whatever their shares in the set.

    A calibrator is fitted with even classes; on a set with a quarter of synthetic images the plain ECE
    also counts that its prior is another one.
    """
    weights = np.where(labels == 1, 0.5 / np.sum(labels == 1), 0.5 / np.sum(labels == 0))
    places = np.minimum((probabilities * bins).astype(int), bins - 1)
    return float(np.abs(np.bincount(places, weights * (probabilities - labels), bins)).sum())


def at_shipped_threshold(
    labels: np.ndarray, sources: np.ndarray, draws: np.ndarray, flagged: np.ndarray
) -> dict[str, Any]:
    """Rates under each delivery of held-out scores at the shipped threshold, which has seen them."""
    kinds = np.array([condition_of(draw) for draw in draws])
    result: dict[str, Any] = {"note": SHIPPED_NOTE}
    for kind in sorted(set(kinds) - {"pair", "hard"}):
        real, synthetic = (kinds == kind) & (labels == 0), (kinds == kind) & (labels == 1)
        rates = _rates(flagged[real], sources[real])
        result[kind.replace("-", "_")] = {
            "fpr": round(float(flagged[real].mean()), 4),
            "fpr_sources_alike": round(float(np.mean(list(rates.values()))), 4) if rates else None,
            "tpr": round(float(flagged[synthetic].mean()), 3),
            "fpr_of_sources_above_one_percent": {name: r for name, r in rates.items() if r > 0.01},
        }
    return result


def condition_of(draw: str) -> str:
    """How an image was drawn, as figures name it: ``native``, ``q75``, ``random-history``, ``hard``…"""
    name = draw.removeprefix("measured-").split("-")[0]
    return "random-history" if name == "history" else name


def _rates(flagged: np.ndarray, names: np.ndarray) -> dict[str, float]:
    return {str(name): round(float(flagged[names == name].mean()), 3) for name in np.unique(names)}


def readable(figures: Mapping[str, Any], counts: Mapping[str, int], least: int = 10) -> dict[str, Any]:
    """What a person reads of figures: sources that are flagged at all; generators under ``native`` only.

    ``counts`` are pictures by group; groups of fewer than ``least`` show no rate.
    """
    found: dict[str, Any] = {}
    for name, part in figures.items():
        if isinstance(part, dict) and "fpr_at_default_by_source" in part:
            part = dict(part)
            rates = part["fpr_at_default_by_source"].items()
            part["fpr_at_default_by_source"] = {source: rate for source, rate in rates if rate > 0}
            generators = part.pop("tpr_at_5_fpr_by_generator")
            if name == "native":
                part["tpr_at_5_fpr_by_generator"] = {
                    group: rate for group, rate in generators.items() if counts.get(group, 0) >= least
                }
        found[name] = part
    return found
