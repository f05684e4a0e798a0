"""Perturbations: types, determinism, and the sizes that they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark.core.errors import ConfigError, UnknownNameError
from countermark.core.perturb import DELIVERIES, PERTURBATIONS, parse, perturb

PICTURE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", PERTURBATIONS.names())
@pytest.mark.parametrize("shape", [(64, 96, 3), (1, 1, 3), (3, 200, 3)])
def test_every_one_gives_rgb_and_leaves_its_input_alone(name: str, shape: tuple[int, ...]) -> None:
    before = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    kept = before.copy()
    after = perturb(name, before)
    assert after.dtype == np.uint8 and after.ndim == 3 and after.shape[2] == 3 and after.size
    assert np.array_equal(before, kept)


@pytest.mark.parametrize("name", ["noise:8", "crop:0.5"])
def test_random_ones_draw_from_the_generator_they_get(name: str) -> None:
    one = perturb(name, PICTURE, np.random.default_rng(5))
    assert np.array_equal(one, perturb(name, PICTURE, np.random.default_rng(5)))
    assert not np.array_equal(one, perturb(name, PICTURE, np.random.default_rng(6)))


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        ("resize:0.5", (32, 48)),
        ("shortside:32", (32, 48)),
        ("shortside:999", (64, 96)),
        ("rotate:90", (96, 64)),
        ("rotate:5", (64, 96)),
        ("roundtrip:0.3", (64, 96)),
        ("crop:0.25", (32, 48)),
        ("resize:0.5+rotate:90+jpeg:80", (48, 32)),
    ],
)
def test_sizes(spec: str, size: tuple[int, int]) -> None:
    assert perturb(spec, PICTURE).shape[:2] == size


def test_deliveries_are_specs() -> None:
    assert list(DELIVERIES) == ["native", "q96", "320q90", "q75"]
    assert np.array_equal(perturb(DELIVERIES["native"], PICTURE), PICTURE)
    for spec in DELIVERIES.values():
        assert parse(spec)


def test_turning_twice_is_turning_back() -> None:
    assert np.array_equal(perturb("flip+flip+rotate:90+rotate:270", PICTURE), PICTURE)


@pytest.mark.parametrize("spec", ["jpeg:high", "jpeg:nan", "noise:inf"])
def test_values_must_be_numbers(spec: str) -> None:
    with pytest.raises(ConfigError):
        perturb(spec, PICTURE)


def test_unknown_names_are_listed() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'jpeg'"):
        perturb("jpg:75", PICTURE)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(PERTURBATIONS.names()), st.floats(-100, 200), st.integers(1, 40), st.integers(1, 40))
def test_no_value_breaks_them(name: str, value: float, height: int, width: int) -> None:
    image = np.full((height, width, 3), 90, np.uint8)
    assert perturb(f"{name}:{value}", image).size
