"""Blind-spot search: which short sequence of everyday edits hides synthetic images from a detector?

Two searches over the same edits and the same budget of scores:

- *random*: sequences drawn uniformly (``racing.random_search``);
- *learned*: a policy over the steps trained by REINFORCE (``policy_search.learned_search``).

Both end with the same race of their best candidates on fresh pictures. Sequences are searched on one
half of the images and measured on the other half, so that the figures are not flattered by the search;
the table is ranked by what stays detected, with exact intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from countermark.app.adversaries.attacks import Score
from countermark.app.adversaries.learned import learned_search
from countermark.app.adversaries.racing import Edits, Trials, random_search
from countermark.core.images import Pixels
from countermark.core.intervals import proportion
from countermark.core.perturb import perturb
from countermark.core.results import Interval
from countermark.core.seeds import rng

#: Edits that people make and platforms apply; all keep the picture recognisable.
EDITS = (
    "none", "jpeg:85", "jpeg:60", "webp:70", "resize:0.75", "resize:0.5", "roundtrip:0.5", "stretch:1.05",
    "crop:0.75", "rotate:3", "flip", "noise:6", "blur:0.8", "median:3", "sharpen:1", "brightness:1.15",
    "contrast:1.2", "gamma:1.2", "screenshot:0.7", "border:0.05", "caption:0.1",
)  # fmt: skip


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
    """What a search found.

    Attributes:
        kind: ``random`` or ``learned``.
        ranking: Sequences, the best at hiding first; those that got furthest in the race lead.
        history: Mean score of every ``per_trial`` scores in turn.
    """

    kind: str
    ranking: tuple[str, ...]
    history: tuple[float, ...]

    def best(self, count: int) -> list[str]:
        """The sequences that hide best; ``none`` is never among them."""
        return list(self.ranking[:count])


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
    likely: float = 0.5,
) -> Search:
    """Looks for sequences under which synthetic pictures are no longer found.

    Args:
        pictures: uint8 RGB, all synthetic.
        score: P(synthetic), float [N].
        kind: ``random`` or ``learned``.
        budget: Times ``per_trial``: scores that are asked for, exactly so many.
        length: Edits in a sequence, at most.
        likely: Score from which a picture counts as found; what is hidden is counted around it.
    """
    generator = rng(seed, "blindspot", kind)
    options = ("none", *(edit for edit in edits if edit != "none"))
    asked: list[float] = []

    def ask(sequences: Sequence[Edits], number: int) -> np.ndarray:
        specs = [_join(options[edit] for edit in sequence) for sequence in sequences]
        found = np.asarray(score([perturb(s, pictures[number], rng(seed, s, number)) for s in specs]))
        asked.extend(found.tolist())
        return hidden(found, likely)

    trials = Trials(ask, pictures=len(pictures), queries=budget * per_trial, generator=generator)
    run = learned_search if kind == "learned" else random_search
    ranked = run(trials, len(options), length, generator)
    ranking = tuple(_join(options[edit] for edit in sequence) for sequence in ranked)
    return Search(kind, ranking, tuple(np.reshape(asked, (budget, per_trial)).mean(axis=1).tolist()))


def hidden(scores: np.ndarray, likely: float) -> np.ndarray:
    """Value of scores to somebody who hides: log-odds above ``likely``, flat far from it, low is hidden.

    About -1 for well hidden and 1 for plainly found; a slight slope stays everywhere.
    """
    odds = [np.log(p / (1 - p)) for p in np.clip([scores, np.full(len(scores), likely)], 1e-6, 1 - 1e-6)]
    above = odds[0] - odds[1]
    return np.asarray(np.tanh(above) + 0.05 * above.clip(-10, 10))


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
            seen, score, kind=kind, budget=budget, length=length, per_trial=per_trial, seed=seed,
            edits=edits, likely=likely,
        )  # fmt: skip
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


def _join(edits: object) -> str:
    kept = [e for e in list(edits) if e != "none"]  # type: ignore[call-overload]
    return "+".join(kept) or "none"
