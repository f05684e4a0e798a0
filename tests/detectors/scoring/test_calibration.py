import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from countermark.core.errors import ConfigError, TrainingError
from countermark.core.seeds import rng
from countermark.core.stats import expected_calibration_error
from countermark.detectors.scoring.calibration import (
    KINDS,
    Calibrator,
    balanced_weights,
    fit_calibrator,
    logit,
)
from countermark.detectors.scoring.thresholds import WORKING_POINTS, ThresholdTable


def _overconfident(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = rng(seed)
    logits = generator.normal(0, 2, count)
    labels = (generator.random(count) < 1 / (1 + np.exp(-logits))).astype(int)
    return logits * 4 + 1, labels


@pytest.mark.parametrize("kind", KINDS)
def test_calibration_repairs_overconfidence_on_other_data(kind: str) -> None:
    calibrator = fit_calibrator(kind, *_overconfident(4000, 1))
    logits, labels = _overconfident(4000, 2)
    raw = expected_calibration_error(labels, 1 / (1 + np.exp(-logits)))
    repaired = expected_calibration_error(labels, calibrator(logits))
    assert raw > 0.1 and repaired < 0.04


@pytest.mark.parametrize("kind", KINDS)
def test_calibrators_are_monotone_bounded_and_survive_json(kind: str) -> None:
    calibrator = fit_calibrator(kind, *_overconfident(500, 3))
    grid = np.linspace(-1e6, 1e6, 4001)
    scores = calibrator(grid)
    assert np.all(np.diff(scores) >= 0) and scores.min() > 0 and scores.max() < 1
    again = Calibrator.from_config(json.loads(json.dumps(calibrator.to_config())))
    assert np.array_equal(again(grid), scores)


def test_platt_agrees_with_scikit_learn() -> None:
    logits, labels = _overconfident(800, 4)
    reference = LogisticRegression(C=1e4).fit(logits[:, None], labels).predict_proba(logits[:, None])[:, 1]
    assert np.allclose(fit_calibrator("platt", logits, labels)(logits), np.clip(reference, 1e-4, 1 - 1e-4))


@pytest.mark.parametrize(
    "config",
    [
        {"kind": "platt", "values": [-1.0, 0.0]},
        {"kind": "platt", "values": [1.0]},
        {"kind": "beta", "values": [1.0, -0.1, 0.0]},
        {"kind": "isotonic", "values": [0.9, 0.1], "knots": [0, 1]},
        {"kind": "isotonic", "values": [0.1, 0.9], "knots": [1, 1]},
        {"kind": "isotonic", "values": [], "knots": []},
        {"kind": "forest", "values": [1.0, 2.0]},
        {"kind": "platt", "values": [float("nan"), 0.0]},
        {"values": [1.0, 2.0]},
        {"kind": "platt", "values": "ab"},
    ],
)
def test_calibrators_that_are_not_monotone_are_refused(config: dict) -> None:
    with pytest.raises(ConfigError):
        Calibrator.from_config(config)


def test_one_class_cannot_be_calibrated() -> None:
    with pytest.raises(TrainingError):
        fit_calibrator("platt", np.arange(5.0), np.zeros(5))


def test_balanced_weights_make_classes_and_groups_count_alike() -> None:
    labels = np.array([0] * 90 + [0] * 10 + [1] * 20)
    groups = np.array(["a"] * 90 + ["b"] * 10 + ["c"] * 20)
    weights = balanced_weights(labels, groups)
    assert np.isclose(weights[labels == 0].sum(), weights[labels == 1].sum())
    assert np.isclose(weights[groups == "a"].sum(), weights[groups == "b"].sum())


@settings(max_examples=50, deadline=None)
@given(
    scores=st.lists(st.floats(0, 1), min_size=1, max_size=200),
    rates=st.tuples(st.floats(0.001, 0.5), st.floats(0.001, 0.5)),
)
def test_thresholds_keep_their_promise_and_are_monotone(
    scores: list[float], rates: tuple[float, float]
) -> None:
    table = ThresholdTable.fit(scores, ["one"] * len(scores))
    low, high = (table.thresholds(rate) for rate in sorted(rates))
    assert low.likely >= high.likely and low.unsure <= low.likely
    stored = np.asarray(table.scores)
    assert np.mean(stored >= low.likely) <= min(rates) + 1e-9


def test_the_abstain_band_begins_where_a_tenth_of_the_real_images_score() -> None:
    scores = np.linspace(0, 1, 1001)
    table = ThresholdTable.fit(scores, ["one"] * len(scores))
    found = table.thresholds(0.01)
    assert found.likely > 0.98 and 0.89 < found.unsure < 0.91
    assert np.isclose(table.thresholds(0.001).unsure, 0.99, atol=0.002)
    wide = table.thresholds(0.3)
    assert np.isclose(wide.unsure, wide.likely)


def test_every_source_counts_alike_and_no_kind_is_sacrificed() -> None:
    scores = [0.1] * 1000 + [0.9] * 30 + [0.1] * 70
    one_each = ["camera"] * 1000 + ["painter"] * 100
    assert ThresholdTable.fit(scores, one_each).thresholds(0.03).likely > 0.9  # 15 % of even sources
    assert ThresholdTable.fit(scores, ["all"] * 1100).thresholds(0.03).likely < 0.9
    sources = [f"camera {n % 50}" for n in range(1000)] + [f"painter {n % 5}" for n in range(100)]
    kinds = ["photograph"] * 1000 + ["painting"] * 100
    assert ThresholdTable.fit(scores, sources).thresholds(0.03).likely < 0.9
    assert ThresholdTable.fit(scores, sources, kinds).thresholds(0.03).likely > 0.9
    few = [*sources[:1000], *["painter"] * 100]  # one painter alone decides for nobody
    assert ThresholdTable.fit(scores, few, kinds).thresholds(0.03).likely < 0.9


def test_rates_have_an_interval_for_all_and_for_every_kind() -> None:
    table = ThresholdTable.fit(
        [0.1] * 300 + [0.9, 0.1], ["a"] * 300 + ["b"] * 2, ["photograph"] * 300 + ["render"] * 2
    )
    found = table.rates(0.5)
    assert found["photograph"].value == 0 and 0 < found["photograph"].high < 0.02
    assert found["render"].value == 0.5 and found["render"].high > 0.95 and set(found) > {"all"}
    assert list(WORKING_POINTS.values()) == sorted(WORKING_POINTS.values())


def test_a_rate_below_what_the_images_show_is_noted() -> None:
    table = ThresholdTable.fit(np.linspace(0, 1, 50), ["a"] * 50)
    assert "50 real images cannot show" in table.thresholds(0.001).note
    assert table.thresholds(0.001).likely > 1.0
    assert not table.thresholds(0.1).note


def test_tables_survive_json_and_arrays_and_refuse_nonsense() -> None:
    table = ThresholdTable.fit([0.2, 0.4, 0.1], ["a", "b", "a"], ["photograph", "", "photograph"])
    again = ThresholdTable.from_config(json.loads(json.dumps(table.to_config())))
    arrays = table.to_arrays()
    stored = ThresholdTable.from_arrays(arrays)
    assert again.thresholds(0.4) == table.thresholds(0.4) == stored.thresholds(0.4)
    assert stored == table and again.rates(0.1) == table.rates(0.1)
    for bad in ({}, {"groups": [{"source": "a", "kind": "", "scores": ["x"]}]}, {"groups": []}):
        with pytest.raises(ConfigError):
            ThresholdTable.from_config(bad)
    assert table.summary() == {"scores": 3, "counted_alike": 2, "kinds": {"photograph": 2}}
    for wrong in (b'[["a", ""]]', b"{", b"3", b"\xff"):
        with pytest.raises(ConfigError):
            ThresholdTable.from_arrays(arrays | {"thresholds.names": np.frombuffer(wrong, np.uint8)})
    with pytest.raises(ConfigError):
        ThresholdTable.from_arrays({})
    for rate in (0, -1, 0.6, float("nan")):
        with pytest.raises(ConfigError):
            table.thresholds(rate)


@pytest.mark.parametrize("kind", ["platt", "beta", "isotonic"])
def test_a_shifted_calibrator_moves_every_logit_alike(kind: str) -> None:
    logits = np.linspace(-3, 3, 200)
    labels = (rng(0, kind).random(200) < 1 / (1 + np.exp(-logits))).astype(int)
    calibrator = fit_calibrator(kind, logits, labels)
    inner = calibrator(logits)
    inside = (inner > 0.02) & (inner < 0.9)
    moved = logit(calibrator.shifted(0.7)(logits)) - logit(inner)
    tolerance = 0.2 if kind == "isotonic" else 1e-9  # between knots the probability is linear, not the logit
    assert np.abs(moved[inside] - 0.7).max() < tolerance
