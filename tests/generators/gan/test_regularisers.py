"""Gradient regularisers of known critics."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from countermark.generators.gan.regularisers import gradient_penalty, zero_centred


class Linear(nn.Module):
    """A critic whose gradient is known: ``weight`` everywhere."""

    def __init__(self, weight: float):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x, labels=None):
        return (self.weight * x).sum(dim=(1, 2, 3))


def test_zero_centred_penalty_of_a_linear_critic():
    images = torch.randn(5, 3, 4, 4)
    assert zero_centred(Linear(0.5), images).item() == pytest.approx(0.5 * 0.25 * 48)


def test_gradient_penalty_is_zero_at_unit_norm_and_trains():
    images = torch.randn(5, 3, 4, 4)
    assert gradient_penalty(Linear(48**-0.5), images, -images).item() == pytest.approx(0, abs=1e-6)
    critic = Linear(1.0)
    gradient_penalty(critic, images, -images).backward()
    assert critic.weight.grad > 0
