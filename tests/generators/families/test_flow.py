"""Layouts by flow matching: what z, class and guidance do, exact integration, a flow that learns."""

from __future__ import annotations

import pytest
import torch

from countermark.core.errors import ConfigError
from countermark.generators.families import FAMILIES
from countermark.generators.families.flow import LayoutFlow, shares_of_time, straight

SMALL = {
    "size": 64, "layouts": "flow", "flow_width": 16, "texture": 8, "steps": 3, "width": 8, "max_width": 16,
    "eyes": "plain",
}  # fmt: skip
FAMILY = FAMILIES.get("latent")


def _config(**changes):
    return FAMILY.parse({**SMALL, **changes})


def _flow(**changes):
    """One that says something: as it begins, the last layers are silent."""
    torch.manual_seed(0)
    flow = LayoutFlow(_config(**changes)).eval()
    for name, parameter in flow.named_parameters():
        if name.endswith("weight") and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return flow


@pytest.mark.parametrize("size", [64, 128, 256])
def test_z_is_as_long_as_texture_and_layout_together(size):
    config = _config(size=size)
    cells = min(size // 8, 16)
    assert config.latent == 8 + 3 * cells**2
    flow = LayoutFlow(config)
    drawn = flow(torch.randn(2, config.latent))
    assert drawn.shape == (2, 3, cells, cells)
    assert float(drawn.detach().abs().max()) <= 1
    flow.velocity(torch.randn(2, 3, cells, cells), torch.rand(2)).square().sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in flow.parameters() if p.grad is not None)


def test_a_gan_shares_all_of_z():
    config = FAMILY.parse({"latent": 64})
    assert (config.layouts, config.latent, config.texture) == ("gan", 64, 64)


def test_a_width_that_does_not_divide_is_refused():
    with pytest.raises(ConfigError, match="flow_width"):
        _config(flow_width=20)


def test_each_part_of_z_decides_its_own_stage():
    torch.manual_seed(0)
    config = _config()
    generator = FAMILY.build_generator(config).eval()
    z = torch.randn(1, config.latent)
    texture, layout = z.clone(), z.clone()
    texture[:, :8] += 1
    layout[:, 8:] += 1
    with torch.no_grad():
        assert torch.equal(generator.layout(z), generator.layout(texture))
        assert not torch.equal(generator.layout(z), generator.layout(layout))
        cells = generator.layout(z)
        assert torch.equal(generator.paint(z, cells), generator.paint(layout, cells))
        assert not torch.equal(generator.paint(z, cells), generator.paint(texture, cells))


@torch.no_grad()
def test_guidance_multiplies_what_the_class_adds():
    z, labels = torch.randn(4, 8 + 192) * 0.2, torch.tensor([0, 1, 2, 0])
    drawn = {}
    for guidance in (0.0, 1.0, 3.0):
        flow = _flow(classes=3, guidance=guidance, steps=1)
        flow.spread.fill_(0.01)  # far from where layouts are clamped
        drawn[guidance] = flow(z, labels)
    added = drawn[1.0] - drawn[0.0]
    assert float(added.abs().max()) > 1e-4
    assert torch.allclose(drawn[3.0] - drawn[0.0], 3 * added, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(("steps", "twice"), [(1, 1), (6, 3), (7, 4)])
def test_the_class_is_exaggerated_in_the_first_half_of_the_steps(steps, twice, monkeypatch):
    flow = _flow(classes=3, steps=steps)
    seen = []
    velocity = flow.velocity
    monkeypatch.setattr(flow, "velocity", lambda x, *rest: [seen.append(len(x)), velocity(x, *rest)][1])
    flow(torch.randn(2, 200), torch.tensor([0, 2]))
    assert seen == [4] * twice + [2] * (steps - twice)


@torch.no_grad()
def test_no_class_is_any_class():
    flow = _flow(classes=3)
    x, time = torch.randn(2, 3, 8, 8), torch.tensor([0.3, 0.8])
    assert torch.equal(flow.velocity(x, time), flow.velocity(x, time, torch.tensor([3, 3])))
    assert not torch.equal(flow.velocity(x, time), flow.velocity(x, time, torch.tensor([0, 3])))


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_true_velocity_leads_to_the_layout_in_any_number_of_steps(steps, monkeypatch):
    flow = LayoutFlow(_config(steps=steps))
    layouts = torch.rand(5, 3, 8, 8) * 2 - 1
    flow.measure(layouts)
    even = flow.even(layouts)
    assert float(even.mean()) == pytest.approx(0, abs=1e-5)
    assert float(even.std()) == pytest.approx(1, abs=1e-3)

    def true(x, time, labels=None):
        return (x - even) / time[:, None, None, None]

    monkeypatch.setattr(flow, "velocity", true)
    assert torch.allclose(flow(torch.randn(5, 200)), layouts, atol=1e-4)


def test_the_line_goes_from_layout_to_noise():
    layouts, noise = torch.zeros(3, 3, 4, 4), torch.ones(3, 3, 4, 4)
    places, velocity = straight(layouts, noise, torch.tensor([0.0, 0.25, 1.0]))
    assert places[:, 0, 0, 0].tolist() == [0, 0.25, 1]
    assert torch.equal(velocity, noise)
    times = shares_of_time(2000, torch.Generator().manual_seed(0))
    assert 0 < float(times.min()) < 0.1
    assert 0.9 < float(times.max()) < 1
    assert float(((times > 0.25) & (times < 0.75)).float().mean()) > 0.6


@torch.no_grad()
def test_circular_padding_knows_no_edge():
    flow = _flow(padding="circular")
    x, time = torch.randn(2, 3, 8, 8), torch.tensor([0.5, 0.5])
    # Of 8 cells a side 2 are left at the coarsest, so that a shift by 4 is a shift at every level.
    moved = flow.velocity(x.roll((4, 4), (2, 3)), time)
    assert torch.allclose(moved, flow.velocity(x, time).roll((4, 4), (2, 3)), atol=1e-4)
    plain = _flow()
    assert not torch.allclose(
        plain.velocity(x.roll((4, 4), (2, 3)), time), plain.velocity(x, time).roll((4, 4), (2, 3)), atol=1e-4
    )
