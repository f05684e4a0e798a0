"""Doodle to image in the latent space: both inputs matter; a trained one loads, samples and resumes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from countermark.core.errors import ConfigError, CorpusError, OutputError, WeightsError
from countermark.core.files import sha256_file
from countermark.core.images import write_image
from countermark.core.weights import WeightsCard, read_card, write_card
from countermark.generators.families.detail import Detail
from countermark.generators.families.latent import LatentGenerator
from countermark.generators.latents.autoencoder import digest
from countermark.generators.latents.config import LatentConfig
from countermark.generators.library import load_generator, save_generator
from countermark.generators.sketch.latent import (
    LatentSketch,
    LatentSketchConfig,
    SketchDetail,
    guides,
    squares,
)
from countermark.generators.sketch.latent_training import LatentSketchSettings, train_latent_sketch
from countermark.generators.sketch.measure import evaluate_sketch

CONFIG = LatentSketchConfig(
    size=64,
    latent=8,
    width=8,
    max_width=16,
    layout_width=8,
    layout_max_width=16,
    lines=4,
    palettes=16,
    critic_width=8,
)
SETTINGS = LatentSketchSettings(batch=4, layout_batch=4, warm=4, layouts=1.0, edges="soft", bf16=False)


@pytest.fixture
def scenes(tmp_path):
    root, draw = tmp_path / "scenes", np.random.default_rng(0)
    for index in range(24):
        pixels = draw.integers(0, 256, (8, 8, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
        write_image(root / f"{index}.png", pixels)
    return root


@pytest.fixture
def page():
    pixels = np.full((100, 100, 3), 255, np.uint8)
    pixels[30:34, 20:80] = pixels[60:64, 20:80] = 0
    return pixels


def _strokes() -> torch.Tensor:
    full = torch.zeros(2, 5, 64, 64)
    full[:, 0, 20:24] = 1
    return full


def test_doodle_and_z_both_change_layout_and_detail():
    torch.manual_seed(0)
    network = LatentSketch(CONFIG)
    network.layout.palettes.keep(torch.rand(16, 5, 8, 8).softmax(dim=1), torch.rand(16, 3, 8, 8))
    z, empty, full = torch.randn(2, 8), *(squares(c, 8) for c in (torch.zeros(2, 5, 64, 64), _strokes()))
    drawn = network.layout(z, empty)
    assert drawn.shape == (2, 3, 8, 8)
    assert not torch.allclose(drawn[:1], drawn[1:])
    assert not torch.allclose(drawn, network.layout(z, full))
    painted = network.detail(z, guides(drawn, empty))
    assert painted.shape == (2, 32, 8, 8)
    assert not torch.allclose(painted, network.detail(z, guides(drawn, full)))
    assert not torch.allclose(painted, network.detail(z, guides(-drawn, empty)))


@pytest.mark.parametrize(("size", "cells"), [(64, 8), (128, 16), (256, 16)])
def test_a_stroke_lies_in_the_square_where_it_was_drawn(size, cells):
    condition = torch.zeros(1, 5, size, size)
    condition[:, 0, size // 2 : size // 2 + 8, :8] = 1
    found = squares(condition, cells)
    assert found.shape == (1, 320, cells, cells)
    assert found.amax(dim=1).nonzero().tolist() == [[0, cells // 2, 0]]


@pytest.mark.parametrize("classes", [0, 3])
def test_detail_begun_with_a_generator_draws_what_that_one_does(classes):
    torch.manual_seed(0)
    config = CONFIG.detail.model_copy(update={"classes": classes, "code": 6})
    other, own = Detail(config), SketchDetail(CONFIG)
    if classes:
        with torch.no_grad():
            other.code.embedding.weight[:] = other.code.embedding.weight[:1].clone()
    own.begin_with(other)
    z, cells = torch.randn(2, 8), torch.randn(2, 3, 8, 8)
    labels = torch.tensor([0, 1]) if classes else None
    expected = other(z, cells, labels)
    assert torch.allclose(own(z, guides(cells, squares(_strokes(), 8))), expected, atol=1e-5)


def test_a_run_starts_from_latent_generators_of_its_size_only(scenes, tmp_path):
    settings = replace(SETTINGS, start="digits-32")
    with pytest.raises(ConfigError, match="latent generator of 64 px"):
        train_latent_sketch(scenes, tmp_path / "run", config=CONFIG, settings=settings, images=4)
    network = LatentGenerator(LatentConfig(size=64, latent=8, width=8, max_width=16, layout_width=8))
    card = WeightsCard(
        name="small", kind="generator", family="latent", config=network.config.model_dump(),
        preprocessing={"decoder": digest("decoder")},
    )  # fmt: skip
    path = save_generator(tmp_path / "small", network, card)
    wide = CONFIG.model_copy(update={"width": 16, "max_width": 32})
    made = train_latent_sketch(
        scenes, tmp_path / "run", config=wide, settings=replace(SETTINGS, start=str(path)), images=4
    )
    assert read_card(made).trained["start"] == "small"
    assert read_card(made).config["width"] == 8


def test_a_run_goes_on_from_a_model_of_its_own_family(scenes, tmp_path):
    first = train_latent_sketch(scenes, tmp_path / "first", config=CONFIG, settings=SETTINGS, images=8)
    wide = CONFIG.model_copy(update={"width": 16, "max_width": 32, "lines": 6})
    settings = replace(SETTINGS, start=str(first), rate=1e-12)
    made = train_latent_sketch(scenes, tmp_path / "next", config=wide, settings=settings, images=4)
    assert [read_card(made).config[name] for name in ("width", "lines")] == [8, 4]
    before, after = (load_generator(path).network.detail.state_dict() for path in (first, made))
    assert all(torch.allclose(before[name], after[name], atol=1e-3) for name in before)


def test_a_trained_one_samples_is_measured_and_says_what_it_is_for(scenes, page, tmp_path):
    path = train_latent_sketch(
        scenes, tmp_path / "run", config=CONFIG, settings=SETTINGS, images=8, holdout=0.5
    )
    card = read_card(path)
    assert card.trained["doodles"] == 8
    assert card.preprocessing["decoder"] == digest("decoder")
    loaded = load_generator(path)
    one = loaded.sample(2, seed=3, condition=page)
    assert one.shape == (2, 64, 64, 3)
    assert (one[0] != one[1]).any()
    assert np.array_equal(one[1:], loaded.sample(1, seed=4, condition=page))
    report = evaluate_sketch(loaded, scenes, extractor="dct")
    assert report.count >= 8
    write_card(path.parent, card.model_copy(update={"preprocessing": {"condition": "doodle"}}))
    with pytest.raises(WeightsError, match="another decoder"):
        load_generator(path)


def test_resuming_gives_what_an_unbroken_run_gives(scenes, tmp_path):
    options = {"config": CONFIG, "settings": SETTINGS, "holdout": 0.0}
    whole = train_latent_sketch(scenes, tmp_path / "whole", images=16, **options)
    with pytest.raises(OutputError):
        train_latent_sketch(scenes, tmp_path / "whole", images=16, **options)
    assert sha256_file(whole)
    again = train_latent_sketch(scenes, tmp_path / "again", images=16, **options)
    assert sha256_file(whole) == sha256_file(again)
    resumed = train_latent_sketch(scenes, tmp_path / "whole", images=16, resume=True, **options)
    assert sha256_file(whole) == sha256_file(resumed)


def test_latents_of_another_folder_are_refused(scenes, tmp_path):
    options = {"config": CONFIG, "settings": SETTINGS, "holdout": 0.0}
    train_latent_sketch(scenes, tmp_path / "run", images=4, **options)
    write_image(scenes / "more.png", np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(CorpusError) as caught:
        train_latent_sketch(scenes, tmp_path / "run", images=8, resume=True, **options)
    assert caught.value.code == "latents.foreign"
