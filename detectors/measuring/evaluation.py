"""Measures a detector on a labelled corpus under the four delivery conditions.

    record = evaluate_detector(load_detector(), read_corpus("folder"))
    record.headline, record.conditions["native"].auroc

Every image is cropped at random first (``crop=True``), so that frame and size tell nothing.
Intervals (``core.intervals``) are over whole sources, because images of one source are not independent:
the folder or collection that an image came from, for generated images too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from countermark.core.corpus import Corpus, CorpusRow
from countermark.core.errors import CorpusError, ImageError
from countermark.core.images import read_image
from countermark.core.intervals import Weighted, bootstrap, proportion
from countermark.core.perturb import DELIVERIES, perturb
from countermark.core.results import Failure, Interval
from countermark.core.seeds import rng
from countermark.core.stats import (
    auroc,
    threshold_at_fpr,
    weighted_auroc,
    weighted_calibration_error,
    weighted_mean,
    weighted_tpr_at_fpr,
)
from countermark.detectors.base import Detector
from countermark.detectors.fitting.histories import random_crop
from countermark.detectors.measuring.control import CONFOUNDED, control_auroc
from countermark.detectors.scoring.thresholds import Thresholds
from countermark.detectors.training import group_of


@dataclass(frozen=True)
class ConditionFigures:
    """Figures under one delivery condition; rates at ``likely`` use the detector's own threshold."""

    auroc: Interval
    tpr_at_1: Interval
    tpr_at_5: Interval
    balanced_accuracy: Interval
    fpr_at_likely: Interval
    tpr_at_likely: Interval
    ece: Interval


@dataclass(frozen=True)
class GroupFigures:
    """One generator or one source of real images under one condition.

    ``flagged`` is the share at or above ``likely`` (for real images: the false-positive rate);
    ``flagged_at_5`` the share above the threshold at which 5 % of all real images lie;
    ``auroc`` is against all images of the other class.
    """

    images: int
    flagged: float
    flagged_at_5: float
    auroc: float


@dataclass(frozen=True)
class ScoredImage:
    """One image's calibrated score under each condition."""

    file_name: str
    label: str
    group: str
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Curves:
    """ROC curve and reliability of one condition.

    Attributes:
        fpr: Share of real images above each threshold, from the highest threshold to the lowest.
        tpr: Share of synthetic images, likewise.
        bins: Mean probability, share of synthetic images and number of images of every occupied
            tenth of [0, 1].
    """

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    bins: tuple[tuple[float, float, int], ...]


@dataclass(frozen=True)
class Evaluation:
    """What ``evaluate_detector`` found.

    Attributes:
        headline: One sentence; begins with the confound if there is one.
        control: AUROC of the control that sees no pixel, or None.
        conditions: Figures by delivery condition.
        generators: By condition, then generator.
        sources: By condition, then source of real images.
        curves: By condition.
    """

    detector: str
    sha256: str
    images: int
    real: int
    synthetic: int
    seed: int
    headline: str
    confounded: bool
    control: Interval | None
    thresholds: Thresholds
    conditions: Mapping[str, ConditionFigures]
    generators: Mapping[str, Mapping[str, GroupFigures]]
    sources: Mapping[str, Mapping[str, GroupFigures]]
    curves: Mapping[str, Curves] = field(default_factory=dict)
    skipped: Mapping[str, Failure] = field(default_factory=dict)
    scored: tuple[ScoredImage, ...] = ()


