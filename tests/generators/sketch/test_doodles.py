"""Users' doodles, whatever their paper and pen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from countermark.core.errors import (
    ConfigError,
    ImageError,
)
from countermark.generators import load_generator
from countermark.generators.sketch.doodles import read_doodle


@pytest.mark.parametrize("shape", [(300, 200), (96, 96), (20, 900), (2000, 2400), (8, 8)])
def test_a_doodle_of_any_size_is_normalised(shape: tuple[int, int]) -> None:
    page = np.full((*shape, 3), 255, np.uint8)
    height, width = shape
    page[
        height // 2 - max(height // 100, 1) : height // 2 + max(height // 100, 1), width // 4 : -width // 4
    ] = 0
    condition = read_doodle(page, 96)
    assert condition.shape == (96, 96, 5) and condition.dtype == np.float32
    assert condition[..., 0].max() > 0.9
    assert condition[:20, :, 0].max() < 0.2


def test_dark_and_light_pages_give_the_same_strokes() -> None:
    page = np.full((192, 192, 3), 255, np.uint8)
    page[90:94, 40:150] = 0
    assert np.abs(read_doodle(page, 96) - read_doodle(255 - page, 96)).max() < 0.05


def test_ink_on_a_transparent_page_is_seen(tmp_path: Path) -> None:
    layer = np.zeros((100, 100, 4), np.uint8)
    layer[40:44, 20:80, 3] = 255
    Image.fromarray(layer).save(tmp_path / "clear.png")
    strokes = read_doodle(tmp_path / "clear.png", 96)[..., 0]
    assert strokes[38:43, 30:60].max() > 0.9 and strokes[60:].max() < 0.1


def test_a_coloured_stroke_is_a_hint_and_not_a_line() -> None:
    page = np.full((96, 96, 3), 255, np.uint8)
    page[20:24, 10:80] = 0
    page[50:60, 20:70] = (220, 20, 20)
    condition = read_doodle(page, 96)
    assert condition[55, 40, 4] == 1 and condition[55, 40, 1] > 0.5 and condition[55, 40, 2] < -0.5
    assert condition[55, 40, 0] < 0.2 and condition[21, 40, 0] > 0.8


def test_doodles_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as missing:
        load_generator("sketch-clothing-128").sample(1)
    assert missing.value.code == "generator.condition-missing"
    with pytest.raises(ConfigError) as small:
        read_doodle(np.zeros((1, 1, 3), np.uint8), 96)
    assert small.value.code == "generator.condition-small"
    with pytest.raises(ConfigError) as empty:
        read_doodle(np.full((50, 50, 3), 255, np.uint8), 96)
    assert empty.value.code == "generator.condition-empty"
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(ImageError):
        read_doodle(tmp_path / "broken.png", 96)
    with pytest.raises(ImageError):
        read_doodle(tmp_path / "none.png", 96)
