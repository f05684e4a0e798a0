"""Measures of doodle to image."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from countermark.core.errors import (
    CorpusError,
    WeightsError,
)
from countermark.core.features import Extractor
from countermark.core.images import write_image
from countermark.generators import load_generator
from countermark.generators.sketch import edges
from countermark.generators.sketch.measure import distance, edge_f1, evaluate_sketch
from countermark.generators.sketch.network import SketchConfig
from countermark.generators.sketch.training import SketchSettings, train_sketch

TINY = SketchConfig(size=32, width=8, max_width=16, critic_width=4)


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


def square(side: int = 96) -> np.ndarray:
    pixels = np.full((side, side, 3), 230, np.uint8)
    pixels[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = (180, 30, 40)
    return pixels


def test_the_evaluation_knows_a_model_that_ignores_the_doodle(photographs: Path, tmp_path: Path) -> None:
    settings = SketchSettings(batch=2, edges="soft")
    out = tmp_path / "run"
    train_sketch(photographs, out, config=TINY, settings=settings, images=4, holdout=0.4)
    generator = load_generator(out)
    few = Extractor("pixels", 8, lambda images: images.reshape(len(images), -1) / 255.0)
    with pytest.raises(CorpusError) as error:
        evaluate_sketch(generator, photographs, extractor=few)
    assert error.value.code == "corpus.too-small"
    folder = tmp_path / "more"
    draw = np.random.default_rng(1)
    for index in range(60):
        pixels = np.full((32, 32, 3), 220, np.uint8)
        top, left = draw.integers(2, 14, 2)
        pixels[top : top + 14, left : left + 14] = draw.integers(0, 120, 3)
        write_image(folder / f"{index}.png", pixels)

    class Echo(torch.nn.Module):
        """Paints the strokes, or the same square whatever is drawn."""

        def __init__(self, listens: bool) -> None:
            super().__init__()
            self.listens = listens

        def forward(self, z: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
            fixed = torch.zeros_like(condition[:, :1])
            fixed[:, :, 8:24, 8:24] = 1
            ink = condition[:, :1] if self.listens else fixed
            return (1 - 2 * ink).expand(-1, 3, -1, -1) * 0.9

    listens, deaf = (
        evaluate_sketch(dataclasses.replace(generator, network=Echo(flag)), folder, extractor=few)
        for flag in (True, False)
    )
    assert listens.edge_f1.low > listens.edge_f1_other.high and listens.count >= 8
    assert deaf.edge_f1.value == pytest.approx(deaf.edge_f1_other.value, abs=0.02)
    assert listens.seeds == deaf.seeds == 0 < listens.photographs
    assert listens.examples.shape == (4 * 34 - 2, 8 * 34 - 2, 3)
    with pytest.raises(WeightsError):
        evaluate_sketch("digits-32", folder, extractor=few)


def test_edge_f1_is_one_for_the_same_picture_and_low_for_another() -> None:
    other = np.full((96, 96, 3), 230, np.uint8)
    other[70:90, 5:20] = 0
    assert edge_f1(edges.canny_edges(square()), square()) == 1.0
    assert edge_f1(edges.canny_edges(square()), other) < 0.2


def test_the_distance_of_two_images_is_zero_when_the_noise_is_ignored() -> None:
    same = np.stack([square(32)] * 3).reshape(3, -1).astype(float)
    assert distance(same, same) == 0
    assert distance(same, 255 - same) > 0