def evaluate_detector(
    detector: Detector,
    corpus: Corpus,
    *,
    deliveries: Mapping[str, str] = DELIVERIES,
    max_fpr: float = 0.01,
    crop: bool = True,
    seed: int = 0,
    resamples: int = 500,
    batch: int = 8,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Scores a corpus under each delivery and works out the figures.

    Raises:
        CorpusError: ``corpus.one-class`` if real or synthetic images are missing.
    """
    kept: list[CorpusRow] = []
    skipped: dict[str, Failure] = {}
    scores: list[float] = []
    pending: list[np.ndarray] = []
    names = list(deliveries)

    def flush() -> None:
        if pending:
            scores.extend(detector.score(pending))
            pending.clear()

    for done, (path, row) in enumerate(corpus, 1):
        try:
            pixels = read_image(path).pixels
        except ImageError as error:
            skipped[row.file_name] = Failure(error.code, error.message, error.hint)
            continue
        if crop:
            pixels = random_crop(pixels, rng(seed, "crop", row.file_name))
        kept.append(row)
        for name in names:
            pending.append(perturb(deliveries[name], pixels, rng(seed, name, row.file_name)))
            if len(pending) >= batch:
                flush()
        report(done, len(corpus))
    flush()
    labels = np.array([int(row.is_synthetic) for row in kept], dtype=int)
    if not len(labels) or labels.min() == labels.max():
        raise CorpusError(
            "An evaluation needs readable real and synthetic images; one class is missing.",
            code="corpus.one-class",
        )
    groups = np.array([group_of(row) for row in kept], dtype=str)
    clusters = np.array([cluster_of(row) for row in kept], dtype=str)
    table = np.array(scores, dtype=np.float64).reshape(len(kept), len(names))
    limits = detector.thresholds(max_fpr)
    control = control_auroc(corpus, seed=seed)
    confounded = control is not None and control.value >= CONFOUNDED
    columns = {name: table[:, i] for i, name in enumerate(names)}
    conditions = {
        name: figures(labels, column, clusters, limits.likely, resamples=resamples, seed=seed)
        for name, column in columns.items()
    }
    return Evaluation(
        detector=detector.name,
        sha256=detector.card.sha256,
        images=len(kept),
        real=int(np.sum(labels == 0)),
        synthetic=int(np.sum(labels == 1)),
        seed=seed,
        headline=_headline(conditions, control, confounded),
        confounded=confounded,
        control=control,
        thresholds=limits,
        conditions=conditions,
        generators={n: group_figures(labels, c, groups, limits.likely, 1) for n, c in columns.items()},
        sources={n: group_figures(labels, c, groups, limits.likely, 0) for n, c in columns.items()},
        curves={name: draw_curves(labels, column) for name, column in columns.items()},
        skipped=skipped,
        scored=tuple(
            ScoredImage(row.file_name, row.label, str(group), dict(zip(names, map(float, line), strict=True)))
            for row, group, line in zip(kept, groups, table, strict=True)
        ),
    )


def cluster_of(row: CorpusRow) -> str:
    """What intervals resample as a whole: the source, and the label, so that no cluster is mixed."""
    return f"{row.label}/{row.source or row.generator or 'unnamed'}"


def figures(
    labels: np.ndarray,
    scores: np.ndarray,
    clusters: np.ndarray,
    likely: float | np.ndarray,
    *,
    resamples: int = 500,
    seed: int = 0,
) -> ConditionFigures:
    """Figures of one condition; intervals resample whole clusters.

    Args:
        labels: [N], 1 for synthetic.
        scores: [N], probabilities.
        clusters: [N].
        likely: The threshold, or one for every image.
    """
    flagged = scores >= likely

    real, synthetic = labels == 0, labels == 1

    def interval(statistic: Weighted) -> Interval:
        return bootstrap(statistic, labels, clusters, resamples=resamples, seed=seed, bounds=(0.0, 1.0))

    def balanced(weights: np.ndarray) -> np.ndarray:
        found = weighted_mean(flagged[synthetic], weights[:, synthetic])
        return (found + 1 - weighted_mean(flagged[real], weights[:, real])) / 2

    return ConditionFigures(
        auroc=interval(lambda w: weighted_auroc(labels, scores, w)),
        tpr_at_1=interval(lambda w: weighted_tpr_at_fpr(labels, scores, w, 0.01)),
        tpr_at_5=interval(lambda w: weighted_tpr_at_fpr(labels, scores, w, 0.05)),
        balanced_accuracy=interval(balanced),
        fpr_at_likely=proportion(flagged[real], clusters[real]).interval,
        tpr_at_likely=proportion(flagged[synthetic], clusters[synthetic]).interval,
        ece=interval(lambda w: weighted_calibration_error(labels, scores, w)),
    )


def draw_curves(labels: np.ndarray, scores: np.ndarray, points: int = 200) -> Curves:
    """ROC (at most ``points`` points) and reliability of one condition."""
    from sklearn.metrics import roc_curve

    fpr, tpr, _ = roc_curve(labels, scores)
    chosen = np.unique(np.linspace(0, len(fpr) - 1, min(points, len(fpr))).round().astype(int))
    which = np.minimum((scores * 10).astype(int), 9)
    bins = [
        (float(scores[which == b].mean()), float(labels[which == b].mean()), int(np.sum(which == b)))
        for b in range(10)
        if np.any(which == b)
    ]
    return Curves(tuple(map(float, fpr[chosen])), tuple(map(float, tpr[chosen])), tuple(bins))


def group_figures(
    labels: np.ndarray, scores: np.ndarray, groups: np.ndarray, likely: float | np.ndarray, label: int
) -> dict[str, GroupFigures]:
    """Figures of every group with ``label``, most images first."""
    flagged = scores >= likely
    at_5 = threshold_at_fpr(scores[labels == 0], 0.05)
    names, counts = np.unique(groups[labels == label], return_counts=True)
    found = {}
    for index in np.argsort(-counts, kind="stable"):
        mine = (groups == names[index]) & (labels == label)
        both = mine | (labels != label)
        found[str(names[index])] = GroupFigures(
            int(counts[index]),
            float(np.mean(flagged[mine])),
            float(np.mean(scores[mine] > at_5)),
            auroc(labels[both], scores[both]),
        )
    return found


def _headline(conditions: Mapping[str, ConditionFigures], control: Interval | None, confounded: bool) -> str:
    worst = min(conditions, key=lambda name: conditions[name].auroc.value)
    text = f"AUROC {conditions[worst].auroc.value:.3f} in the worst condition ({worst})."
    if confounded and control is not None:
        return (
            f"This corpus is confounded: size, format and JPEG tables alone reach AUROC "
            f"{control.value:.2f}. {text}"
        )
    return text
