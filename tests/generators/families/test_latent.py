"""The latent family: shapes, steering, both critics, and the decoder that a generator is bound to."""

from __future__ import annotations

import pytest
import torch

from countermark.core.errors import ConfigError, WeightsError
from countermark.core.weights import WeightsCard
from countermark.generators.base import to_pixels
from countermark.generators.data.textures import seam_rank
from countermark.generators.families import FAMILIES
from countermark.generators.families.projected import ProjectedCritic
from countermark.generators.latents.autoencoder import CHANNELS, digest

SMALL = {"latent": 8, "width": 8, "max_width": 16, "critic_width": 8, "critic_max_width": 16}
FAMILY = FAMILIES.get("latent")


def _made(**changes):
    torch.manual_seed(0)
    config = FAMILY.parse({**SMALL, "size": 64, "eyes": "plain", **changes})
    return config, FAMILY.build_generator(config), FAMILY.build_critic(config)


@pytest.mark.parametrize("size", [64, 128, 256])
def test_drawings_and_logits_have_the_stated_shapes(size):
    _, generator, critic = _made(size=size)
    drawn = generator.drawing(torch.randn(4, 8))
    assert drawn.shape == (4, CHANNELS, size // 8, size // 8)
    logits = critic(drawn)
    assert logits.shape == (4,)
    logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in generator.drawing.parameters())
    with torch.no_grad():
        painted = generator.eval()(torch.randn(1, 8))
    assert painted.shape == (1, 3, size, size)
    assert float(painted.abs().max()) <= 1


def test_class_and_z_both_change_the_drawing():
    _, generator, critic = _made(classes=3)
    z = torch.randn(6, 8)
    zeros, ones = torch.zeros(6, dtype=torch.long), torch.ones(6, dtype=torch.long)
    drawn = generator.drawing(z, zeros)
    assert not torch.allclose(drawn, generator.drawing(z, ones))
    assert float(drawn.detach().std(dim=0).mean()) > 1e-3
    assert not torch.allclose(critic(drawn, zeros), critic(drawn, ones))


@pytest.mark.parametrize("side", [64, 128, 256])
def test_the_projected_critic_trains_its_heads_only(side):
    _, generator, critic = _made(size=side, eyes="projected", classes=2)
    assert isinstance(critic, ProjectedCritic)
    labels = torch.zeros(2, dtype=torch.long)
    drawn = generator.drawing(torch.randn(2, 8), labels)
    logits = critic(drawn, labels)
    assert logits.shape[0] == 2
    assert not torch.allclose(logits, critic(drawn, labels + 1))
    logits.mean().backward()
    trained = {name for name, p in critic.named_parameters() if p.grad is not None}
    assert trained
    assert all(name.startswith(("heads.", "grain.")) for name in trained)
    assert all(bool(p.grad.isfinite().all()) for p in generator.drawing.parameters())


def test_the_projected_critic_sees_latents_as_the_autoencoder_makes_them():
    _, _, critic = _made(eyes="projected")
    standardised = torch.randn(2, CHANNELS, 8, 8)
    before = critic(standardised)
    critic.space.mean += 1
    assert not torch.allclose(critic(standardised), before)


def test_circular_padding_draws_tiles():
    _, generator, _ = _made(padding="circular", size=64, width=16)
    images = to_pixels(generator.eval()(torch.randn(12, 8, generator=torch.Generator().manual_seed(1))))
    assert abs(seam_rank(images).mean() - 0.5) < 0.2


def test_grey_pictures_are_refused():
    with pytest.raises(ConfigError, match="channels"):
        FAMILY.parse({**SMALL, "channels": 1})


@pytest.mark.parametrize("note", [{}, {"decoder": "0" * 64}])
def test_a_generator_for_another_decoder_is_refused(note):
    config, generator, _ = _made()
    card = WeightsCard(
        name="mine", kind="generator", family="latent", config=config.model_dump(), preprocessing=note
    )
    with pytest.raises(WeightsError, match="another decoder") as caught:
        FAMILY.wrap(generator, card, torch.device("cpu"))
    assert caught.value.code == "weights.family"
    right = card.model_copy(update={"preprocessing": {"decoder": digest("decoder")}})
    assert FAMILY.wrap(generator, right, torch.device("cpu")).sample(1).shape == (1, 64, 64, 3)
