"""Heads with squares against the kernel machine they are cut from, and against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC

from countermark.core.errors import TrainingError, WeightsError
from countermark.detectors.fitting.quadratic import QuadraticHeads, fit_quadratic
from countermark.detectors.scoring.heads import Head


def rings(count: int, seed: int, dimensions: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Classes that no linear rule tells apart: the size of the first coordinate, not its sign."""
    x = np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)
    return x, (np.abs(x[:, 0]) > 0.7).astype(float)


def test_squares_find_what_no_line_finds_and_agree_with_another_kernel_machine() -> None:
    x, y = rings(400, 1)
    other, truth = rings(300, 2)
    head = fit_quadratic(x, y, np.ones(400), C=3.0, rank=11)
    u = (x - x.mean(0)) / x.std(0)
    v = (other - x.mean(0)) / x.std(0)
    u, v = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (u, v))
    reference = SVC(kernel=lambda a, b: (1 + a @ b.T) ** 2, C=10).fit(u, y).decision_function(v)
    own = head.logits(other)
    assert roc_auc_score(truth, own) > 0.9 and np.corrcoef(own, reference)[0, 1] > 0.9


@pytest.mark.parametrize("piece", [0, 6, 4])
def test_the_head_is_the_kernel_machine_when_every_direction_is_kept(piece: int) -> None:
    x, y = rings(200, 3)
    heads = QuadraticHeads(x.copy(), piece=piece)
    fitted = np.arange(200) < 150
    kernel = heads.fit_and_score(fitted, y, np.ones(200), ~fitted, C=1.0, iterations=60)
    head = heads.head(fitted, y, np.ones(200), C=1.0, iterations=60, rank=11)
    assert np.allclose(head.logits(x[~fitted]), kernel, atol=0.15 * np.abs(kernel).max())
    assert np.corrcoef(head.logits(x[~fitted]), kernel)[0, 1] > 0.99


def test_pieces_count_alike_however_large_their_numbers_are() -> None:
    x, y = rings(200, 6)
    moved = np.concatenate([7 * x[:, :6] + 3, x[:, 6:]], axis=1)
    heads = [fit_quadratic(part, y, np.ones(200), piece=6, rank=8) for part in (x, moved)]
    assert np.allclose(heads[0].on_sphere(x), heads[1].on_sphere(moved), atol=1e-4)
    assert np.allclose(np.linalg.norm(heads[0].on_sphere(x), axis=2), 1, atol=1e-5)
    assert heads[0].directions.shape == (2, 5, 6)


@pytest.mark.parametrize("piece", [0, 6, 4])
def test_slopes_are_the_gradient_of_the_logits(piece: int) -> None:
    x, y = rings(200, 4)
    head = fit_quadratic(x, y, np.ones(200), rank=6, piece=piece)
    slope, step = head.slopes(x[:3]), 1e-2
    for place in range(x.shape[1]):
        moved = np.zeros(x.shape[1], np.float32)
        moved[place] = step
        change = (head.logits(x[:3] + moved) - head.logits(x[:3] - moved)) / (2 * step)
        assert np.allclose(slope[:, place], change, atol=2e-3 + 0.02 * np.abs(change).max())


def test_a_head_survives_its_arrays_and_refuses_others() -> None:
    x, y = rings(100, 5)
    head = fit_quadratic(x, y, np.ones(100), rank=4)
    again = Head.restore(head.state(), 12)
    assert np.array_equal(again.logits(x), head.logits(x)) and again.directions.dtype == np.int8
    pieces = fit_quadratic(x, y, np.ones(100), rank=4, piece=4)
    again = Head.restore(pieces.state(), 12)
    assert again.piece == 4 and np.array_equal(again.logits(x), pieces.logits(x))
    older = head.state() | {
        name: head.state()[name][0] for name in ("head.directions", "head.steps", "head.strength")
    }
    assert np.array_equal(Head.restore(older, 12).logits(x), head.logits(x))
    plain = Head.restore(Head.plain(np.arange(12.0), 1.0).state(), 12)
    assert np.allclose(plain.logits(x), x @ np.arange(12) + 1, atol=1e-3)
    assert np.allclose(plain.slopes(x), np.arange(12))
    wrongs: list[dict[str, np.ndarray]] = [{}, head.state() | {"head.steps": np.ones(3, np.float32)}]
    wrongs += [head.state() | {"head.piece": np.array(piece)} for piece in (5, 1, -4, [4, 4])]
    for wrong in wrongs:
        with pytest.raises(WeightsError):
            Head.restore(wrong, 12)
    with pytest.raises(WeightsError):
        Head.restore(head.state(), 13)


def test_rows_of_any_layout_give_the_same_products() -> None:
    x, _ = rings(40, 7)
    plain = QuadraticHeads(x.copy(), piece=4).products
    assert np.allclose(QuadraticHeads(np.asfortranarray(x), piece=4).products, plain, atol=1e-4)


def test_too_many_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("countermark.detectors.fitting.quadratic.MOST_ROWS", 5)
    with pytest.raises(TrainingError):
        QuadraticHeads(np.zeros((6, 2), np.float32))
