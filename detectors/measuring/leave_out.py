"""Leave-one-out: a family is trained anew for every generator, or source, that is held out whole.

    found = leave_out(read_corpus("folder"), family="timm", by="generator")
    found.pooled["native"].auroc, found.parts["SDXL"].figures["native"].auroc

A part is all images of one generator, or of one source. Beside it a quarter of the sources of the
other class is held out, so that both sides of every figure are images of sources that were not
trained on. Rows of the split ``test`` count like all others: the point is to leave them out.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from countermark.core.corpus import Corpus, CorpusRow
from countermark.core.errors import ConfigError, CorpusError, ImageError
from countermark.core.images import read_image
from countermark.core.perturb import DELIVERIES, perturb
from countermark.core.seeds import rng
from countermark.detectors.base import Detector, FitSettings
from countermark.detectors.fitting.histories import random_crop
from countermark.detectors.library import load_detector
from countermark.detectors.measuring.evaluation import (
    ConditionFigures,
    GroupFigures,
    cluster_of,
    figures,
    group_figures,
)
from countermark.detectors.training import group_of, train_detector

BY = ("generator", "source")
SMALLEST_PART = 3
COMPANION_FOLDS = 4


@dataclass(frozen=True)
class LeftPart:
    """One part: its label and its figures by condition, from a detector that never saw it."""

    label: str
    figures: Mapping[str, GroupFigures]


@dataclass(frozen=True)
class LeftOut:
    """What leaving out found.

    Attributes:
        scores: Number of scores; an image of the companions is scored by several detectors.
        pooled: By condition, over all parts; the detectors' calibrated probabilities are pooled.
        parts: By name of the generator or source.
        skipped: Parts that were too small, or beyond the limit.
    """

    family: str
    by: str
    seed: int
    scores: int
    pooled: Mapping[str, ConditionFigures]
    parts: Mapping[str, LeftPart]
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fold:
    """One part and the indices of the rows that are held out with it."""

    part: str
    label: str
    own: frozenset[int]
    companions: frozenset[int]


def plan_folds(corpus: Corpus, by: str, limit: int, seed: int) -> tuple[list[Fold], tuple[str, ...]]:
    """The folds, largest part first, and the names of the parts that get none.

    Raises:
        ConfigError: ``by`` is neither ``generator`` nor ``source``.
        CorpusError: ``corpus.too-few-groups``: nothing would be left to train on.
    """
    if by not in BY:
        raise ConfigError(f"{by!r} cannot be left out.", hint=f"Choose {' or '.join(BY)}.")
    names = [_name(row, by) for row in corpus.rows]
    labels = [row.label for row in corpus.rows]
    groups = {label: sorted({n for n, x in zip(names, labels, strict=True) if x == label}) for label in
              ("real", "synthetic")}  # fmt: skip
    for label, found in groups.items():
        if len(found) < 2:
            raise CorpusError(
                f"The corpus has {len(found)} {'sources' if by == 'source' else 'groups'} of {label} images; "
                "one cannot be left out and another trained on.",
                code="corpus.too-few-groups",
                hint="Fill the columns source and generator, or add images of other origins.",
            )
    quarter: dict[tuple[str, str], int] = {}
    for label, found in groups.items():
        order = rng(seed, "companions", label).permutation(found)
        quarter |= {(label, str(n)): i % min(COMPANION_FOLDS, len(found)) for i, n in enumerate(order)}
    counts = Counter(
        (name, label)
        for name, label in zip(names, labels, strict=True)
        if by == "source" or label == "synthetic"
    )
    ranked = sorted(counts, key=lambda key: (-counts[key], key))
    chosen = [key for key in ranked if counts[key] >= SMALLEST_PART][:limit]
    folds = []
    for number, (part, label) in enumerate(chosen):
        other = "real" if label == "synthetic" else "synthetic"
        number %= min(COMPANION_FOLDS, len(groups[other]))
        own = {i for i, n in enumerate(names) if n == part and labels[i] == label}
        beside = {
            i for i, n in enumerate(names) if labels[i] == other and quarter[other, n] == number
        }  # a source may hold both classes: its other half must not be trained on either
        beside |= {i for i, n in enumerate(names) if by == "source" and n == part and labels[i] == other}
        folds.append(Fold(part, label, frozenset(own), frozenset(beside)))
    return folds, tuple(name for name, _ in ranked if name not in {fold.part for fold in folds})


def leave_out(
    corpus: Corpus,
    *,
    family: str,
    by: str = "generator",
    config: Mapping[str, Any] | None = None,
    settings: FitSettings | None = None,
    limit: int = 12,
    max_fpr: float = 0.01,
    resamples: int = 500,
    report: Callable[[int, int, str], None] = lambda done, total, part: None,
) -> LeftOut:
    """Trains once for every part and scores what was held out under the four deliveries.

    Args:
        corpus: With two groups or more of each class.
        family: ``clip-probe``, ``timm``, ``critic`` or another registered family.
        by: ``generator`` or ``source``.
        config: The family's options.
        settings: As for ``train_detector``.
        limit: Parts that are held out at most, the largest first.
        report: Called with (parts done, parts, name of the next part).

    Raises:
        ConfigError, CorpusError: see ``plan_folds``.
        TrainingError: what is left cannot be trained on.
    """
    settings = settings or FitSettings()
    folds, skipped = plan_folds(corpus, by, limit, settings.seed)
    rows: list[CorpusRow] = []
    parts: list[str] = []
    table: list[list[float]] = []
    likely: list[float] = []
    for number, fold in enumerate(folds):
        report(number, len(folds), fold.part)
        held = fold.own | fold.companions
        rest = replace(corpus, rows=tuple(r for i, r in enumerate(corpus.rows) if i not in held))
        with tempfile.TemporaryDirectory() as folder:
            path = train_detector(
                rest, folder, name="left-out", family=family, config=dict(config or {}), settings=settings
            )
            detector = load_detector(path)
        bound = float(detector.thresholds(max_fpr).likely)
        for index in sorted(held):
            line = _deliver(detector, corpus, corpus.rows[index], settings.seed)
            if line is not None:
                rows.append(corpus.rows[index])
                parts.append(fold.part)
                table.append(line)
                likely.append(bound)
    report(len(folds), len(folds), "")
    labels = np.array([int(row.is_synthetic) for row in rows], dtype=int)
    if len(np.unique(labels)) < 2:
        raise CorpusError("No readable images of one class are left to measure on.", code="corpus.one-class")
    clusters = np.array([cluster_of(row) for row in rows], dtype=str)
    owners = np.array(parts, dtype=str)
    groups = np.array([_name(row, by) for row in rows], dtype=str)
    scores, bounds = np.array(table), np.array(likely)
    pooled: dict[str, ConditionFigures] = {}
    found: dict[str, dict[str, GroupFigures]] = {fold.part: {} for fold in folds}
    for column, name in enumerate(DELIVERIES):
        values = scores[:, column]
        pooled[name] = figures(labels, values, clusters, bounds, resamples=resamples, seed=settings.seed)
        for fold in folds:
            mine, label = owners == fold.part, int(fold.label == "synthetic")
            own = group_figures(labels[mine], values[mine], groups[mine], bounds[mine], label)
            if fold.part in own:
                found[fold.part][name] = own[fold.part]
    return LeftOut(
        family,
        by,
        settings.seed,
        len(rows),
        pooled,
        {fold.part: LeftPart(fold.label, found[fold.part]) for fold in folds},
        skipped,
    )


def _name(row: CorpusRow, by: str) -> str:
    return group_of(row) if by == "generator" else row.source or "unnamed"


def _deliver(detector: Detector, corpus: Corpus, row: CorpusRow, seed: int) -> list[float] | None:
    """Scores of one randomly cropped image under the four deliveries; None if it cannot be read."""
    try:
        pixels = read_image(corpus.root / row.file_name).pixels
    except ImageError:
        return None
    pixels = random_crop(pixels, rng(seed, "crop", row.file_name))
    drawn = [perturb(spec, pixels, rng(seed, name, row.file_name)) for name, spec in DELIVERIES.items()]
    return [float(score) for score in detector.score(drawn)]
