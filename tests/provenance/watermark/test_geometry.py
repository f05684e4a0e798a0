"""The search's arithmetic against the plain way of computing the same."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
import scipy.fft
from scipy.stats import hypergeom

from countermark.provenance.watermark import geometry, perception, public_marks
from countermark.provenance.watermark.layout import TILE, Layout, layout_for
from countermark.provenance.watermark.reading import Clock


def test_sums_over_positions_are_those_of_a_fourier_transform() -> None:
    random = np.random.default_rng(0)
    values = (random.standard_normal((5, 48)) + 1j * random.standard_normal((5, 48))).astype(np.complex64)
    pilots = layout_for(None).pilots
    sparse = np.zeros((5, 48, 25), np.complex64)
    sparse[:, pilots[:, 0], pilots[:, 1]] = values
    wanted = scipy.fft.irfft2(sparse, s=(48, 48), axes=(1, 2)).max(axis=(1, 2)) * 48 * 48 / 2
    cosines, sines = geometry._waves()
    found = (values.real @ cosines + np.abs(values.imag @ sines)).max(axis=1)
    assert np.allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("least", [1, 7, 11, 97, 453, 905, 1281, 1537, 2049])
def test_lengths_are_those_of_scipy(least: int) -> None:
    assert geometry.fast_length(least) == scipy.fft.next_fast_len(least, real=True)


@pytest.mark.parametrize("of_numpy", [0, 10**9])
@pytest.mark.parametrize("shape", [(170, 260), (260, 170)])
def test_a_plane_is_that_of_the_whole_spectrum(
    shape: tuple[int, int], of_numpy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(geometry, "TRANSFORMS_OF_NUMPY", of_numpy)
    base = np.random.default_rng(3).uniform(0, 255, shape).astype(np.float32)
    width = float(np.sqrt(base.size))
    plane = geometry.prepare(base, width)

    size, middle = plane.size, plane.power.shape[0] // 2
    order = np.arange(-middle, middle + 1)
    spectrum = np.fft.fft2(perception.normalise(base).astype(np.float64), (size, size))[np.ix_(order, order)]
    turns = (np.exp(2j * np.pi / size * (n // 2) * order) for n in shape)
    spectrum *= np.outer(*turns)
    side = int(geometry.NEIGHBOURHOOD * size / TILE) | 1
    power = np.abs(spectrum).astype(np.float32) ** 2
    level = cv2.blur(power, (side, side), borderType=cv2.BORDER_REFLECT_101)
    level = cv2.blur(np.minimum(power, 4 * level), (side, side), borderType=cv2.BORDER_REFLECT_101)
    assert np.allclose(plane.values, spectrum / np.sqrt(level), atol=2e-3)
    assert np.allclose(plane.power, np.minimum(power / level, geometry.LOUDEST), atol=2e-3)


def test_the_stretched_are_ranked_by_the_power_at_their_pilots() -> None:
    base = np.random.default_rng(4).uniform(0, 255, (200, 240)).astype(np.float32)
    plane = geometry.prepare(base, 219.0)
    _, frequencies = geometry._stretched_lattices((1.05, 0.95))
    places = geometry._places(plane, frequencies)
    wanted = np.sort(cv2.remap(plane.power, *places, cv2.INTER_LINEAR).sum(axis=1))[-geometry.STRETCHED :]
    seen: list[np.ndarray] = []

    def watched(plane: geometry.SearchPlane, chosen: np.ndarray, layout: Layout) -> list[geometry.Candidate]:
        seen.append(chosen)
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geometry, "_best", watched)
        geometry.stretched(plane, (1.05, 0.95), layout_for(None))
    places = geometry._places(plane, geometry._frequencies(seen[0]))
    found = cv2.remap(plane.power, *places, cv2.INTER_LINEAR).sum(axis=1)
    assert np.allclose(found, wanted[::-1], rtol=1e-5)


def test_a_chance_agreement_is_hypergeometric() -> None:
    random = np.random.default_rng(1)
    for message in public_marks._MESSAGES.values():
        for share in (0.0, 0.1, 0.5, 1.0):
            bits = random.random(len(message)) < share
            both = int(np.count_nonzero(bits & message))
            wanted = hypergeom.sf(both - 1, len(message), int(message.sum()), int(bits.sum()))
            assert public_marks._chance(bits, message) == pytest.approx(float(wanted), rel=1e-9)
        assert 0 < public_marks._chance(message, message) < 1e-8


def test_a_search_s_budget_is_not_spent_by_waiting() -> None:
    clock = Clock(0.02)
    time.sleep(0.05)
    assert not clock.out()
    assert Clock(-1.0).out() and not Clock(None).out()
