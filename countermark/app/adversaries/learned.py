"""A policy over edit sequences, trained by REINFORCE to hide synthetic images from a detector.

    policy = EditPolicy(edits=21, length=3)
    sequences = policy.sample(8, generator)            # scored together on one picture
    policy.learn(sequences, values)                    # low values are rewarded
    policy.best(8)                                     # [((16, 13, 15), 0.0), ...]

REINFORCE (Williams 1992) needs many samples because its gradient is noisy. Here few are enough:

- every picture is its own baseline: values count only against the other sequences of their round,
  which were scored on the same picture (leave-one-out baselines: Kool, van Hoof & Welling 2019);
- every step is credited for itself: what the other steps of a sequence are expected to bring is taken
  out of its advantage (action-dependent baselines: Wu et al. 2018), by effects that the steps share;
- no score is used once only: each update goes over all earlier rounds again, with truncated importance
  weights (Ionides 2008), a step's weight being its probability now over that when it was drawn;
- half of every gradient is shared by all steps, since an edit that hides as the first one mostly hides
  as the second one too;
- an entropy bonus keeps the policy broad at first and is annealed as the queries are spent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from countermark.app.adversaries.racing import Edits, Trials, race, trimmed

#: Weight of the entropy at the first and after the last score (tanh scale of the values).
ENTROPY = (0.3, 0.05)
#: Share of the queries that is spent before the race.
EXPLORING = 0.6
#: Sequences that enter the race: tried or not, the ones that look best given policy and scores.
CANDIDATES = 24
RATE, PASSES, EXPLORE, TRUNCATE = 10.0, 10, 0.03, 3.0
#: Ridge on an edit's effect in any step, and on how it differs from step to step.
RIDGE = (1.0, 20.0)


class EditPolicy:
    """A softmax over the edits for each step; edit 0 is *none*.

    Args:
        edits: Edits to choose from.
        length: Steps.
    """

    def __init__(self, edits: int, length: int) -> None:
        self.logits = np.zeros((length, edits))
        self.effects = np.zeros((length, edits))
        self._drawn = np.zeros((0, length), dtype=np.int64)
        self._chance = np.zeros((0, length))
        self._values = np.zeros(0)
        self._rounds = np.zeros(0, dtype=np.int64)
        self._pending: np.ndarray = np.zeros((0, length))

    def probabilities(self) -> np.ndarray:
        """Of every edit in every step, float [length, edits]; a little exploration stays."""
        return (1 - EXPLORE) * _softmax(self.logits) + EXPLORE / self.logits.shape[1]

    def sample(self, count: int, generator: np.random.Generator) -> list[Edits]:
        """Draws sequences, different ones as far as the policy still has them to offer."""
        table = self.probabilities()
        ladder = table.cumsum(axis=1)
        drawn: list[Edits] = []
        seen: set[Edits] = set()
        for attempt in range(40 * count):
            if len(drawn) == count:
                break
            points = generator.random(len(ladder))
            picks = [
                min(int(np.searchsorted(row, x)), len(row) - 1) for row, x in zip(ladder, points, strict=True)
            ]
            if trimmed(picks) in seen and attempt < 39 * count:
                continue
            seen.add(trimmed(picks))
            drawn.append(tuple(picks))
        steps = np.arange(len(ladder))
        self._pending = np.array([table[steps, list(picks)] for picks in drawn])
        return drawn

    def learn(self, sequences: Sequence[Edits], values: np.ndarray, spent: float = 1.0) -> None:
        """One round: the sequences of the last ``sample`` and their values on one picture.

        Args:
            values: float [N]; low ones are rewarded.
            spent: Share of the exploration's queries that is used up, 0 to 1.
        """
        number = int(self._rounds.max(initial=-1)) + 1
        self._drawn = np.concatenate([self._drawn, np.array(sequences, dtype=np.int64)])
        self._chance = np.concatenate([self._chance, self._pending[: len(sequences)]])
        self._values = np.concatenate([self._values, values])
        self._rounds = np.concatenate([self._rounds, np.full(len(sequences), number)])
        self.effects = _effects(self._drawn, self._values, self._rounds, self.logits.shape)
        entropy = ENTROPY[0] * (ENTROPY[1] / ENTROPY[0]) ** spent
        for _ in range(PASSES):
            gradient = self._gradient(entropy)
            self.logits += RATE * 0.5 * (gradient + gradient.mean(axis=0))

    def _gradient(self, entropy: float) -> np.ndarray:
        """Of expected reward and entropy by the logits, over all rounds: float [length, edits]."""
        length, edits = self.logits.shape
        expected = self.effects[np.arange(length), self._drawn]
        rest = self._values - expected.sum(axis=1)
        rest -= (np.bincount(self._rounds, rest) / np.bincount(self._rounds))[self._rounds]
        gradient = np.zeros((length, edits))
        for step, chances in enumerate(_softmax(self.logits)):
            picks = self._drawn[:, step]
            weights = np.minimum(chances[picks] / self._chance[:, step], TRUNCATE)
            weights /= weights.sum()
            advantage = -(expected[:, step] + rest)
            advantage -= weights @ advantage
            score = np.bincount(picks, weights * advantage, edits) - chances * (weights @ advantage)
            surprise = np.log(chances)
            gradient[step] = score - entropy * chances * (surprise - chances @ surprise)
        return gradient

    def best(self, count: int) -> list[tuple[Edits, float]]:
        """The sequences that the policy prefers, trimmed, with their value above the first's."""
        chances = _softmax(self.logits)
        value = ENTROPY[1] * (np.log(chances.max(axis=1, keepdims=True)) - np.log(chances))
        beam: list[tuple[float, Edits]] = [(0.0, ())]
        for row in value:
            longer = [(total + float(row[e]), (*edits, e)) for total, edits in beam for e in range(len(row))]
            beam = sorted(longer)[: 8 * count + 8]
        ranked: dict[Edits, float] = {}
        for total, edits in beam:
            if trimmed(edits):
                ranked.setdefault(trimmed(edits), total)
        return list(ranked.items())[:count]

    def expected(self, sequence: Sequence[int]) -> float:
        """Value of a full sequence by the policy, on the scale of ``best``."""
        chances = _softmax(self.logits)
        own = chances[np.arange(len(chances)), list(sequence)]
        return float(ENTROPY[1] * (np.log(chances.max(axis=1)) - np.log(own)).sum())


