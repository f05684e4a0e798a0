import numpy as np
import pytest

from countermark.core.errors import TrainingError
from countermark.detectors.fitting import gram
from countermark.detectors.fitting.gram import GramHeads
from countermark.detectors.fitting.heads import fit_logistic


@pytest.mark.parametrize("C", [0.01, 0.3])
def test_the_same_logits_as_a_regression_on_the_features(C: float) -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(300, 500)).astype(np.float32) * generator.uniform(0.1, 3, 500)
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
    y = (x[:, :5].sum(axis=1) + generator.normal(size=300) > 0).astype(float)
    weights = generator.uniform(0.5, 1.5, 300)
    fitted, scored = np.arange(300) < 300, np.arange(300) % 3 == 0
    found = GramHeads(x.copy()).fit_and_score(fitted, y, weights, scored, C=C, iterations=200)
    w, b = fit_logistic(x, y, weights, C=C, iterations=200)
    assert np.allclose(found, (x @ w + b)[scored], atol=0.08)  # the bias is penalised here


def test_rows_that_were_not_fitted_say_nothing() -> None:
    generator = np.random.default_rng(2)
    x = generator.normal(size=(90, 40)).astype(np.float32)
    y = (x[:, 0] > 0).astype(float)
    heads, fitted = GramHeads(x), np.arange(90) < 60
    first = heads.fit_and_score(fitted, y, np.ones(90), ~fitted, C=0.1)
    y[60:] = 1 - y[60:]
    assert np.array_equal(first, heads.fit_and_score(fitted, y, np.ones(90), ~fitted, C=0.1))
    assert np.mean((first > 0) != (y[60:] > 0)) > 0.8


def test_too_many_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gram, "MOST_ROWS", 5)
    with pytest.raises(TrainingError, match="6 rows"):
        GramHeads(np.zeros((6, 2), np.float32))
