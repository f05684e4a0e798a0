"""Losses: values, and which way they pull."""

from __future__ import annotations

import math

import pytest
import torch

from countermark.core.errors import UnknownNameError
from countermark.generators.gan.losses import LOSSES


@pytest.mark.parametrize("name", list(LOSSES))
def test_a_better_critic_has_less_loss_and_a_better_fake_too(name):
    loss = LOSSES.get(name)
    high, low = torch.full((4,), 0.9), torch.full((4,), -0.9)
    assert loss.critic(high, low) < loss.critic(low, high)
    assert loss.generator(high, low) < loss.generator(low, low)


def test_values():
    zero = torch.zeros(3)
    assert LOSSES.get("hinge").critic(zero, zero).item() == 2
    assert LOSSES.get("non-saturating").critic(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert LOSSES.get("relativistic").critic(zero, zero).item() == pytest.approx(math.log(2))
    assert LOSSES.get("wasserstein").critic(zero + 2, zero).item() == -2


def test_unknown_loss():
    with pytest.raises(UnknownNameError, match="hinge"):
        LOSSES.get("hing")
