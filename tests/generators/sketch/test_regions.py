"""Regions and palettes: colours are means of photographs, z chooses, sizes and colour scribbles decide."""

from __future__ import annotations

import pytest
import torch

from countermark.generators.sketch.regions import Palettes, coloured, region_colours


def _halves(count: int = 1) -> torch.Tensor:
    """Two regions, the upper and the lower half of 4 x 4 cells."""
    shares = torch.zeros(count, 2, 4, 4)
    shares[:, 0, :2], shares[:, 1, 2:] = 1, 1
    return shares


def _kept(count: int = 8) -> Palettes:
    draw = torch.Generator().manual_seed(0)
    layouts = coloured(_halves(count), torch.rand(count, 2, 3, generator=draw) * 2 - 1)
    return Palettes(16, count, 2).keep(_halves(count), layouts)


NOTHING = torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4)


def test_a_region_has_the_mean_colour_of_the_photograph_there():
    layouts = torch.randn(3, 3, 4, 4)
    found = region_colours(_halves(3), layouts)
    assert torch.allclose(found[:, 0], layouts[:, :, :2].mean(dim=(2, 3)), atol=0.05)
    assert torch.allclose(found[:, 1], layouts[:, :, 2:].mean(dim=(2, 3)), atol=0.05)


def test_an_empty_region_has_the_mean_colour_of_all():
    shares = torch.zeros(1, 2, 4, 4)
    shares[:, 0] = 1
    layouts = torch.randn(1, 3, 4, 4)
    assert torch.allclose(region_colours(shares, layouts)[:, 1], layouts.mean(dim=(2, 3)), atol=1e-5)


def test_z_chooses_the_photograph_and_nothing_else_does():
    palettes = _kept()
    z = torch.randn(40, 16, generator=torch.Generator().manual_seed(1))
    shares, (hints, marked) = _halves(40), (part.expand(40, -1, -1, -1) for part in NOTHING)
    colours = palettes(z, shares, hints, marked)
    assert torch.equal(colours, palettes(z, shares, hints, marked))
    assert len(colours.flatten(1).unique(dim=0)) > 4
    one = torch.cat([palettes(z[n : n + 1], _halves(), *NOTHING) for n in range(40)])
    assert torch.equal(one, colours)


def test_a_palette_comes_from_a_photograph_with_regions_as_large():
    palettes = _kept()
    palettes.sizes[:7] = torch.tensor([1.0, 0.0])
    z = torch.randn(40, 16, generator=torch.Generator().manual_seed(1))
    hints, marked = (part.expand(40, -1, -1, -1) for part in NOTHING)
    assert torch.equal(palettes(z, _halves(40), hints, marked), palettes.colours[7].expand(40, -1, -1))


@pytest.mark.parametrize("wanted", range(8))
def test_colour_scribbles_ask_for_the_palette_that_has_them(wanted):
    palettes = _kept()
    marked = torch.zeros(1, 1, 4, 4)
    marked[:, :, 3, 1] = 0.3
    hints = palettes.colours[wanted, 1][None, :, None, None] * (marked > 0)
    z = torch.randn(30, 16, generator=torch.Generator().manual_seed(2))
    colours = palettes(z, _halves(30), hints.expand(30, -1, -1, -1), marked.expand(30, -1, -1, -1))
    plain = palettes(z, _halves(30), *(part.expand(30, -1, -1, -1) for part in NOTHING))
    target = palettes.colours[wanted, 1]
    assert (colours[:, 1] - target).abs().mean() < 0.5 * (plain[:, 1] - target).abs().mean()


def test_photographs_that_their_regions_explain_are_kept_and_few_are_repeated():
    flat = coloured(_halves(2), torch.rand(2, 2, 3))
    busy = torch.rand(2, 3, 4, 4)
    layouts = torch.cat([busy, flat])
    kept = Palettes(4, 2, 2).keep(_halves(4), layouts)
    expected = region_colours(_halves(2), flat)
    assert {tuple(row.flatten().tolist()) for row in kept.colours} == {
        tuple(row.flatten().tolist()) for row in expected
    }
    assert len(Palettes(4, 7, 2).keep(_halves(2), flat).colours.flatten(1).unique(dim=0)) == 2
