"""Style transfer by optimisation."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from countermark.core.errors import ConfigError
from countermark.generators.style import encoder as encoders
from countermark.generators.style.gatys import StyleSettings, gram, style_distance, stylise, with_colours_of

FILTERS = encoders.load_encoder("filters")


def content(height: int = 48, width: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 4 % 256, columns * 3 % 256, np.full_like(rows, 120)], -1).astype(np.uint8)


def stripes(side: int = 48) -> np.ndarray:
    rows, columns = np.mgrid[0:side, 0:side]
    on = ((rows + columns) // 4 % 2).astype(np.uint8)
    return np.stack([on * 220, on * 60 + 20, 200 - on * 180], -1).astype(np.uint8)


def test_more_style_is_nearer_to_the_style_and_more_content_to_the_content() -> None:
    few = StyleSettings(steps=15, style_weight=0.0)
    much = StyleSettings(steps=15, style_weight=20.0)
    plain = stylise(content(), stripes(), encoder=FILTERS, settings=few)
    made = stylise(content(), stripes(), encoder=FILTERS, settings=much)
    assert made.shape == content().shape and made.dtype == np.uint8
    assert style_distance(made, stripes(), FILTERS) < 0.5 * style_distance(content(), stripes(), FILTERS)
    errors = [np.abs(i.astype(int) - content()).mean() for i in (plain, made)]
    assert errors[0] < 6 < errors[1]


def test_the_colours_of_the_content_can_be_kept() -> None:
    kept = with_colours_of(content(), cv2.GaussianBlur(content(), (0, 0), 2)[..., ::-1].copy())
    one, two = (cv2.cvtColor(i, cv2.COLOR_RGB2YCrCb).astype(int) for i in (kept, content()))
    inside = ((kept > 2) & (kept < 253)).all(axis=2)  # clipped pixels lose some colour
    assert inside.mean() > 0.3
    assert np.abs(one - two)[..., 1:][inside].max() <= 3


def test_an_image_larger_than_a_tile_keeps_its_size() -> None:
    made = stylise(content(90, 150), stripes(), encoder=FILTERS, settings=StyleSettings(steps=4, side=64))
    assert made.shape == (90, 150, 3)


def test_gram_does_not_depend_on_positions() -> None:
    maps = torch.randn(1, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    mixed = maps.flatten(2)[:, :, torch.randperm(64, generator=torch.Generator().manual_seed(1))]
    assert torch.allclose(gram(maps), gram(mixed.reshape(1, 5, 8, 8)), atol=1e-5)


def test_several_styles_are_mixed_by_their_weights() -> None:
    styles = [stripes(), np.full((48, 48, 3), (20, 160, 60), np.uint8)]

    def made(**options: object) -> np.ndarray:
        given = StyleSettings(steps=10, style_weight=20.0, **options)  # type: ignore[arg-type]
        return stylise(content(), styles, encoder=FILTERS, settings=given)

    first, second = made(mix=(1.0, 0.0)), made(mix=(0.0, 1.0))
    alone = stylise(
        content(), styles[0], encoder=FILTERS, settings=StyleSettings(steps=10, style_weight=20.0)
    )
    assert np.array_equal(first, alone)
    between = [style_distance(made(mix=(w, 1 - w)), styles[0], FILTERS) for w in (1.0, 0.5, 0.0)]
    assert between[0] < between[1] < between[2] and not np.array_equal(first, second)
    with pytest.raises(ConfigError) as error:
        made(mix=(1.0,))
    assert error.value.code == "style.mix"


@pytest.mark.parametrize(
    "wrong",
    [
        {"style_weight": -1.0},
        {"style_weight": float("nan")},
        {"style_weight": 0.0, "content_weight": 0.0},
        {"steps": 0},
        {"side": 3},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError) as error:
        stylise(content(), stripes(), encoder=FILTERS, settings=StyleSettings(**wrong))  # type: ignore[arg-type]
    assert error.value.code == "style.settings"
