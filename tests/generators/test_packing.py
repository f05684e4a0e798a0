"""Storage of generators: half precision or eight bits, restored near enough; what does not fit is refused."""

from __future__ import annotations

import pytest
import torch

from countermark.core.errors import WeightsError
from countermark.core.weights import save_weights
from countermark.generators import load_generator
from countermark.generators.packing import packed, restored, stored


def test_only_floating_point_is_halved_for_storage():
    kept = stored(torch.nn.BatchNorm1d(2))
    assert kept["weight"].dtype == torch.float16 and kept["num_batches_tracked"].dtype == torch.int64


def test_large_tensors_are_packed_and_restored_within_half_a_step_of_their_channel():
    torch.manual_seed(0)
    weight = torch.randn(16, 32, 3, 3) * torch.logspace(-3, 1, 16)[:, None, None, None]
    tensors = {
        "weight": weight,
        "bias": torch.randn(16),
        "small": torch.randn(4, 4),
        "count": torch.tensor(3),
    }
    kept = packed(tensors)
    assert kept["weight"].dtype == torch.int8 and kept["small"].dtype == torch.float16
    found = restored(kept)
    assert set(found) == set(tensors) and found["count"].dtype == torch.int64
    step = weight.abs().flatten(1).amax(dim=1) / 127
    # Half a step, and what half precision takes off the scale.
    assert ((found["weight"] - weight).abs().flatten(1).amax(dim=1) <= 0.6 * step).all()


def test_a_channel_of_zeros_stays_zero():
    assert restored(packed({"weight": torch.zeros(64, 64)}))["weight"].abs().max() == 0


@pytest.mark.parametrize("scale", [torch.ones(3).half(), torch.ones(64, 2).half()])
def test_scales_that_do_not_fit_are_refused(scale):
    kept = packed({"weight": torch.randn(64, 64)})
    with pytest.raises(WeightsError, match="scales of weight"):
        restored({**kept, "weight:scale": scale})
    with pytest.raises(WeightsError, match="scales of weight"):
        restored({**kept, "weight": torch.randn(64, 64)})


def test_a_packed_generator_is_half_as_large_and_draws_nearly_the_same(tmp_path):
    whole = load_generator("digits-32")
    path = save_weights(tmp_path, packed(whole.network.state_dict()), whole.card)
    assert path.stat().st_size < 0.7 * 289_314
    again = load_generator(path)
    one, two = (g.sample(8, seed=0).astype(int) for g in (whole, again))
    assert abs(one - two).mean() < 4
