"""Pictures painted from the layout of another picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from countermark.core.errors import ConfigError
from countermark.core.weights import WeightsCard
from countermark.generators.families import FAMILIES
from countermark.generators.families.painter import Painter, layout_of
from countermark.generators.latents.autoencoder import digest

FAMILY = FAMILIES.get("latent")


def _painter(padding="zeros"):
    torch.manual_seed(0)
    small = {"latent": 8, "width": 8, "max_width": 16, "layout_width": 8, "layout_max_width": 16}
    config = FAMILY.parse({**small, "size": 64, "eyes": "plain", "classes": 2, "padding": padding})
    card = WeightsCard(
        name="mine", kind="generator", family="latent", config=config.model_dump(),
        preprocessing={"decoder": digest("decoder"), "classes": ["a", "b"]},
    )  # fmt: skip
    return FAMILY.wrap(FAMILY.build_generator(config).eval(), card, torch.device("cpu"))


@pytest.fixture(scope="module")
def painter():
    return _painter()


def test_a_layout_stands_in_for_the_first_stage(painter):
    assert isinstance(painter, Painter)
    red = np.zeros((40, 60, 3), np.uint8)
    red[..., 0] = 255
    made = painter.sample(3, seed=5, condition="a", layout=red)
    assert made.shape == (3, 64, 64, 3)
    assert not np.array_equal(made[0], made[1])
    assert np.array_equal(made[1:2], painter.sample(1, seed=6, condition="a", layout=red))
    assert not np.array_equal(made, painter.sample(3, seed=5, condition="a", layout=255 - red))
    assert not np.array_equal(made, painter.sample(3, seed=5, condition="a"))


def test_more_than_a_batch_of_layouts(painter):
    grey = np.full((8, 8, 3), 90, np.uint8)
    assert painter.sample(18, layout=grey).shape == (18, 64, 64, 3)


def test_other_options_are_refused(painter):
    for options in ({"style": "x.png"}, {"style": "x.png", "layout": np.zeros((8, 8, 3), np.uint8)}):
        with pytest.raises(ConfigError, match="does not take style"):
            painter.sample(1, **options)


def test_the_middle_square_is_shrunk_to_its_mean_colours():
    wide = np.zeros((32, 64, 3), np.uint8)
    wide[:, :16] = 255  # outside of the middle square
    wide[:2, 16:18] = 255
    cells = layout_of(wide, 16)
    assert cells.shape == (1, 3, 16, 16)
    assert cells[0, :, 0, 0].tolist() == [1, 1, 1]
    assert float(cells.sum()) == pytest.approx(-3 * 255 + 3)
    assert layout_of(np.zeros((3, 3, 3), np.uint8), 16).shape == (1, 3, 16, 16)


@pytest.mark.parametrize("side", [128, 256])
def test_what_tiles_can_be_drawn_larger_and_still_tiles(side):
    tiling = _painter("circular")
    made = tiling.sample(2, seed=3, condition="a", side=side)
    assert made.shape == (2, side, side, 3)
    assert np.array_equal(made[1:], tiling.sample(1, seed=4, condition="a", side=side))
    # The step across the edge is no larger than those inside, as it is where nothing wraps.
    rows = np.abs(np.diff(made.astype(int), axis=1)).mean(axis=(0, 2, 3))
    edge = np.abs(made[:, 0].astype(int) - made[:, -1].astype(int)).mean()
    assert edge <= rows.max()
    # The quarters of a picture are not one picture four times.
    assert not np.array_equal(made[:, : side // 2, : side // 2], made[:, side // 2 :, : side // 2])


def test_the_own_side_is_what_is_drawn_without_one():
    tiling = _painter("circular")
    assert np.array_equal(tiling.sample(1, seed=3, side=64), tiling.sample(1, seed=3))


def test_sides_that_cannot_be_drawn_are_refused_with_those_that_can(painter):
    with pytest.raises(ConfigError, match="64 px only"):
        painter.sample(1, side=128)
    with pytest.raises(ConfigError) as caught:
        _painter("circular").sample(1, side=100)
    assert caught.value.code == "generator.side" and "64, 128 or 256" in (caught.value.hint or "")
