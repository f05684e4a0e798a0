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


@pytest.fixture(scope="module")
def painter():
    torch.manual_seed(0)
    small = {"latent": 8, "width": 8, "max_width": 16, "layout_width": 8, "layout_max_width": 16}
    config = FAMILY.parse({**small, "size": 64, "eyes": "plain", "classes": 2})
    card = WeightsCard(
        name="mine", kind="generator", family="latent", config=config.model_dump(),
        preprocessing={"decoder": digest("decoder"), "classes": ["a", "b"]},
    )  # fmt: skip
    return FAMILY.wrap(FAMILY.build_generator(config).eval(), card, torch.device("cpu"))


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
