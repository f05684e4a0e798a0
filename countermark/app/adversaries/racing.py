"""Rounds of scores and a race: how a search over edit sequences spends its queries.

    trials = Trials(ask, pictures=50, queries=192, generator=rng(0, "search"))
    trials.round([(1, 4), (7,)])                # both sequences on the same picture: two queries
    ranking = race(trials, [(1, 4), (7,)])      # the rest of the queries; best sequence first

In a round all sequences meet the same picture, so that what a picture brings with it falls out of
every comparison. A race is sequential halving (Karnin, Koren & Somekh 2013): all candidates on fresh
pictures, the better half on more of them, until one is left. They are compared by the posterior mean
of all their scores, never by their luckiest one.

A sequence is a tuple of indices into the list of edits; values are low where a picture is hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

Edits = tuple[int, ...]

#: Values of these sequences on the picture of that index, float [N].
Ask = Callable[[Sequence[Edits], int], np.ndarray]

#: How far sequences differ in truth, and one picture's value from a sequence's mean (tanh scale).
SPREAD, NOISE = 0.5, 0.5


class Trials:
    """Spends at most ``queries`` scores; remembers round, sequence and value of each of them."""

    def __init__(self, ask: Ask, *, pictures: int, queries: int, generator: np.random.Generator) -> None:
        self.left = queries
        self.records: list[tuple[int, Edits, float]] = []
        self._ask, self._pictures, self._generator = ask, pictures, generator
        self._queue: list[int] = []
        self._rounds = 0

    def round(self, sequences: Sequence[Edits]) -> np.ndarray:
        """Values, float [N], of at most ``left`` sequences on the next picture; all before one again."""
        sequences = list(sequences)[: self.left]
        if not self._queue:
            self._queue = [int(i) for i in self._generator.permutation(self._pictures)]
        values = np.asarray(self._ask(sequences, self._queue.pop()), dtype=np.float64)
        self.left -= len(sequences)
        self.records += [(self._rounds, s, float(v)) for s, v in zip(sequences, values, strict=True)]
        self._rounds += 1
        return values

    def posterior(self, prior: Mapping[Edits, float] | None = None) -> dict[Edits, float]:
        """Mean value of every tried sequence, given all scores: what each picture adds is taken out.

        Args:
            prior: Expected values, up to a constant; sequences that are not named lie at zero.
        """
        names = list(dict.fromkeys(sequence for _, sequence, _ in self.records))
        place = {sequence: number for number, sequence in enumerate(names)}
        which = np.array([place[sequence] for _, sequence, _ in self.records])
        rounds = np.array([number for number, _, _ in self.records])
        expected = np.array([(prior or {}).get(sequence, 0.0) for sequence in names])
        rest = np.array([value for *_, value in self.records]) - expected[which]
        met = np.zeros((len(names), self._rounds))
        np.add.at(met, (which, rounds), 1.0)
        size = met.sum(axis=0)
        matrix = np.diag(met.sum(axis=1) + (NOISE / SPREAD) ** 2) - (met / size) @ met.T
        target = np.bincount(which, rest) - (met / size) @ np.bincount(rounds, rest)
        found = expected + np.linalg.solve(matrix, target)
        return dict(zip(names, found.tolist(), strict=True))


def race(
    trials: Trials, candidates: Sequence[Edits], prior: Mapping[Edits, float] | None = None
) -> list[Edits]:
    """Spends what is left of ``trials`` on the candidates; they come back best first.

    Args:
        candidates: Distinct; the more promising first.
        prior: As for ``Trials.posterior``.
    """
    live: list[Edits] = list(candidates)
    dropped: list[Edits] = []
    stages = max(1, int(np.ceil(np.log2(max(len(live), 1)))))
    while trials.left and live:
        pictures = (
            max(1, trials.left // stages // len(live)) if len(live) > 2 else -(-trials.left // len(live))
        )
        for _ in range(pictures):
            if trials.left:
                trials.round(live)
        stages = max(1, stages - 1)
        mean = trials.posterior(prior)
        live.sort(key=lambda sequence: mean.get(sequence, np.inf))
        keep = max(2, (len(live) + 1) // 2)
        live, dropped = live[:keep], live[keep:] + dropped
    return live + dropped


def random_search(trials: Trials, edits: int, length: int, generator: np.random.Generator) -> list[Edits]:
    """Half of the queries on sequences drawn uniformly, a score each; a race of the best quarter."""
    half, drawn = max(1, trials.left // 2), dict[Edits, None]()
    for _ in range(20 * half):
        if len(drawn) < half:
            drawn.setdefault(trimmed(generator.integers(edits, size=length).tolist()))
    drawn.pop((), None)
    sequences, rest = list(drawn), trials.left - half
    while sequences and trials.left - rest >= len(sequences):
        trials.round(sequences)
    if not trials.records:
        return []
    mean = trials.posterior()
    ranked = sorted(sequences, key=lambda sequence: mean[sequence])
    first = max(2, len(ranked) // 4)
    return race(trials, ranked[:first]) + ranked[first:]


def trimmed(sequence: Sequence[int]) -> Edits:
    """The sequence without *none* (edit 0), which changes nothing."""
    return tuple(int(edit) for edit in sequence if edit)
