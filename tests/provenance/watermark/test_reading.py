"""The search: geometry it reports, p-values it may claim, budgets it keeps, maps it draws."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.stats import kstest

from countermark.core.perturb import perturb
from countermark.provenance import watermark
from countermark.provenance.watermark import coding, significance

PAYLOAD = bytes.fromhex("5a313233343500ff")


@pytest.mark.parametrize(
    ("spec", "rotation", "flipped", "aspect"),
    [("rotate:7", 7, False, 1.0), ("rotate:90", 90, False, 1.0), ("stretch:1.05", 0, False, 1.05)],
)
def test_the_geometry_found_is_the_geometry_applied(
    marked: np.ndarray, spec: str, rotation: float, flipped: bool, aspect: float
) -> None:
    reading = watermark.read(perturb(spec, marked), time_budget=None)
    assert reading.payload == PAYLOAD
    assert reading.geometry is not None
    assert abs((reading.geometry.rotation - rotation + 180) % 360 - 180) < 0.3
    assert reading.geometry.flipped == flipped
    assert reading.geometry.aspect == pytest.approx(aspect, rel=0.01)


def test_a_flip_is_reported(marked: np.ndarray) -> None:
    reading = watermark.read(perturb("flip", marked), time_budget=None)
    assert reading.payload == PAYLOAD
    assert reading.geometry is not None and reading.geometry.flipped


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_a_strange_frame_is_rectified(marked: np.ndarray, seed: int) -> None:
    spec = "rotate:3+crop:0.75+resize:0.7+jpeg:60"
    attacked = perturb(spec, marked, np.random.default_rng(seed))
    assert watermark.read(attacked, time_budget=None).payload == PAYLOAD


@pytest.mark.parametrize("spec", ["rotate:90", "rotate:180", "rotate:270", "flip", "flip+rotate:90"])
def test_quarter_turns_need_no_search(marked: np.ndarray, spec: str) -> None:
    reading = watermark.read(perturb(spec, marked), search=False, confidence=True)
    assert reading.payload == PAYLOAD
    assert reading.confidence is not None and reading.confidence.mean() > 0.8


def test_unmarked_pictures_are_hardly_decoded(photograph: np.ndarray, flower: np.ndarray) -> None:
    for picture in (photograph, flower):
        reading = watermark.read(picture, time_budget=None)
        assert reading.payload is None and reading.searched == "full"
        assert reading.attempts <= 4


def test_long_pictures_are_searched_too(photograph: np.ndarray) -> None:
    strip = np.concatenate([photograph[:240]] * 3, axis=1)
    done = watermark.embed(strip, PAYLOAD)
    assert watermark.read(perturb("rotate:2", done), time_budget=None).payload == PAYLOAD


def test_no_time_means_no_search(marked: np.ndarray) -> None:
    reading = watermark.read(perturb("rotate:20", marked), time_budget=0.0)
    assert reading.payload is None
    assert reading.searched == "stopped"


def test_the_map_shows_what_was_pasted_in(marked: np.ndarray, flower: np.ndarray) -> None:
    pasted = marked.copy()
    pasted[:, 384:] = flower[:, 384:]
    reading = watermark.read(pasted, search=False, confidence=True)
    assert reading.payload == PAYLOAD
    assert reading.confidence is not None
    assert reading.confidence.shape == (7, 10)
    assert reading.confidence[:, :5].mean() > reading.confidence[:, 7:].mean() + 0.3
    assert watermark.read(marked, search=False).confidence is None


def test_p_values_of_fair_coins_are_uniform() -> None:
    values = [significance.p_value(s, attempts=1, valid=False) for s in significance.simulate_null(600, 5)]
    assert kstest(values, "uniform").pvalue > 1e-3


def test_p_values_of_unmarked_crops_are_uniform(photograph: np.ndarray, flower: np.ndarray) -> None:
    random = np.random.default_rng(8)
    values = []
    for index in range(150):
        source = (photograph, flower)[index % 2]
        y, x = int(random.integers(427 - 220)), int(random.integers(640 - 260))
        values.append(watermark.read(source[y : y + 220, x : x + 260], search=False).p_value)
    # Crops of two pictures overlap: far from independent, hence the loose bound.
    assert kstest(values, "uniform").statistic < 0.16
    assert min(values) > 1e-5


def test_the_bound_holds_for_one_codeword() -> None:
    random = np.random.default_rng(2)
    weights = coding.weights()
    norm = np.sqrt(coding.CODE_BITS * (weights**2).sum())
    scores = (random.choice([-1.0, 1.0], (40_000, coding.CODE_BITS)) @ weights) / norm
    for score in (0.1, 0.15, 0.2, 0.25):
        assert np.mean(scores >= score) <= np.exp(significance.log_bound(score))


def test_more_attempts_make_a_match_less_surprising() -> None:
    one, many = (significance.p_value(0.8, attempts=n, valid=True) for n in (1, 40))
    assert one < many <= 40 * one * 1.0001
    assert significance.p_value(0.8, attempts=1, valid=False) > one


@pytest.mark.parametrize("kind", ["gradient", "stripes", "checks", "noise", "blank"])
def test_patterns_are_no_marks(kind: str) -> None:
    y, x = np.mgrid[:320, :320]
    plane = {
        "gradient": (x + y) * 255 / 640,
        "stripes": 127 + 90 * np.sin(2 * np.pi * x / 16),
        "checks": 255.0 * ((x // 16 + y // 16) % 2),
        "noise": np.random.default_rng(0).uniform(0, 255, (320, 320)),
        "blank": np.full((320, 320), 200.0),
    }[kind].astype(np.uint8)
    reading = watermark.read(cv2.cvtColor(plane, cv2.COLOR_GRAY2RGB), time_budget=None)
    assert reading.payload is None
    assert reading.p_value > 1e-5
