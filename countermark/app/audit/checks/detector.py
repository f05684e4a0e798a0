"""Detector checks on native images and under one delivery condition."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar, TypeVar

import numpy as np
from pydantic import Field

from countermark.app.audit.checks.base import Check, Context, Measured
from countermark.app.audit.checks.towards import DETECTABLE, RELIABLE
from countermark.app.audit.samples import Request, Scored
from countermark.app.audit.schema import CheckEntry, Policy
from countermark.app.rooms import Detector
from countermark.core.intervals import Estimate, Weighted
from countermark.core.perturb import DELIVERIES
from countermark.core.stats import (
    weighted_auroc,
    weighted_calibration_error,
    weighted_mean,
    weighted_tpr_at_fpr,
)


class Delivered(CheckEntry):
    """Options of a check under one delivery condition.

    Attributes:
        delivery: ``native``, ``q96``, ``320q90``, ``q75`` or any perturbation, such as ``blur:1``.
        sample: At most so many images, half of each label, the same ones every time; 0 takes all. Not
            given: all images as they are, ``statistics.delivered`` of them when they are altered.
    """

    delivery: str = "native"
    sample: int | None = Field(default=None, ge=0)

    @property
    def spec(self) -> str:
        return DELIVERIES.get(self.delivery, self.delivery)

    def limit(self, policy: Policy) -> int:
        """Images to draw, 0 for all."""
        if self.sample is not None:
            return self.sample
        return 0 if self.spec == "none" else policy.statistics.delivered


class AtRate(Delivered):
    """Options of a check at a false-positive rate."""

    max_fpr: float = Field(default=0.01, gt=0, le=0.5)


#: Options of a check under one delivery.
UnderOne = TypeVar("UnderOne", bound=Delivered)


class ScoreCheck(Check[UnderOne]):
    """A statistic of labels and scores with a bootstrap interval."""

    labels: ClassVar[tuple[int, ...]] = (0, 1)

    def requests(self, entry: UnderOne, policy: Policy) -> Iterator[Request]:
        yield Request(entry.evidence, entry.spec, limit=entry.limit(policy))

    def measure(self, entry: UnderOne, context: Context) -> Measured:
        scored = context.scores(entry.evidence, entry.spec, entry.limit(context.policy))
        short = context.short_of(scored, entry.evidence, self.labels)
        detail = {"delivery": entry.delivery, **context.sampled(scored, entry.evidence)}
        return Measured(self.estimate(scored, entry, context), short=short, detail=detail)

    def estimate(self, scored: Scored, entry: UnderOne, context: Context) -> Estimate:
        return context.estimate(scored, self.statistic(scored, entry, context.library.detector()))

    def statistic(self, scored: Scored, entry: UnderOne, detector: Detector) -> Weighted:
        """The statistic as a function of weights; also used for comparisons with a baseline."""
        raise TypeError(f"{self.id} has no bootstrap statistic.")


def share_at(scored: Scored, label: int, threshold: float) -> Weighted:
    """The share of images of one label at or above a threshold, as a function of weights."""
    chosen = scored.labels == label
    events = (scored.scores[chosen] >= threshold).astype(np.float64)
    return lambda weights: weighted_mean(events, weights[:, chosen])


class Auroc(ScoreCheck[Delivered]):
    id = "detector.auroc"
    title = "Ranks synthetic images above real ones"
    unit = "AUROC"
    formula = "P(score of a synthetic image > score of a real one) + half the ties"
    source = "Hanley & McNeil 1982; interval: stratified cluster bootstrap, Davison & Hinkley 1997"
    claims = DETECTABLE

    def statistic(self, scored: Scored, entry: Delivered, detector: Detector) -> Weighted:
        return partial(weighted_auroc, scored.labels, scored.scores)


class Tpr(ScoreCheck[AtRate]):
    id = "detector.tpr"
    title = "Finds synthetic images at a false-positive rate"
    formula = "share of synthetic images above the threshold that max_fpr of the real ones exceed"
    source = "field practice: TPR at a fixed FPR; interval: cluster bootstrap, threshold redrawn each time"
    claims = DETECTABLE

    def statistic(self, scored: Scored, entry: AtRate, detector: Detector) -> Weighted:
        return partial(weighted_tpr_at_fpr, scored.labels, scored.scores, max_fpr=entry.max_fpr)


class Fpr(ScoreCheck[AtRate]):
    id = "detector.fpr"
    title = "Leaves photographs alone"
    direction = "at-most"
    formula = "share of real images at or above the detector's own threshold for max_fpr"
    source = "Clopper & Pearson 1934 on the effective sample size of Korn & Graubard 1998"
    claims = RELIABLE
    labels = (0,)

    def estimate(self, scored: Scored, entry: AtRate, context: Context) -> Estimate:
        likely = float(context.library.detector().thresholds(entry.max_fpr).likely)
        real = scored.labels == 0
        return context.proportion(scored.scores[real] >= likely, scored.clusters[real])

    def statistic(self, scored: Scored, entry: AtRate, detector: Detector) -> Weighted:
        return share_at(scored, 0, float(detector.thresholds(entry.max_fpr).likely))


class Recall(ScoreCheck[AtRate]):
    id = "detector.recall"
    title = "Finds synthetic images at its own threshold"
    formula = "share of synthetic images at or above the detector's own threshold for max_fpr"
    source = "Clopper & Pearson 1934 on the effective sample size of Korn & Graubard 1998"
    claims = DETECTABLE
    labels = (1,)

    def estimate(self, scored: Scored, entry: AtRate, context: Context) -> Estimate:
        likely = float(context.library.detector().thresholds(entry.max_fpr).likely)
        synthetic = scored.labels == 1
        return context.proportion(scored.scores[synthetic] >= likely, scored.clusters[synthetic])

    def statistic(self, scored: Scored, entry: AtRate, detector: Detector) -> Weighted:
        return share_at(scored, 1, float(detector.thresholds(entry.max_fpr).likely))


class Calibration(ScoreCheck[Delivered]):
    id = "detector.ece"
    title = "Probabilities mean what they say"
    unit = ""
    direction = "at-most"
    formula = "sum over ten score bins of |share synthetic - mean score|, weighted by the bin's size"
    source = "Naeini, Cooper & Hauskrecht 2015"
    claims = RELIABLE

    def statistic(self, scored: Scored, entry: Delivered, detector: Detector) -> Weighted:
        return partial(weighted_calibration_error, scored.labels, scored.scores)


class Brier(ScoreCheck[Delivered]):
    id = "detector.brier"
    title = "Probabilities are close to the truth"
    unit = ""
    direction = "at-most"
    formula = "mean of (score - label) squared"
    source = "Brier 1950"
    claims = RELIABLE

    def statistic(self, scored: Scored, entry: Delivered, detector: Detector) -> Weighted:
        return partial(weighted_mean, (scored.scores - scored.labels) ** 2)


class Abstention(ScoreCheck[AtRate]):
    id = "detector.abstention"
    title = "Decides most images"
    direction = "at-most"
    formula = "share of images whose score lies between the unsure and the likely threshold"
    source = "Clopper & Pearson 1934 on the effective sample size of Korn & Graubard 1998"

    def estimate(self, scored: Scored, entry: AtRate, context: Context) -> Estimate:
        bounds = context.library.detector().thresholds(entry.max_fpr)
        undecided = (scored.scores >= bounds.unsure) & (scored.scores < bounds.likely)
        labels = np.array([f"{label}/{c}" for label, c in zip(scored.labels, scored.clusters, strict=True)])
        return context.proportion(undecided, labels)
