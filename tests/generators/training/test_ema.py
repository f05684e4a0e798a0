"""The average of weights, and batch statistics measured anew."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from countermark.generators.training.ema import Ema, refresh_batch_norm


def test_average_trails_and_forgets_the_start():
    source = nn.Linear(1, 1, bias=False)
    nn.init.constant_(source.weight, 0.0)
    ema = Ema(source, half_life=100, ramp=1.0)
    nn.init.constant_(source.weight, 1.0)
    ema.update(source, batch=100, seen=10_000)
    assert ema.network.weight.item() == pytest.approx(0.5)
    early = Ema(source, half_life=100, ramp=0.01)
    nn.init.constant_(source.weight, 3.0)
    early.update(source, batch=10, seen=10)
    assert early.network.weight.item() == pytest.approx(3.0)


def test_batch_norm_statistics_are_measured_anew():
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))

    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network

        def forward(self, z, labels):
            return self.net(z)

    torch.manual_seed(0)
    batches = [(torch.randn(256, 4) + 5, None) for _ in range(8)]
    refresh_batch_norm(Wrapper(), batches)
    expected = network[0](torch.cat([z for z, _ in batches])).mean(dim=0)
    assert torch.allclose(network[1].running_mean, expected, atol=1e-4)
    assert not network.training
