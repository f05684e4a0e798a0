"""What stays found when somebody tries to hide it: by gradients, by queries, by everyday edits.

The attacks are those of ``countermark.app.adversaries``; here they are run and counted. What is
reported is the share of found synthetic images that stays found.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import Field

from countermark.app.adversaries.attacks import differentiable, pgd, square_attack, square_view
from countermark.app.adversaries.search import blind_spots
from countermark.app.audit.checks.base import Check, Context, Measured, Slice
from countermark.app.audit.checks.towards import ROBUST
from countermark.app.audit.samples import Item
from countermark.app.audit.schema import CheckEntry
from countermark.core.images import Pixels, read_image
from countermark.core.intervals import Estimate
from countermark.core.results import Outcome

#: From pictures to the same ones changed.
Attack = Callable[[list[Pixels]], list[Pixels]]


class AttackOptions(CheckEntry):
    """Options.

    Attributes:
        epsilon: Largest change of a channel value, in grey levels of 255.
        steps: Gradient steps, or queries of the square attack.
        images: Synthetic images that are attacked.
        max_fpr: Sets the threshold that has to be undercut.
    """

    epsilon: float = Field(default=4, gt=0, le=64)
    steps: int = Field(default=10, ge=1, le=10_000)
    images: int = Field(default=20, ge=5, le=10_000)
    max_fpr: float = Field(default=0.01, gt=0, le=0.5)
    side: int = Field(default=224, ge=32, le=1024)


class AttackCheck(Check[AttackOptions]):
    """Base: attacks the synthetic images that are found, counts those that stay found."""

    claims = ROBUST

    def victims(self, entry: AttackOptions, context: Context, side: int) -> tuple[list[Item], list[Pixels]]:
        library = context.library
        items = [i for i in library.images(entry.evidence).items if i.label == 1]
        chosen = library.draw(items, entry.images, "attack")
        return chosen, [square_view(read_image(i.path).pixels, side) for i in chosen]

    def run(
        self,
        entry: AttackOptions,
        context: Context,
        attack: Attack,
        side: int,
    ) -> Measured:
        detector = context.library.detector()
        likely = float(detector.thresholds(entry.max_fpr).likely)
        items, pictures = self.victims(entry, context, side)
        if not pictures:
            return Measured(outcome=Outcome.SKIPPED, sentence="There are no synthetic images to attack.")
        before = np.asarray(detector.score(pictures))
        found = before >= likely
        if not found.any():
            sentence = "The detector finds none of these images even without an attack."
            return Measured(
                outcome=Outcome.INCONCLUSIVE, sentence=sentence, detail={"attacked": len(pictures)}
            )
        changed = attack([p for p, ok in zip(pictures, found, strict=True) if ok])
        after = np.asarray(detector.score(changed))
        clusters = np.array([i.cluster for i, ok in zip(items, found, strict=True) if ok])
        detail = {
            "attacked": int(found.sum()),
            "not_found_before": int((~found).sum()),
            "mean_before": float(before[found].mean()),
            "mean_after": float(after.mean()),
            "epsilon": entry.epsilon,
            "steps": entry.steps,
        }
        return Measured(context.proportion(after >= likely, clusters), detail=detail)


class Pgd(AttackCheck):
    id = "detector.pgd"
    title = "Still finds synthetic images after an attack with its gradients"
    formula = "share of found images that stay found after PGD within ±epsilon grey levels"
    source = "Madry et al. 2018; sign steps of 2.5 epsilon / steps, no random start, at the view's own size"

    def measure(self, entry: AttackOptions, context: Context) -> Measured:
        side, logits = differentiable(context.library.detector())
        return self.run(
            entry, context, lambda pictures: pgd(pictures, logits, entry.epsilon, entry.steps), side
        )


class Square(AttackCheck):
    id = "detector.square"
    title = "Still finds synthetic images after a black-box attack"
    formula = "share of found images that stay found after 'steps' queries of the square attack"
    source = "Andriushchenko et al. 2020, L-infinity variant: vertical stripes, then random squares"

    def measure(self, entry: AttackOptions, context: Context) -> Measured:
        detector, seed = context.library.detector(), context.policy.statistics.seed

        def attack(pictures: list[Pixels]) -> list[Pixels]:
            return square_attack(pictures, detector.score, entry.epsilon, entry.steps, seed)

        return self.run(entry, context, attack, entry.side)


class LaunderingOptions(CheckEntry):
    """Options.

    Attributes:
        images: Synthetic images; half are searched on, half are measured on.
        budget: Edit sequences that each search tries.
        length: Edits in a sequence.
    """

    images: int = Field(default=40, ge=8, le=10_000)
    budget: int = Field(default=40, ge=4, le=100_000)
    length: int = Field(default=2, ge=1, le=6)
    max_fpr: float = Field(default=0.01, gt=0, le=0.5)


class Laundering(Check[LaunderingOptions]):
    id = "detector.laundering"
    title = "Still finds synthetic images after the best edits that a search finds"
    formula = "smallest share of held-out synthetic images found under the edit sequences of two searches"
    source = "random search and REINFORCE (Williams 1992) on one half, measured on the other; Holm 1979"
    claims = ROBUST

    def measure(self, entry: LaunderingOptions, context: Context) -> Measured:
        library, statistics = context.library, context.policy.statistics
        items = [i for i in library.images(entry.evidence).items if i.label == 1]
        items = library.draw(items, entry.images, "laundering")
        if len(items) < 8:
            return Measured(
                outcome=Outcome.INCONCLUSIVE, sentence=f"{len(items)} synthetic images are too few."
            )
        detector = library.detector()
        spots = blind_spots(
            [read_image(i.path).pixels for i in items],
            detector.score,
            float(detector.thresholds(entry.max_fpr).likely),
            clusters=[i.cluster for i in items],
            budget=entry.budget,
            length=entry.length,
            confidence=statistics.confidence,
            seed=statistics.seed,
        )
        context.exhibits.setdefault("blindspots", []).extend(spot.row() for spot in spots)
        slices = tuple(Slice(s.edits, Estimate(s.interval, np.array([]), s.binomial)) for s in spots)
        return Measured(slices=slices, detail={"detected_before": spots[0].before if spots else None})
