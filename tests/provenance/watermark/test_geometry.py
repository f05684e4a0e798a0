"""The search's arithmetic against the plain way of computing the same."""

from __future__ import annotations

import time

import numpy as np
import pytest
import scipy.fft
from scipy.stats import hypergeom

from countermark.provenance.watermark import geometry, public_marks
from countermark.provenance.watermark.layout import layout_for
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
