"""Payload coding: round trips, the correction the code promises, and what it refuses."""

from __future__ import annotations

import bchlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark.provenance.watermark import coding


@given(st.binary(min_size=8, max_size=8))
@settings(max_examples=50, deadline=None)
def test_every_payload_comes_back(payload: bytes) -> None:
    decoded = coding.decode(np.where(coding.encode(payload), 1.0, -1.0))
    assert decoded.payload == payload
    assert decoded.errors == 0


@given(st.binary(min_size=8, max_size=8), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_twenty_six_errors_are_corrected(payload: bytes, seed: int) -> None:
    random = np.random.default_rng(seed)
    soft = np.where(coding.encode(payload), 1.0, -1.0) * random.uniform(0.5, 1.5, coding.CODE_BITS)
    soft[random.permutation(coding.CODE_BITS)[: coding.CORRECTABLE]] *= -1
    decoded = coding.decode(soft)
    assert decoded.payload == payload
    assert decoded.errors == coding.CORRECTABLE


def test_soft_decoding_goes_beyond_the_bounded_distance() -> None:
    random = np.random.default_rng(0)
    bits = coding.encode(b"distance")
    right = 0
    for _ in range(20):
        soft = np.where(bits, 1.0, -1.0) + 0.9 * random.standard_normal(coding.CODE_BITS)
        assert np.count_nonzero((soft > 0) != bits) > 18
        right += coding.decode(soft).payload == b"distance"
    assert right >= 16


def test_the_generator_agrees_with_the_library() -> None:
    code = bchlib.BCH(coding.CORRECTABLE, m=8)
    matrix = coding.generator()
    assert matrix.shape == (coding.INFO_BITS, coding.CODE_BITS)
    random = np.random.default_rng(3)
    information = random.integers(0, 2, coding.INFO_BITS).astype(np.uint8)
    data = np.packbits(information).tobytes()
    parity = np.unpackbits(np.frombuffer(bytes(code.encode(data)), np.uint8))[:168]
    assert np.array_equal(information @ matrix & 1, np.concatenate([information, parity]))


def test_fair_coins_carry_no_payload() -> None:
    random = np.random.default_rng(1)
    assert all(coding.decode(random.standard_normal(248)).payload is None for _ in range(60))


@pytest.mark.parametrize("value", [0.0, np.inf, 1e300])
def test_odd_soft_values_do_no_harm(value: float) -> None:
    assert -1 <= coding.decode(np.full(coding.CODE_BITS, value)).score <= 1
