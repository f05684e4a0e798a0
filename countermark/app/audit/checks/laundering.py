"""The learned laundering policy as a check: what stays detected under the best edits it finds."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from countermark.app.adversaries.search import blind_spots
from countermark.app.audit.checks.base import Check, Context, Measured, Slice, register
from countermark.app.audit.checks.robust import ROBUST
from countermark.app.audit.intervals import Estimate
from countermark.app.audit.schema import CheckEntry
from countermark.core.images import read_image
from countermark.core.results import Outcome


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


@register
class Laundering(Check):
    id = "detector.laundering"
    title = "Still finds synthetic images after the best edits that a search finds"
    formula = "smallest share of held-out synthetic images found under the edit sequences of two searches"
    source = "random search and REINFORCE (Williams 1992) on one half, measured on the other; Holm 1979"
    claims = ROBUST
    Options = LaunderingOptions

    def measure(self, entry: Any, context: Context) -> Measured:
        import numpy as np

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
        library.__dict__.setdefault("_blindspots", []).extend(spots)
        slices = tuple(Slice(s.edits, Estimate(s.interval, np.array([]), s.binomial)) for s in spots)
        return Measured(slices=slices, detail={"detected_before": spots[0].before if spots else None})
