"""Two searches for everyday edits that hide synthetic images, compared on images that neither has seen.

    result = measure_laundering(model.score, pictures, sources, likely=0.9, searches=5)
    result.difference.value            # learned less random, share that stays found

Each pair of searches, one at random and one by a policy that REINFORCE trains, gets the same number of
scores on the same half of the images, and the best sequence of each is measured on the other half. The
halves are drawn anew for every pair, so that all images serve for measuring.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from countermark.app.adversaries.attacks import Score
from countermark.app.adversaries.search import search
from countermark.core.images import Pixels
from countermark.core.intervals import Resamples, smaller_class, widened
from countermark.core.perturb import perturb
from countermark.core.results import Interval
from countermark.core.seeds import rng

KINDS = ("random", "learned")


@dataclass(frozen=True)
class Found:
    """The best sequence of one search, measured on the other half.

    Attributes:
        edits: A spec for ``core.perturb``.
        held: Indices of the images that it was measured on, int [N].
        scores: P(synthetic) of these images under the edits, float [N].
        likeness: Mean peak signal-to-noise ratio, in dB, of the edited images to the images, where the
            edits keep the size; NaN where they never do.
        history: Mean score of the queries in turn.
    """

    edits: str
    held: np.ndarray
    scores: np.ndarray
    likeness: float
    history: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """By kind of search its results, and the paired difference of what stays found."""

    found: dict[str, list[Found]]
    queries: int
    difference: Interval

    def best(self, kind: str) -> Found:
        """The one under which the fewest images stay found, by its mean score."""
        return min(self.found[kind], key=lambda one: float(one.scores.mean()))


def measure_laundering(
    score: Score,
    pictures: list[Pixels],
    clusters: np.ndarray,
    likely: float,
    *,
    budget: int = 24,
    length: int = 3,
    per_trial: int = 8,
    searches: int = 5,
    confidence: float = 0.95,
    seed: int = 0,
    report: Callable[[str], None] = lambda what: None,
) -> Comparison:
    """Searches ``searches`` times by each kind and measures the best sequences on the other halves.

    Args:
        score: P(synthetic), float [N], of uint8 RGB images.
        pictures: Found as they are: with a score of at least ``likely``.
        clusters: Source of each picture; images of one source are drawn together.
        budget: Times ``per_trial``: scores that every search asks for.
    """
    found: dict[str, list[Found]] = {kind: [] for kind in KINDS}
    for number in range(searches):
        order = rng(seed, "halves", number).permutation(len(pictures))
        seen, held = order[: len(order) // 2], order[len(order) // 2 :]
        for kind in KINDS:
            report(f"laundering, {kind} search {number + 1} of {searches}")
            result = search(
                [pictures[i] for i in seen], score, kind=kind, budget=budget, length=length,
                per_trial=per_trial, seed=seed + number, likely=likely,
            )  # fmt: skip
            spec = next(iter(result.best(1)), "none")
            edited = [perturb(spec, pictures[i], rng(seed, spec, "held", int(i))) for i in held]
            likeness = [_psnr(pictures[i], new) for i, new in zip(held, edited, strict=True)]
            likeness = [value for value in likeness if np.isfinite(value)]
            mean = float(np.mean(likeness)) if likeness else float("nan")
            scores = np.asarray(score(edited))
            found[kind].append(Found(spec, held, scores, mean, result.history))
    difference = paired(found, clusters, likely, confidence=confidence, seed=seed)
    return Comparison(found, budget * per_trial, difference)


def paired(
    found: dict[str, list[Found]],
    clusters: np.ndarray,
    likely: float,
    *,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 4000,
) -> Interval:
    """Learned less random: difference of the shares that stay found, negative if the policy hides more.

    Percentile bootstrap that draws pairs of searches and whole sources at the same time: the interval
    holds for other searches and for other sources of images.
    """
    gaps = np.array([
        (learned.scores >= likely).astype(float) - (random.scores >= likely)
        for random, learned in zip(found["random"], found["learned"], strict=True)
    ])  # fmt: skip
    held = np.array([one.held for one in found["random"]])
    generator = rng(seed, "searches")
    counts = generator.multinomial(len(gaps), np.full(len(gaps), 1 / len(gaps)), size=resamples)
    sources = Resamples.draw(np.ones(len(clusters)), clusters, resamples, seed)
    draws = np.full(resamples, np.nan)
    for number in range(resamples):
        weights = counts[number][:, None] * sources.counts[number][sources.groups][held]
        if weights.sum():
            draws[number] = (weights * gaps).sum() / weights.sum()
    low, high = np.nanquantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    groups = len(np.unique(clusters))
    effective = smaller_class(np.ones(len(clusters)), clusters)
    low, high = widened(float(low), float(high), effective, confidence=confidence, bounds=(-1.0, 1.0))
    return Interval(float(gaps.mean()), low, high, gaps.size, groups, confidence)


def _psnr(one: Pixels, other: Pixels) -> float:
    """In dB; NaN for images of different size, 100 for equal ones."""
    if one.shape != other.shape:
        return float("nan")
    error = float(np.mean((one.astype(np.float32) - other) ** 2))
    return 10 * float(np.log10(255**2 / error)) if error else 100.0