def learned_search(
    trials: Trials, edits: int, length: int, generator: np.random.Generator, *, together: int = 8
) -> list[Edits]:
    """Trains a policy on 60 % of the queries; the rest is a race of what it prefers.

    Args:
        together: Sequences of a round, all scored on one picture.
    """
    policy, start = EditPolicy(edits, length), trials.left
    explore = int(EXPLORING * start)
    drawn: list[Edits] = []
    while start - trials.left + together <= explore:
        sequences = policy.sample(together, generator)
        values = trials.round([trimmed(sequence) for sequence in sequences])
        policy.learn(sequences, values, (start - trials.left) / explore)
        drawn += sequences
    prior = {trimmed(sequence): policy.expected(sequence) for sequence in reversed(drawn)}
    prior |= dict(policy.best(50))
    mean = trials.posterior(prior) if trials.records else {}
    ranked = sorted((s for s in prior if s), key=lambda s: mean.get(s, prior[s]))
    return race(trials, ranked[:CANDIDATES], prior) + ranked[CANDIDATES:]


def _effects(drawn: np.ndarray, values: np.ndarray, rounds: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What every edit adds in every step, float [length, edits]: ridge regression within rounds."""
    length, edits = shape
    one = np.eye(edits)[drawn]
    table = np.concatenate([one.sum(axis=1), one.reshape(len(drawn), -1)], axis=1)
    member = np.eye(int(rounds.max()) + 1)[rounds]
    size = member.sum(axis=0)
    table = table - member @ ((member.T @ table) / size[:, None])
    target = values - member @ ((member.T @ values) / size)
    scaled = table / np.repeat(RIDGE, [edits, length * edits])
    weights = scaled.T @ np.linalg.solve(scaled @ table.T + np.eye(len(table)), target)
    return np.asarray(weights[:edits] + weights[edits:].reshape(length, edits))


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True)).clip(1e-12)
