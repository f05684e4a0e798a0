"""The latent family: shapes, steering, its critics, and the decoder that a generator is bound to."""

from __future__ import annotations

import pytest
import torch

from countermark.core.autoencoder import CHANNELS
from countermark.core.errors import ConfigError, WeightsError
from countermark.core.weights import WeightsCard
from countermark.generators.base import to_pixels
from countermark.generators.data.textures import seam_rank
from countermark.generators.families import FAMILIES
from countermark.generators.families.detail import Detail
from countermark.generators.families.guided import GuidedDetail, Reading
from countermark.generators.families.layout import LayoutCritic
from countermark.generators.families.projected import ProjectedCritic
from countermark.generators.latents.autoencoder import digest

SMALL = {
    "latent": 8, "width": 8, "max_width": 16, "layout_width": 8, "layout_max_width": 16,
    "layout_critic_width": 4, "critic_width": 8, "critic_max_width": 16,
}  # fmt: skip
FAMILY = FAMILIES.get("latent")


def _made(**changes):
    torch.manual_seed(0)
    config = FAMILY.parse({**SMALL, "size": 64, "eyes": "plain", **changes})
    return config, FAMILY.build_generator(config), FAMILY.build_critic(config)


@pytest.mark.parametrize("size", [64, 128, 256])
def test_drawings_and_logits_have_the_stated_shapes(size):
    config, generator, critic = _made(size=size)
    z = torch.randn(4, 8)
    layouts = generator.layout(z)
    cells = min(size // 8, 16)
    assert layouts.shape == (4, 3, cells, cells)
    drawn = generator.detail(z, layouts)
    assert drawn.shape == (4, CHANNELS, size // 8, size // 8)
    logits, judged = critic(drawn), LayoutCritic(config)(layouts)
    assert logits.shape == judged.shape == (4,)
    (logits.sum() + judged.sum()).backward()
    trained = [*generator.detail.parameters(), *generator.layout.parameters()]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)
    with torch.no_grad():
        painted = generator.eval()(torch.randn(1, 8))
    assert painted.shape == (1, 3, size, size)
    assert float(painted.abs().max()) <= 1


@pytest.mark.parametrize("width", [8, 17, 40, 56])
def test_any_width_makes_a_network(width):
    """A group of channels that does not divide them would be refused by what normalises them."""
    _, generator, _ = _made(width=width, max_width=3 * width)
    with torch.no_grad():
        assert generator.eval()(torch.randn(1, 8)).isfinite().all()


def test_class_and_z_both_change_layout_and_detail():
    _, generator, critic = _made(classes=3)
    z = torch.randn(6, 8)
    zeros, ones = torch.zeros(6, dtype=torch.long), torch.ones(6, dtype=torch.long)
    layouts = generator.layout(z, zeros)
    assert not torch.allclose(layouts, generator.layout(z, ones))
    same = torch.zeros(6, 3, 8, 8)
    drawn = generator.detail(z, same, zeros)
    assert not torch.allclose(drawn, generator.detail(z, same, ones))
    assert float(layouts.detach().std(dim=0).mean()) > 1e-3
    assert float(drawn.detach().std(dim=0).mean()) > 1e-3
    assert not torch.allclose(critic(drawn, zeros), critic(drawn, ones))


def test_the_noise_of_a_picture_is_made_from_its_z_alone():
    _, generator, _ = _made()
    z = torch.randn(2, 8)
    maps = generator.detail.noise(z)
    assert maps.shape == (2, 8, 8, 8)
    assert torch.equal(maps, _made()[1].detail.noise(z))
    assert not any(name.startswith("detail.noise") for name in generator.state_dict())


def test_colours_are_read_from_latents():
    reading = Reading().measure(latents := torch.randn(40, CHANNELS, 8, 8), latents[:, 3:6] * 0.5 + 0.1)
    assert torch.allclose(reading(latents), latents[:, 3:6] * 0.5 + 0.1, atol=0.01)
    few = Reading().measure(latents[:1], latents[:1, 3:6])
    assert bool(few.weight.isfinite().all())


def test_own_losses_fall_as_a_drawing_nears_its_picture():
    config, _, critic = _made(eyes="projected")
    real = torch.randn(2, CHANNELS, 8, 8)
    reading = Reading().measure(real, real[:, :3].clamp(-1, 1))
    guided = GuidedDetail(Detail(config), reading)
    guides = reading(real)
    seen = critic.look(real)
    other = real + 0.5 * torch.randn_like(real)
    for warm in (False, True):
        near = guided.own_loss(real, real, guides, (seen, seen), warm=warm)
        far = guided.own_loss(other, real, guides, (seen, critic.look(other)), warm=warm)
        assert float(near) == pytest.approx(0, abs=1e-4)
        assert float(far) > 0.05


def test_layouts_are_blurred_with_noise_in_training_only():
    config, _, _ = _made()
    guided = GuidedDetail(Detail(config), Reading())
    z, guides = torch.randn(2, 8), torch.zeros(2, 3, 8, 8)
    assert not torch.allclose(guided.train()(z, None, guides), guided(z, None, guides))
    assert torch.equal(guided.eval()(z, None, guides), guided(z, None, guides))


@pytest.mark.parametrize("side", [64, 128, 256])
def test_the_projected_critic_trains_its_heads_only(side):
    _, generator, critic = _made(size=side, eyes="projected", classes=2)
    assert isinstance(critic, ProjectedCritic)
    labels = torch.zeros(2, dtype=torch.long)
    z = torch.randn(2, 8)
    drawn = generator.detail(z, generator.layout(z, labels), labels)
    logits = critic(drawn, labels)
    assert logits.shape[0] == 2
    assert not torch.allclose(logits, critic(drawn, labels + 1))
    logits.mean().backward()
    trained = {name for name, p in critic.named_parameters() if p.grad is not None}
    assert trained
    assert all(name.startswith(("heads.", "grain.")) for name in trained)
    assert all(bool(p.grad.isfinite().all()) for p in generator.detail.parameters())


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
