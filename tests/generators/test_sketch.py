"""Doodle to image: edges, doodles of any kind, the networks, training and its failures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from countermark.core.errors import ConfigError, CorpusError, CountermarkError, ImageError, OutputError
from countermark.core.images import write_image
from countermark.generators import load_generator
from countermark.generators.sketch import edges
from countermark.generators.sketch.doodles import read_doodle
from countermark.generators.sketch.measure import diversity, edge_f1
from countermark.generators.sketch.network import PatchCritic, SketchConfig, build_generator
from countermark.generators.sketch.training import SketchSettings, train_sketch

TINY = SketchConfig(size=32, width=8, max_width=16, critic_width=4)


def square(side: int = 96) -> np.ndarray:
    pixels = np.full((side, side, 3), 230, np.uint8)
    pixels[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = (180, 30, 40)
    return pixels


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    draw = np.random.default_rng(0)
    for index in range(12):
        pixels = np.full((40, 40, 3), draw.integers(120, 255, 3), np.uint8)
        top, left = draw.integers(4, 12, 2)
        pixels[top : top + 20, left : left + 20] = draw.integers(0, 255, 3)
        write_image(folder / f"{index}.png", pixels)
    return folder


@pytest.mark.parametrize("make", [edges.soft_edges, edges.canny_edges])
def test_edges_lie_on_the_outline_and_nowhere_else(make) -> None:
    found = make(square())
    assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1
    assert found[22:27, 40:60].max() > 0.8  # the upper side
    assert found[40:56, 40:56].max() < 0.05 and found[:12].max() < 0.05
    assert make(np.full((32, 32, 3), 128, np.uint8)).max() < 0.05


def test_doodles_differ_by_draw_and_repeat_by_seed() -> None:
    draws = [edges.doodle(square(), np.random.default_rng(seed)) for seed in range(20)]
    again = edges.doodle(square(), np.random.default_rng(3))
    assert np.array_equal(draws[3], again)
    assert any(d[..., 4].any() for d in draws) and any(not d[..., 4].any() for d in draws)
    for one in draws:
        assert one.shape == (96, 96, 5) and np.isfinite(one).all()
        assert not one[..., 1:4][one[..., 4] == 0].any()


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
        read_doodle(None, 96)
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


def test_noise_and_strokes_both_reach_the_image() -> None:
    torch.manual_seed(0)
    network, critic = build_generator(TINY), PatchCritic(TINY)
    z, condition = torch.randn(2, 32), torch.rand(1, 5, 32, 32).expand(2, -1, -1, -1)
    images = network(z, condition)
    assert images.shape == (2, 3, 32, 32) and images.abs().max() <= 1
    assert (images[0] - images[1]).abs().max() > 1e-4
    assert (network(z, torch.zeros_like(condition)) - images).abs().max() > 1e-4
    assert critic(images, condition).shape[:2] == (2, 1)


def test_training_resumes_and_its_model_draws(photographs: Path, tmp_path: Path) -> None:
    settings = SketchSettings(batch=2)
    out = tmp_path / "run"
    train_sketch(photographs, out, config=TINY, settings=settings, images=8)
    with pytest.raises(OutputError):
        train_sketch(photographs, out, config=TINY, settings=settings, images=8)
    train_sketch(photographs, out, config=TINY, settings=settings, images=12, resume=True)
    generator = load_generator(out)
    assert generator.card.trained["doodles"] == 12 and generator.card.family == "sketch2image"
    write_image(tmp_path / "doodle.png", 255 - square())
    images = generator.sample(2, seed=5, condition=tmp_path / "doodle.png")  # type: ignore[arg-type]
    assert images.shape == (2, 32, 32, 3) and (images[0] != images[1]).any()
    one = generator.sample(1, seed=6, condition=tmp_path / "doodle.png")  # type: ignore[arg-type]
    assert np.array_equal(one[0], images[1])
    with pytest.raises(ConfigError):
        generator.sample(1)
    with pytest.raises(CountermarkError):
        generator.sample(1, condition="no-such-doodle.png")


def test_training_learns_the_colours_of_a_simple_world(photographs: Path, tmp_path: Path) -> None:
    from countermark.generators.checkpoints import Progress
    from countermark.generators.config import DataConfig
    from countermark.generators.data import load_pictures
    from countermark.generators.sketch.training import _Run

    torch.manual_seed(0)
    run = _Run(TINY, SketchSettings(batch=4), load_pictures(photographs, size=32, options=DataConfig()))
    losses = [run.step(Progress(step=i, images=4 * i), 0.0)[1] for i in range(40)]
    assert np.mean(losses[-8:]) < np.mean(losses[:8])


def test_one_photograph_is_too_few(tmp_path: Path) -> None:
    write_image(tmp_path / "one.png", square())
    with pytest.raises(CorpusError) as error:
        train_sketch(tmp_path, tmp_path / "out", config=TINY, images=4)
    assert error.value.code == "corpus.too-small"


def test_edge_f1_is_one_for_the_same_picture_and_low_for_another() -> None:
    other = np.full((96, 96, 3), 230, np.uint8)
    other[70:90, 5:20] = 0
    assert edge_f1(edges.canny_edges(square()), square()) == 1.0
    assert edge_f1(edges.canny_edges(square()), other) < 0.2


def test_diversity_is_zero_when_the_noise_is_ignored() -> None:
    same = np.stack([square(32)] * 3)
    assert (
        diversity(same, same, lambda images: np.asarray(images).reshape(len(images), -1).astype(float)) == 0
    )
    other = 255 - same
    assert (
        diversity(same, other, lambda images: np.asarray(images).reshape(len(images), -1).astype(float)) > 0
    )
