"""The policy follows its gradient and beats random search; races spend all and compare within pictures."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.app.adversaries.hiding import Found, paired
from countermark.app.adversaries.learned import EditPolicy, learned_search
from countermark.app.adversaries.racing import Trials, race, random_search, trimmed
from countermark.app.adversaries.search import hidden

SEARCHES = {"random": random_search, "learned": learned_search}


class World:
    """Ten edits with additive effects, pictures with levels of their own, and noise."""

    def __init__(self, seed: int, noise: float = 0.3) -> None:
        self.random = np.random.default_rng(seed)
        self.effects = np.append(0, self.random.normal(0, 0.4, 9))
        self.levels = self.random.normal(0, 2, 12)
        self.noise = noise
        self.asked = 0

    def truth(self, sequence) -> float:
        return float(self.effects[list(sequence)].sum())

    def ask(self, sequences, picture: int) -> np.ndarray:
        self.asked += len(sequences)
        assert all(0 not in sequence for sequence in sequences)
        own = np.array([self.truth(s) for s in sequences])
        return self.levels[picture] + own + self.random.normal(0, self.noise, len(sequences))

    def trials(self, queries: int) -> Trials:
        return Trials(self.ask, pictures=12, queries=queries, generator=self.random)


def test_the_policy_beats_random_search_at_equal_queries() -> None:
    gained = []
    for seed in range(12):
        best = {}
        for kind, run in SEARCHES.items():
            world = World(seed)
            best[kind] = world.truth(run(world.trials(128), 10, 3, world.random)[0])
            assert world.asked == 128
        gained.append(best["random"] - best["learned"])
    assert np.mean(gained) > 2 * np.std(gained) / np.sqrt(len(gained)) > 0


@pytest.mark.parametrize("kind", SEARCHES)
@pytest.mark.parametrize(("queries", "edits", "length"), [(1, 3, 1), (7, 2, 1), (16, 10, 2), (50, 4, 1)])
def test_every_query_is_spent_and_none_is_no_answer(kind, queries, edits, length) -> None:
    world = World(1)
    ranked = SEARCHES[kind](world.trials(queries), edits, length, world.random)
    assert world.asked <= queries and (world.asked == queries or not ranked)
    assert () not in ranked and len(set(ranked)) == len(ranked)


def test_the_gradient_is_that_of_the_surrogate() -> None:
    random = np.random.default_rng(0)
    policy = EditPolicy(4, 2)
    policy.logits = random.normal(size=(2, 4))
    for _ in range(2):
        drawn = policy.sample(5, random)
        policy.learn(drawn, random.normal(size=5))
    start, drawn = policy.logits.copy(), policy._drawn
    expected = policy.effects[np.arange(2), drawn]
    rest = policy._values - expected.sum(axis=1)
    for number in (0, 1):
        rest[policy._rounds == number] -= rest[policy._rounds == number].mean()
    chances = np.exp(start) / np.exp(start).sum(axis=1, keepdims=True)
    weights = np.minimum(chances[np.arange(2), drawn] / policy._chance, 3)
    weights /= weights.sum(axis=0)
    advantage = -(expected + rest[:, None])
    advantage -= (weights * advantage).sum(axis=0)

    def surrogate(logits: np.ndarray) -> float:
        log = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return float((weights * advantage * log[np.arange(2), drawn]).sum() - 0.2 * (np.exp(log) * log).sum())

    numeric = np.zeros((2, 4))
    for place in np.ndindex(2, 4):
        step = np.zeros((2, 4))
        step[place] = 1e-5
        numeric[place] = (surrogate(start + step) - surrogate(start - step)) / 2e-5
    assert np.allclose(policy._gradient(0.2), numeric, atol=1e-6)


def test_the_policy_learns_what_hides() -> None:
    random = np.random.default_rng(0)
    policy = EditPolicy(6, 2)
    for number in range(8):
        drawn = policy.sample(6, random)
        assert len({trimmed(s) for s in drawn}) == 6
        policy.learn(drawn, np.array([-1.0 * (2 in s) for s in drawn]) + 5 * number, (number + 1) / 8)
    assert policy.probabilities()[:, 2].min() > 0.3 and np.allclose(policy.probabilities().sum(axis=1), 1)
    best = policy.best(3)
    assert 2 in best[0][0] and best[0][1] == 0 and best[0][1] <= best[1][1] <= best[2][1]
    assert policy.expected((2, 2)) < policy.expected((1, 3))


def test_what_a_picture_adds_is_taken_out() -> None:
    trials = Trials(lambda s, p: np.zeros(len(s)), pictures=1, queries=0, generator=np.random.default_rng(0))
    # (1,) looks lower only because the pictures on which it was tried are low.
    trials.records = [(0, (1,), -5.0), (0, (2,), -5.5), (1, (2,), 4.5), (1, (3,), 4.0)]
    trials._rounds = 2
    mean = trials.posterior()
    assert mean[(3,)] < mean[(2,)] < mean[(1,)]
    assert trials.posterior({(1,): -9.0})[(1,)] < trials.posterior({(1,): -9.0})[(3,)]


def test_a_race_ends_with_the_best() -> None:
    world = World(3, noise=0.1)
    names = [(edit,) for edit in range(1, 10)]
    ranked = race(world.trials(90), names)
    assert sorted(ranked) == names and world.asked == 90
    assert ranked[0] == min(names, key=world.truth)


def test_hidden_is_low_and_has_a_slope_everywhere() -> None:
    values = hidden(np.array([0.0, 0.01, 0.4, 0.5, 0.6, 0.99, 1.0]), 0.5)
    assert (np.diff(values) > 0).all() and values[3] == 0 and np.allclose(values, -values[::-1])


def test_searches_are_compared_on_the_same_images() -> None:
    clusters = np.repeat(["a", "b", "c", "d"], 5)
    random = np.random.default_rng(0)

    def one(scores: np.ndarray, held: np.ndarray) -> Found:
        return Found("x", held, scores, 30.0, ())

    halves = [random.permutation(20)[:10] for _ in range(4)]
    found = [one(random.uniform(size=10), held) for held in halves]
    same = paired({"random": found, "learned": found}, clusters, 0.5)
    assert same.value == 0 and same.low == -same.high < 0 and same.n == 40 and same.clusters == 4
    lower = [one(np.where(f.scores > 0.8, 0.0, f.scores), f.held) for f in found]
    better = paired({"random": found, "learned": lower}, clusters, 0.5)
    assert better.low <= better.value < 0 and better.low < better.high <= 0
