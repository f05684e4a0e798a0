import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark.core.errors import WeightsError
from countermark.detectors.towers.packing import pack, pack_state, unpack, unpack_state


@settings(max_examples=30, deadline=None)
@given(bits=st.integers(2, 8), rows=st.integers(1, 9), groups=st.integers(1, 3), seed=st.integers(0, 999))
def test_restored_weights_are_within_a_step(bits: int, rows: int, groups: int, seed: int) -> None:
    weight = torch.randn(rows, 32 * groups, generator=torch.Generator().manual_seed(seed))
    packed = pack(weight, bits=bits, group=32)
    assert packed["codes"].numel() == -(-weight.numel() * bits // 8)
    restored = unpack(packed, tuple(weight.shape), bits=bits, group=32)
    step = weight.abs().max() / (2 ** (bits - 1) - 1)
    assert float((restored - weight).square().mean().sqrt()) <= float(step)


def test_eight_bits_are_nearly_exact_and_more_bits_are_better() -> None:
    weight = torch.randn(64, 256, generator=torch.Generator().manual_seed(1))
    errors = [
        float((unpack(pack(weight, bits=b, group=64), (64, 256), bits=b, group=64) - weight).abs().mean())
        for b in (3, 4, 6, 8)
    ]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.01


def test_states_keep_small_tensors_and_shapes() -> None:
    state = {"big": torch.randn(64, 128), "bias": torch.randn(64)}
    tensors, plan = pack_state(state, bits=8, group=64)
    restored = unpack_state(tensors, plan)
    assert {k: v.shape for k, v in restored.items()} == {k: v.shape for k, v in state.items()}
    assert torch.allclose(restored["bias"], state["bias"], atol=2e-3)


def test_packed_weights_that_do_not_fit_are_refused() -> None:
    packed = pack(torch.ones(4, 64), bits=6, group=64)
    with pytest.raises(WeightsError):
        unpack(packed, (5, 64), bits=6, group=64)
    with pytest.raises(WeightsError):
        unpack({**packed, "codes": packed["codes"][:-1]}, (4, 64), bits=6, group=64)
    with pytest.raises(WeightsError):
        unpack_state({}, {"bits": 6, "group": 64, "shapes": {"a": [4, 64]}})
    with pytest.raises(WeightsError):
        pack(torch.ones(4, 63), bits=6, group=64)
