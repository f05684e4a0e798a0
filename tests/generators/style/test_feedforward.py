"""Style transfer in one pass: seams, statistics, settings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark.core.errors import (
    ConfigError,
)
from countermark.generators.base import to_tensor
from countermark.generators.style import encoder as encoders
from countermark.generators.style.adain import AdainConfig, AdainDecoder
from countermark.generators.style.feedforward import ForwardSettings, measure_tiled, stylise_forward
from countermark.generators.style.training import calibrate

FILTERS = encoders.load_encoder("filters")


TINY = AdainConfig(encoder="filters", channels=(67, 67, 67, 67), width=4)


def content(height: int = 48, width: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    wave = 60 + 50 * np.sin(rows / 3) * np.cos(columns / 5)
    return np.stack([rows * 4 % 256, columns * 3 % 256, wave], -1).astype(np.uint8)


def stripes(side: int = 48, gap: int = 4) -> np.ndarray:
    rows, columns = np.mgrid[0:side, 0:side]
    on = ((rows + columns) // gap % 2).astype(np.uint8)
    return np.stack([on * 220, on * 60 + 20, 200 - on * 180], -1).astype(np.uint8)


def decoder() -> AdainDecoder:
    torch.manual_seed(0)
    network = AdainDecoder(TINY).eval().requires_grad_(False)
    calibrate(network, FILTERS, to_tensor(content()[None]))
    torch.nn.init.normal_(network.out.weight, std=0.2)
    return network


@settings(max_examples=6, deadline=None)
@given(st.integers(32, 150), st.integers(32, 170))
def test_tiles_leave_no_seams(height: int, width: int) -> None:
    network = decoder()
    whole = stylise_forward(network, FILTERS, content(height, width), [stripes()], ForwardSettings(tile=512))
    tiled = stylise_forward(network, FILTERS, content(height, width), [stripes()], ForwardSettings(tile=64))
    assert whole.shape == (height, width, 3)
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_a_margin_that_is_too_small_would_be_seen() -> None:
    network = decoder()
    picture = content(160, 160)
    whole = stylise_forward(network, FILTERS, picture, [stripes()], ForwardSettings(tile=512))
    network.margin = 16
    tiled = stylise_forward(network, FILTERS, picture, [stripes()], ForwardSettings(tile=64))
    assert np.abs(whole.astype(int) - tiled).max() > 1


def test_statistics_of_tiles_are_those_of_the_whole_image() -> None:
    network = decoder()
    x = to_tensor(content(160, 200)[None])
    one, two = (measure_tiled(network, FILTERS, x, tile) for tile in (64, 4096))
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(one.means, two.means, strict=True))
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(one.deviations, two.deviations, strict=True))


def test_alpha_mix_and_colours_do_what_they_say() -> None:
    network, styles = decoder(), [stripes(), stripes(48, 9)[..., ::-1].copy()]

    def made(looks: list[np.ndarray], **options: object) -> np.ndarray:
        return stylise_forward(network, FILTERS, content(), looks, ForwardSettings(**options))  # type: ignore[arg-type]

    assert np.array_equal(made(styles, alpha=0.0), made(styles[1:], alpha=0.0))
    assert not np.array_equal(made(styles[:1]), made(styles[1:]))
    assert np.array_equal(made(styles, mix=(1.0, 0.0)), made(styles[:1]))
    assert not np.array_equal(made(styles), made(styles, mix=(3.0, 1.0)))
    kept = made(styles[:1], keep_colours=True)
    assert (
        np.abs(kept.mean((0, 1)) - content().mean((0, 1))).mean()
        < np.abs(made(styles[:1]).mean((0, 1)) - content().mean((0, 1))).mean()
    )


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"alpha": 1.5}, "style.settings"),
        ({"alpha": float("nan")}, "style.settings"),
        ({"tile": 100}, "style.settings"),
        ({"style_side": 4}, "style.settings"),
        ({"mix": (1.0, 2.0)}, "style.mix"),
        ({"mix": (0.0,)}, "style.mix"),
        ({"mix": (-1.0,)}, "style.mix"),
        ({"mix": (float("nan"),)}, "style.mix"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options: dict[str, object], code: str) -> None:
    with pytest.raises(ConfigError) as error:
        stylise_forward(decoder(), FILTERS, content(), [stripes()], ForwardSettings(**options))  # type: ignore[arg-type]
    assert error.value.code == code


def test_images_that_are_too_small_are_refused() -> None:
    for one, two in ((content(31, 64), stripes()), (content(), stripes(20))):
        with pytest.raises(ConfigError) as error:
            stylise_forward(decoder(), FILTERS, one, [two])
        assert error.value.code == "style.small"
