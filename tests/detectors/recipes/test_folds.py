import numpy as np
import pytest

from countermark.core.seeds import rng
from countermark.core.stats import auroc
from countermark.detectors.fitting.heads import fit_logistic
from countermark.detectors.recipes.figures import figures, held_out_figures, mean_figures
from countermark.detectors.recipes.folds import HeldOut, nested_scores, picked, source_folds


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = rng(3)
    labels = np.repeat([0, 1], 300)
    sources = np.array([f"{y}-{i % 6}" for i, y in enumerate(labels)])
    shift = {name: generator.normal(size=5) for name in np.unique(sources)}
    x = generator.normal(size=(600, 5)) + 0.5 * np.stack([shift[s] for s in sources])
    x[:, 0] += 2.5 * labels
    return x.astype(np.float32), labels, sources


def test_a_source_is_in_one_fold(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    _, labels, sources = data
    for seed in (0, 1):
        folds = source_folds(labels, sources, 3, seed)
        assert set(folds) == {0, 1, 2}
        assert all(len(set(folds[sources == name])) == 1 for name in np.unique(sources))


def test_neither_head_nor_calibrator_meets_the_source(
    data: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    x, labels, sources = data
    folds = source_folds(labels, sources, 3)
    calls = []

    def fit_and_score(mask: np.ndarray, scored: np.ndarray) -> np.ndarray:
        assert not (mask & scored).any()
        assert not set(folds[mask]) & set(folds[scored])
        calls.append(tuple(sorted(set(folds[scored]))))
        weight, bias = fit_logistic(x[mask], labels[mask], np.ones(mask.sum()))
        return x[scored] @ weight + bias

    found = nested_scores(fit_and_score, labels, sources, sources, folds, max_fpr=0.1)
    assert sorted(calls) == [(0,), (0, 1), (0, 2), (1,), (1, 2), (2,)]
    assert auroc(labels, found.logits) > 0.85
    assert all(len(set(found.likely[folds == f])) == 1 for f in range(3))
    half = {"half": np.arange(600) % 2 == 0, "none": labels == 2}
    whole = held_out_figures(labels, sources, sources, np.full(600, "native"), found, half)
    assert whole["native"]["only_none"] == {"images": 0}
    own = whole["native"]["only_half"]
    assert own["auroc"] == round(auroc(labels[::2], found.logits[::2]), 3) and own["images"] == 300
    assert whole["native"]["images"] == 600 and whole["native"]["ece"] < 0.2
    assert set(whole["native"]["fpr_at_default_by_source"]) == {f"0-{i}" for i in range(6)}


def test_a_row_is_picked_from_its_dealing_and_figures_are_means() -> None:
    parts = [HeldOut(np.full(4, v), np.full(4, v + 1), np.full(4, v + 2)) for v in (0.0, 10.0)]
    found = picked(parts, np.array([0, 1, 1, 0]))
    assert found.logits.tolist() == [0, 10, 10, 0] and found.likely.tolist() == [2, 12, 12, 2]
    assert found.probabilities.tolist() == [1, 11, 11, 1]
    one = {"note": "n", "native": {"images": 7, "auroc": 0.8, "by": {"a": 0.1}, "auroc_interval": [0.7, 0.9]}}
    two = {"note": "n", "native": {"images": 7, "auroc": 0.6, "by": {"a": 0.3}, "auroc_interval": [0.5, 0.7]}}
    mean = mean_figures([one, two])["native"]
    assert mean["auroc"] == 0.7 and mean["auroc_by_dealing"] == [0.8, 0.6] and mean["images"] == 7
    assert mean["by"]["a"] == pytest.approx(0.2) and mean["auroc_interval"] == [0.6, 0.8]
    assert mean_figures([one]) == one


def test_scores_without_information_give_chance() -> None:
    labels, scores = np.arange(400) % 2, rng(1).random(400)
    found = figures(labels, scores, np.ones(400), np.array([f"{i % 8}" for i in range(400)]))
    assert abs(found["auroc"] - 0.5) < 0.1 and found["tpr_at_default"] == 0
    assert found["ece"] > 0.15


def test_logistic_regression_agrees_with_scikit_learn(
    data: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    from sklearn.linear_model import LogisticRegression

    x, labels, _ = data
    weights = np.where(labels == 1, 1.5, 0.5)
    weight, bias = fit_logistic(x, labels, weights, C=0.05, iterations=500)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    model = LogisticRegression(C=0.05, tol=1e-8).fit((x - mean) / scale, labels, sample_weight=weights)
    expected = model.decision_function((x - mean) / scale)
    assert np.abs(x @ weight + bias - expected).max() < 0.02
