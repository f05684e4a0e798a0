"""Every family: shapes, ranges, gradients, conditioning; and the parts they share."""

from __future__ import annotations

import itertools

import pytest
import torch

from countermark.core.errors import ConfigError, UnknownNameError
from countermark.core.networks import MinibatchStd
from countermark.generators.families import FAMILIES

SMALL = {"size": 32, "latent": 16, "critic_width": 8, "critic_max_width": 16}
#: Families whose networks are trained on pixels; ``latent`` has tests of its own.
PIXELS = [name for name in FAMILIES if name != "latent"]
CONDITIONAL = PIXELS


@pytest.mark.parametrize(("name", "channels"), list(itertools.product(PIXELS, (1, 3))))
def test_images_and_logits_have_the_stated_shapes(name, channels):
    torch.manual_seed(0)
    family = FAMILIES.get(name)
    config = family.parse({**SMALL, "channels": channels})
    generator, critic = family.build_generator(config), family.build_critic(config)
    images = generator(torch.randn(4, 16), None)
    assert images.shape == (4, channels, 32, 32)
    assert images.abs().max() <= 1.5
    logits = critic(images, None)
    assert logits.shape == (4,)
    logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in generator.parameters())


@pytest.mark.parametrize("name", CONDITIONAL)
def test_class_and_latent_both_change_the_image(name):
    torch.manual_seed(0)
    family = FAMILIES.get(name)
    config = family.parse({**SMALL, "classes": 3})
    generator, critic = family.build_generator(config), family.build_critic(config)
    z = torch.randn(6, 16)
    zeros, ones = torch.zeros(6, dtype=torch.long), torch.ones(6, dtype=torch.long)
    assert not torch.allclose(generator(z, zeros), generator(z, ones))
    assert generator(z, zeros).std(dim=0).mean() > 1e-3
    images = generator(z, zeros)
    assert not torch.allclose(critic(images, zeros), critic(images, ones))
    with pytest.raises(ConfigError, match="labels"):
        critic(images, None)


@pytest.mark.parametrize("upsample", ["nearest", "bilinear", "transposed"])
@pytest.mark.parametrize("norm", ["batch", "instance", "pixel", "none"])
def test_dcgan_variants(upsample, norm):
    family = FAMILIES.get("dcgan")
    config = family.parse({**SMALL, "upsample": upsample, "norm": norm, "tail": "sigmoid", "kernel": 5})
    assert family.build_generator(config)(torch.randn(2, 16)).shape == (2, 3, 32, 32)


def test_transposed_convolutions_leave_a_checkerboard_and_nearest_does_not():
    def diagonal_energy(upsample):
        torch.manual_seed(1)
        family = FAMILIES.get("dcgan")
        config = family.parse({"size": 64, "latent": 16, "width": 8, "max_width": 32, "upsample": upsample})
        images = family.build_generator(config)(torch.randn(32, 16)).detach()
        spectrum = torch.fft.fft2(images).abs().square().mean(dim=(0, 1))
        return (spectrum[32, 32] / spectrum.mean()).item()

    assert diagonal_energy("transposed") > 5 * diagonal_energy("nearest")


def test_circular_padding_makes_shifts_commute():
    torch.manual_seed(0)
    family = FAMILIES.get("dcgan")
    config = family.parse({**SMALL, "padding": "circular"})
    generator = family.build_generator(config).eval()
    x = torch.randn(1, generator.blocks[0].conv.in_channels, 4, 4)

    def rest(features):
        for block in generator.blocks:
            features = block(features, None)
        return generator.out(features)

    shifted = rest(x.roll(1, dims=3))
    assert torch.allclose(rest(x).roll(8, dims=3), shifted, atol=1e-5)


def test_unknown_family_names_the_known_ones():
    with pytest.raises(UnknownNameError, match="dcgan"):
        FAMILIES.get("dcgun")


def test_minibatch_std_sees_collapse():
    layer = MinibatchStd(group=4)
    assert layer(torch.ones(4, 2, 3, 3))[:, 2].max() < 1e-3
    assert layer(torch.randn(4, 2, 3, 3))[:, 2].min() > 0.1
    assert layer(torch.randn(5, 2, 3, 3)).shape == (5, 3, 3, 3)
