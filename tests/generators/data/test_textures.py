"""Procedural materials tile, networks that pad circularly tile, and the seam measures tell."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from countermark.core.errors import UnknownNameError
from countermark.generators.data.textures import MATERIALS, noise, seam_rank, seam_ratio, texture, tiled
from countermark.generators.families import FAMILIES
from countermark.generators.families.upsampling import convolution, double, double_transposed
from countermark.generators.gan.diffaugment import roll

SMALL = {"size": 32, "latent": 16, "width": 8, "critic_width": 8, "critic_max_width": 16}


@pytest.mark.parametrize("material", MATERIALS)
def test_materials_tile_and_follow_their_seed(material):
    images = np.stack([texture(material, seed, 32) for seed in range(6)])
    assert images.dtype == np.uint8 and images.shape == (6, 32, 32, 3)
    assert np.array_equal(images[0], texture(material, 0, 32))
    assert not np.array_equal(images[0], images[1])
    # A single seam varies with what happens to lie on it; six seeds bring the mean close to one.
    assert 0.4 < seam_ratio(images).mean() < 1.7


def test_a_crop_that_does_not_tile_is_told_from_one_that_does():
    whole = np.stack([texture("water", seed, 64) for seed in range(12)])
    cropped = whole[:, 5:45, 5:45]
    assert seam_ratio(whole).mean() < 1.3 < seam_ratio(cropped).mean()
    assert seam_rank(whole).mean() < 0.7 < 0.9 < seam_rank(cropped).mean()


def test_seam_ratio_of_known_images():
    slope = np.tile(np.arange(16, dtype=np.uint8)[:, None, None], (1, 16, 3))[None]
    assert seam_ratio(slope)[0] == pytest.approx(15.0)  # edges differ by 15, neighbours by 1
    assert seam_ratio(np.zeros((1, 8, 8, 3), np.uint8))[0] == 0


def test_unknown_material_is_named():
    with pytest.raises(UnknownNameError, match="Did you mean 'marble'"):
        texture("marbel", 0)


def test_noise_is_standardised_and_stretched():
    field = noise(64, np.random.default_rng(0), slope=1.5, stretch=(6, 1))
    assert abs(field.mean()) < 1e-6 and field.std() == pytest.approx(1)
    assert np.abs(np.diff(field, axis=0)).mean() < np.abs(np.diff(field, axis=1)).mean()


def test_tiled_lays_images_side_by_side():
    image = texture("brick", 1, 16)
    assert tiled(image).shape == (48, 48, 3)
    assert np.array_equal(tiled(image)[16:32, 32:], image)


@pytest.mark.parametrize("change", ["nearest", "bilinear", "transposed"])
def test_circular_doubling_commutes_with_rolling(change):
    torch.manual_seed(0)
    conv = nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1)
    x = torch.randn(2, 3, 8, 8)

    def run(value, padding):
        if change == "transposed":
            return double_transposed(conv, value, padding)
        return double(value, change, padding)

    moved = run(x.roll((3, 5), (2, 3)), "circular")
    assert torch.allclose(moved, run(x, "circular").roll((6, 10), (2, 3)), atol=1e-5)
    if change != "nearest":
        assert not torch.allclose(run(x.roll(3, 2), "zeros"), run(x, "zeros").roll(6, 2), atol=1e-3)
    assert torch.allclose(run(x, "circular")[..., 2:-2, 2:-2], run(x, "zeros")[..., 2:-2, 2:-2], atol=1e-5)


@pytest.mark.parametrize(
    ("family", "more"),
    [("dcgan", {"upsample": u}) for u in ("nearest", "bilinear", "transposed")]
    + [("stylegan-lite", {}), ("r3gan", {}), ("wgan-gp", {}), ("fastgan", {})],
)
def test_circular_families_make_pictures_without_seams(family, more):
    """Even untrained: the border to the next tile is like those between the 4 x 4 cells inside.

    Doubling gives every cell the same pattern of strong and weak steps, so a border is compared with
    borders at the same place in their cells; over many networks, as some start from one learnt map.
    """
    entry, borders = FAMILIES.get(family), {"circular": [], "zeros": []}
    for seed, padding in itertools.product(range(16), borders):
        torch.manual_seed(seed)
        network = entry.build_generator(entry.parse({**SMALL, "padding": padding, **more})).train()
        with torch.no_grad():
            pictures = network(torch.randn(4, 16), None)
        steps = (pictures.roll(-1, 2) - pictures).abs().mean(dim=(0, 1, 3))[7::8]
        borders[padding].append(float(steps[-1] / steps[:-1].mean()))
    assert np.median(borders["circular"]) == pytest.approx(1, abs=0.25)
    if more != {"upsample": "transposed"}:  # its own checkerboard is stronger than the seam
        assert np.median(borders["zeros"]) > 1.3


def test_roll_keeps_every_pixel():
    torch.manual_seed(0)
    images = torch.randn(4, 3, 8, 8, requires_grad=True)
    rolled = roll(images)
    assert torch.equal(rolled.flatten(1).sort().values, images.flatten(1).sort().values)
    assert not torch.equal(rolled, images)
    rolled.sum().backward()
    assert torch.equal(images.grad, torch.ones_like(images))


def test_wrapped_convolution_is_circular_padding():
    torch.manual_seed(0)
    ours = convolution(3, 4, 5, "circular")
    theirs = nn.Conv2d(3, 4, 5, padding=2, padding_mode="circular")
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 9, 7)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)
