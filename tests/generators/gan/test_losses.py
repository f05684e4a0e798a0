"""Losses, regularisers, augmentation and averaging: closed forms where there are some."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from countermark.core.errors import UnknownNameError
from countermark.generators.gan.diffaugment import AUGMENTATIONS, augment
from countermark.generators.gan.losses import LOSSES
from countermark.generators.gan.regularisers import gradient_penalty, zero_centred
from countermark.generators.training.ema import Ema, refresh_batch_norm


class Linear(nn.Module):
    """A critic whose gradient is known: ``weight`` everywhere."""

    def __init__(self, weight: float):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x, labels=None):
        return (self.weight * x).sum(dim=(1, 2, 3))


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


def test_zero_centred_penalty_of_a_linear_critic():
    images = torch.randn(5, 3, 4, 4)
    assert zero_centred(Linear(0.5), images).item() == pytest.approx(0.5 * 0.25 * 48)


def test_gradient_penalty_is_zero_at_unit_norm_and_trains():
    images = torch.randn(5, 3, 4, 4)
    assert gradient_penalty(Linear(48**-0.5), images, -images).item() == pytest.approx(0, abs=1e-6)
    critic = Linear(1.0)
    gradient_penalty(critic, images, -images).backward()
    assert critic.weight.grad > 0


@pytest.mark.parametrize("name", list(AUGMENTATIONS))
def test_augmentations_keep_shape_and_let_gradients_through(name):
    torch.manual_seed(0)
    images = torch.rand(8, 3, 16, 16).requires_grad_(True)
    changed = augment(images, [name])
    assert changed.shape == images.shape
    assert not torch.equal(changed, images)
    changed.sum().backward()
    assert images.grad.abs().sum() > 0


def test_translation_moves_by_whole_pixels_and_fills_with_zeros():
    torch.manual_seed(1)
    image = torch.arange(1.0, 65.0).reshape(1, 1, 8, 8).repeat(64, 1, 1, 1)
    moved = augment(image, ["translation"])
    shifts = {tuple(m.flatten().tolist()) for m in moved}
    assert len(shifts) == 9  # one pixel each way at 1/8 of 8
    assert image[0].flatten().tolist() in [list(s) for s in shifts]
    assert any(0.0 in s for s in shifts)


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
