"""Blind-spot search: which short sequence of everyday edits hides synthetic images from a detector?

Two searches over the same edits and the same budget of scores:

- *random*: sequences drawn uniformly;
- *learned*: a factorised policy over the steps, trained by REINFORCE (Williams 1992) with a moving
  baseline, so that promising edits are tried more often.

Sequences are searched on one half of the images and measured on the other half, so that the figures
are not flattered by the search; the table is ranked by what stays detected, with exact intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from countermark.app.audit.intervals import proportion
from countermark.core.images import Pixels
from countermark.core.perturb import perturb
from countermark.core.results import Interval
from countermark.core.seeds import rng

#: Edits that people make and platforms apply; all keep the picture recognisable.
EDITS = (
    "none", "jpeg:85", "jpeg:60", "webp:70", "resize:0.75", "resize:0.5", "roundtrip:0.5", "stretch:1.05",
    "crop:0.75", "rotate:3", "flip", "noise:6", "blur:0.8", "median:3", "sharpen:1", "brightness:1.15",
    "contrast:1.2", "gamma:1.2", "screenshot:0.7", "border:0.05", "caption:0.1",
)  # fmt: skip

Score = Callable[[Sequence[Pixels]], np.ndarray]


@dataclass(frozen=True)
class BlindSpot:
    """One edit sequence and how many synthetic images stay detected under it.

    Attributes:
        edits: A spec for ``core.perturb``.
        search: ``random`` or ``learned``, or ``both`` if both found it.
        before: Share detected without edits, on the same held-out half.
        interval: Share detected with them, with its exact interval.
        binomial: Events and images on the effective sample size, for p-values.
        detected: One boolean a held-out picture.
    """

    edits: str
    search: str
    before: float
    interval: Interval
    binomial: tuple[float, float] | None = None
    detected: tuple[bool, ...] = ()

    def row(self) -> dict[str, Any]:
        """What a report's table shows."""
        return {
            "edits": self.edits,
            "search": self.search,
            "before": self.before,
            "interval": asdict(self.interval),
        }


@dataclass(frozen=True)
class Search:
    """What a search found: every sequence tried with its mean score on the search half."""

    kind: str
    tried: dict[str, float]
    history: tuple[float, ...]

    def best(self, count: int) -> list[str]:
        """Sequences with the lowest mean score, ``none`` left out."""
        ranked = sorted((value, edits) for edits, value in self.tried.items() if edits != "none")
        return [edits for _, edits in ranked[:count]]


def search(
    pictures: Sequence[Pixels],
    score: Score,
    *,
    kind: str,
    budget: int = 40,
    length: int = 2,
    per_trial: int = 4,
    seed: int = 0,
    edits: Sequence[str] = EDITS,
    rate: float = 0.6,
) -> Search:
    """Looks for sequences under which the mean score of synthetic pictures is low.

    Args:
        pictures: uint8 RGB, all synthetic.
        score: P(synthetic), float [N].
        kind: ``random`` or ``learned``.
        budget: Sequences that are tried.
        length: Edits in a sequence.
        per_trial: Pictures scored for each, a fresh draw every time.
        rate: Learning rate of the policy.
    """
    generator = rng(seed, "blindspot", kind)
    logits = np.zeros((length, len(edits)))
    baseline: float | None = None
    totals: dict[str, list[float]] = {}
    history = []
    for trial in range(budget):
        probabilities = _softmax(logits)
        picks = [int(generator.choice(len(edits), p=row)) for row in probabilities]
        spec = _join(edits[p] for p in picks)
        chosen = generator.permutation(len(pictures))[:per_trial]
        changed = [perturb(spec, pictures[i], rng(seed, spec, trial, int(i))) for i in chosen]
        value = float(np.mean(score(changed)))
        totals.setdefault(spec, []).append(value)
        history.append(value)
        if kind == "learned":
            reward = -value
            baseline = reward if baseline is None else baseline
            for step, pick in enumerate(picks):
                direction = -probabilities[step]
                direction[pick] += 1
                logits[step] += rate * 10 * (reward - baseline) * direction
            baseline = 0.8 * baseline + 0.2 * reward
    return Search(kind, {spec: float(np.mean(values)) for spec, values in totals.items()}, tuple(history))


def blind_spots(
    pictures: Sequence[Pixels],
    score: Score,
    likely: float,
    *,
    clusters: Sequence[str] | None = None,
    budget: int = 40,
    length: int = 2,
    keep: int = 3,
    confidence: float = 0.95,
    seed: int = 0,
    edits: Sequence[str] = EDITS,
    kinds: Sequence[str] = ("random", "learned"),
    per_trial: int = 4,
) -> list[BlindSpot]:
    """The best sequences of each search, measured on pictures that the search did not see.

    Args:
        likely: Score from which a picture counts as detected.
        clusters: One value a picture, for the intervals.

    Returns:
        Lowest share detected first; at most ``keep`` of each search.
    """
    order = [int(i) for i in rng(seed, "halves").permutation(len(pictures))]
    seen, held = [pictures[i] for i in order[: len(order) // 2]], order[len(order) // 2 :]
    groups = None if clusters is None else np.array([clusters[i] for i in held], dtype=str)
    before = float(np.mean(np.asarray(score([pictures[i] for i in held])) >= likely))
    found: dict[str, BlindSpot] = {}
    for kind in kinds:
        result = search(
            seen, score, kind=kind, budget=budget, length=length, per_trial=per_trial, seed=seed, edits=edits
        )
        for spec in result.best(keep):
            if spec in found:  # both searches came upon it
                found[spec] = replace(found[spec], search="both")
                continue
            changed = [perturb(spec, pictures[i], rng(seed, spec, "held", i)) for i in held]
            detected = np.asarray(score(changed)) >= likely
            share = proportion(detected, groups, confidence=confidence)
            one = BlindSpot(spec, kind, before, share.interval, share.binomial, tuple(detected.tolist()))
            found[spec] = one
    return sorted(found.values(), key=lambda spot: (spot.interval.value, spot.interval.high, spot.edits))


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    mixed = shifted / shifted.sum(axis=1, keepdims=True)
    return 0.95 * mixed + 0.05 / logits.shape[1]  # a little exploration stays


def _join(edits: object) -> str:
    kept = [e for e in list(edits) if e != "none"]  # type: ignore[call-overload]
    return "+".join(kept) or "none"
