"""Detector checks over several slices: generators, sources of photographs, deliveries, perturbations."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar, TypeVar

import numpy as np
from pydantic import Field

from countermark.app.audit.checks.base import Check, Context, Measured, Slice
from countermark.app.audit.checks.detector import AtRate, Delivered
from countermark.app.audit.checks.towards import DETECTABLE, RELIABLE, ROBUST
from countermark.app.audit.samples import Item, Request, Scored
from countermark.app.audit.schema import CheckEntry, Policy
from countermark.core.intervals import Estimate
from countermark.core.perturb import DELIVERIES
from countermark.core.results import Outcome
from countermark.core.stats import weighted_auroc


class Sliced(Delivered):
    """Options of checks over slices.

    Attributes:
        smallest: Slices with fewer images are listed, not judged.
        only: Names of the slices that are looked at; empty for all.
    """

    smallest: int = Field(default=20, ge=2)
    only: tuple[str, ...] = ()


class SlicedAtRate(Sliced, AtRate):
    """The same at a false-positive rate."""


class Under(CheckEntry):
    """Options.

    Attributes:
        deliveries: Names of deliveries, or perturbations such as ``blur:2``.
        sample: At most so many images, half of each label, the same ones every time; 0 takes all. Not
            given: ``statistics.delivered``.
        max_fpr: Sets the threshold, where the check has one.
    """

    deliveries: tuple[str, ...] = ("q96", "320q90", "q75")
    sample: int | None = Field(default=None, ge=0)
    max_fpr: float = Field(default=0.01, gt=0, le=0.5)

    @property
    def specs(self) -> dict[str, str]:
        return {name: DELIVERIES.get(name, name) for name in self.deliveries}

    def limit(self, policy: Policy) -> int:
        """Images to draw, 0 for all."""
        return policy.statistics.delivered if self.sample is None else self.sample


def _chosen(names: np.ndarray, entry: Sliced) -> tuple[list[str], dict[str, int]]:
    """Names that are judged and the small ones that are not, with their counts."""
    found, counts = np.unique(names, return_counts=True)
    table = {str(n): int(c) for n, c in zip(found, counts, strict=True) if n and n in (entry.only or found)}
    judged = [n for n, c in table.items() if c >= entry.smallest]
    return judged, {n: c for n, c in table.items() if c < entry.smallest}


#: Options of a check over slices.
OverSlices = TypeVar("OverSlices", bound=Sliced)


class SliceCheck(Check[OverSlices]):
    """Base of checks that judge every slice of one evidence table."""

    def requests(self, entry: OverSlices, policy: Policy) -> Iterator[Request]:
        yield Request(entry.evidence, entry.spec, limit=entry.limit(policy))

    def measure(self, entry: OverSlices, context: Context) -> Measured:
        scored = context.scores(entry.evidence, entry.spec, entry.limit(context.policy))
        names = np.array([self.name_of(item) for item in scored.items], dtype=str)
        judged, small = _chosen(names[scored.labels == self.label], entry)
        short = context.short_of(scored, entry.evidence)
        if not judged:
            short = f"No slice has {entry.smallest} images."
        slices = tuple(Slice(name, self.slice(scored, names == name, entry, context)) for name in judged)
        detail = {"too_small": small, "delivery": entry.delivery, **context.sampled(scored, entry.evidence)}
        return Measured(slices=slices, short=short, detail=detail)

    label: ClassVar[int]

    def name_of(self, item: Item) -> str:
        raise TypeError(f"{self.id} names no slices.")

    def slice(self, scored: Scored, mask: np.ndarray, entry: OverSlices, context: Context) -> Estimate:
        raise TypeError(f"{self.id} measures no slices.")


class WorstGenerator(SliceCheck[Sliced]):
    id = "detector.worst-generator"
    title = "Ranks the images of every generator above real ones"
    unit = "AUROC"
    formula = "smallest AUROC of one generator's images against all real images"
    source = "intersection-union test (Berger 1982) to pass; Holm 1979 to fail"
    claims = DETECTABLE
    label = 1

    def name_of(self, item: Item) -> str:
        return str(item.generator)

    def slice(self, scored: Scored, mask: np.ndarray, entry: Sliced, context: Context) -> Estimate:
        part = scored.subset(mask | (scored.labels == 0))
        return context.estimate(part, partial(weighted_auroc, part.labels, part.scores))


class WorstSource(SliceCheck[SlicedAtRate]):
    id = "detector.worst-source"
    title = "Leaves photographs of every source alone"
    direction = "at-most"
    formula = "largest false-positive rate of one source of real images, at the threshold for max_fpr"
    source = "Clopper & Pearson 1934 on the effective sample size; Holm 1979"
    claims = RELIABLE
    label = 0

    def name_of(self, item: Item) -> str:
        return str(item.source)

    def slice(self, scored: Scored, mask: np.ndarray, entry: SlicedAtRate, context: Context) -> Estimate:
        likely = float(context.library.detector().thresholds(entry.max_fpr).likely)
        keep = mask & (scored.labels == 0)
        clusters = scored.clusters[keep]
        single = len(set(clusters)) == 1
        return context.proportion(scored.scores[keep] >= likely, None if single else clusters)


class HeldOut(WorstGenerator):
    id = "detector.held-out-generator"
    title = "Ranks images of generators that it was not trained on above real ones"
    formula = "smallest AUROC over the generators named in 'only'"

    def measure(self, entry: Sliced, context: Context) -> Measured:
        training = " ".join(context.library.detector().card.training_data)
        seen = [name for name in entry.only if name and name in training]
        if seen:
            sentence = f"The card names {', '.join(seen)} as training data; nothing is held out there."
            return Measured(outcome=Outcome.FAIL, sentence=sentence, detail={"trained_on": seen})
        return super().measure(entry, context)


class PerturbedCheck(Check[Under]):
    """Base of checks that compare or judge several perturbations of the same images."""

    claims: ClassVar[tuple[str, ...]] = ROBUST
    native: ClassVar[bool] = False

    def requests(self, entry: Under, policy: Policy) -> Iterator[Request]:
        for spec in [*entry.specs.values(), *(["none"] if self.native else [])]:
            yield Request(entry.evidence, spec, limit=entry.limit(policy))

    def measure(self, entry: Under, context: Context) -> Measured:
        limit = entry.limit(context.policy)
        scores = {name: context.scores(entry.evidence, spec, limit) for name, spec in entry.specs.items()}
        before = context.scores(entry.evidence, "none", limit) if self.native else None
        slices = tuple(Slice(n, self.one(s, before, entry, context)) for n, s in scores.items())
        first = next(iter(scores.values()), None)
        short = context.short_of(first, entry.evidence) if first is not None else "No delivery is named."
        detail = {} if first is None else context.sampled(first, entry.evidence)
        return Measured(slices=slices, short=short, detail=detail)

    def one(self, after: Scored, before: Scored | None, entry: Under, context: Context) -> Estimate:
        raise TypeError(f"{self.id} measures nothing.")


class WorstDelivery(PerturbedCheck):
    id = "detector.worst-delivery"
    title = "Ranks synthetic images above real ones under every delivery and perturbation"
    unit = "AUROC"
    formula = "smallest AUROC over the named deliveries (JPEG, resize, crop, blur, noise, screenshot, …)"
    source = "intersection-union test (Berger 1982) to pass; Holm 1979 to fail"

    def one(self, after: Scored, before: Scored | None, entry: Under, context: Context) -> Estimate:
        return context.estimate(after, partial(weighted_auroc, after.labels, after.scores))


class Drop(PerturbedCheck):
    id = "detector.drop"
    title = "Loses little when images are delivered in another way"
    unit = "AUROC"
    direction = "at-most"
    formula = "largest (AUROC as made - AUROC as delivered), paired over the same images"
    source = "paired cluster bootstrap; Holm 1979"
    native = True

    def one(self, after: Scored, before: Scored | None, entry: Under, context: Context) -> Estimate:
        if before is None or before.items != after.items:
            raise TypeError("Both scores must be of the same images.")

        def drop(weights: np.ndarray) -> np.ndarray:
            native = weighted_auroc(before.labels, before.scores, weights)
            lost: np.ndarray = native - weighted_auroc(after.labels, after.scores, weights)
            return lost

        return context.estimate(after, drop, bounds=(-1.0, 1.0), before=before)


class Flips(PerturbedCheck):
    id = "detector.flips"
    title = "Keeps its verdict on real images when they are delivered in another way"
    direction = "at-most"
    formula = "largest share of real images that reach the likely threshold only after delivery"
    source = "Clopper & Pearson 1934 on the effective sample size; Holm 1979"
    native = True

    def one(self, after: Scored, before: Scored | None, entry: Under, context: Context) -> Estimate:
        if before is None:
            raise TypeError("Flips need the native scores.")
        likely = float(context.library.detector().thresholds(entry.max_fpr).likely)
        real = after.labels == 0
        flipped = (after.scores[real] >= likely) & (before.scores[real] < likely)
        return context.proportion(flipped, after.clusters[real])
