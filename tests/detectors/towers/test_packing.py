import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark.core.errors import WeightsError
from countermark.detectors.towers.packing import (
    PackedState,
    from_planes,
    pack,
    pack_state,
    plane_bytes,
    to_planes,
    unpack,
)


def normal(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@given(bits=st.integers(2, 8), count=st.integers(1, 70), seed=st.integers(0, 99))
def test_codes_come_back_from_planes_without_gaps(bits: int, count: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 2**bits, count).astype(np.uint8)
    data = to_planes(codes, bits)
    assert len(data) == plane_bytes(count, bits)
    assert np.array_equal(from_planes(data, count, bits), codes)
    assert plane_bytes(64, bits) == 8 * bits


@settings(max_examples=30, deadline=None)
@given(bits=st.integers(2, 8), rows=st.integers(1, 9), groups=st.integers(1, 3), seed=st.integers(0, 999))
def test_restored_weights_are_within_a_step(bits: int, rows: int, groups: int, seed: int) -> None:
    weight = normal((rows, 32 * groups), seed)
    packed = pack(weight, bits=bits, group=32)
    restored = unpack(packed, weight.shape, bits=bits, group=32)
    step = np.abs(weight).max() / (2 ** (bits - 1) - 1)
    assert np.sqrt(np.square(restored - weight).mean()) <= step


def test_restored_weights_are_codes_times_their_group_s_scale() -> None:
    weight = normal((5, 128))
    packed = pack(weight, bits=5, group=64)
    codes = from_planes(packed["codes"], weight.size, 5).reshape(128, 5).astype(np.float32) - 15
    scales = np.repeat(packed["scales"].astype(np.float32), 64, axis=0)
    assert np.array_equal(unpack(packed, (5, 128), bits=5, group=64), (codes * scales).T)


def test_eight_bits_are_nearly_exact_and_more_bits_are_better() -> None:
    weight = normal((64, 256), 1)
    errors = [
        float(np.abs(unpack(pack(weight, bits=b, group=64), (64, 256), bits=b, group=64) - weight).mean())
        for b in (3, 4, 6, 8)
    ]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.01


def test_states_keep_small_tensors_and_shapes() -> None:
    state = {"big": normal((64, 128)), "bias": normal((64,), 1)}
    restored = PackedState(*pack_state(state, bits=8, group=64))
    assert {k: v.shape for k, v in restored.items()} == {k: v.shape for k, v in state.items()}
    assert np.allclose(restored["bias"], state["bias"], atol=2e-3)


def test_packed_weights_that_do_not_fit_are_refused() -> None:
    packed = pack(np.ones((4, 64), np.float32), bits=6, group=64)
    plan = {"layout": "planes", "bits": 6, "group": 64, "shapes": {"a": [4, 64]}}
    with pytest.raises(WeightsError):
        unpack(packed, (5, 64), bits=6, group=64)
    with pytest.raises(WeightsError):
        unpack({**packed, "codes": packed["codes"][:-1]}, (4, 64), bits=6, group=64)
    with pytest.raises(WeightsError):
        PackedState({}, plan)["a"]
    with pytest.raises(WeightsError, match="layout"):
        PackedState({}, {"bits": 6, "group": 64, "shapes": {"a": [4, 64]}})
    with pytest.raises(WeightsError):
        pack(np.ones((4, 63), np.float32), bits=6, group=64)
