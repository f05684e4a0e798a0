"""A map that knows the region gets full marks, one that knows nothing gets chance."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from countermark.core.corpus import Corpus, CorpusRow, write_metadata
from countermark.core.errors import CorpusError
from countermark.core.images import write_image
from countermark.core.seeds import rng
from countermark.detectors.measuring.localisation import evaluate_localisation, iou, make_blend, pixel_auc


def invert(picture: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return 255 - picture


class Seer:
    """Knows that real pictures here are dark and that what was blended in is bright."""

    name = "seer"
    card = SimpleNamespace(sha256="00")

    def heatmap(self, image: np.ndarray) -> np.ndarray:
        return image.mean(axis=2).astype(np.float32) / 255

    def score(self, images: list[np.ndarray]) -> np.ndarray:
        return np.array([image.mean() / 255 for image in images])

    def thresholds(self, max_fpr: float = 0.01) -> Any:
        return SimpleNamespace(likely=0.1)


class Blind(Seer):
    def heatmap(self, image: np.ndarray) -> np.ndarray:
        return rng(int(image.sum())).random(image.shape[:2]).astype(np.float32)


@pytest.fixture(scope="module")
def dark(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    root = tmp_path_factory.mktemp("dark")
    rows = []
    for index in range(8):
        pixels = rng(index, "dark").integers(0, 20, (200, 150 + 8 * index, 3)).astype(np.uint8)
        write_image(root / f"{index}.png", pixels)
        rows.append(CorpusRow(f"{index}.png", "real", "", f"source-{index % 3}"))
    write_image(root / "small.png", pixels[:60, :60])
    rows.append(CorpusRow("small.png", "real", "", "source-0"))
    return write_metadata(root, rows)


def test_who_sees_the_region_is_told_so(dark: Corpus) -> None:
    found = evaluate_localisation(Seer(), dark, reconstruct=invert, resamples=50)  # type: ignore[arg-type]
    assert found.images == 8, "the picture of 60 px is left out"
    for name, figures in found.conditions.items():
        assert figures.auc.value > 0.97 and figures.iou.value > 0.75, name
        assert figures.iou_everything.value < 0.65 < figures.iou.value
        assert figures.flagged.value == 1 and figures.auc.clusters == 3


def test_who_sees_nothing_is_at_chance(dark: Corpus) -> None:
    found = evaluate_localisation(Blind(), dark, reconstruct=invert, resamples=50)  # type: ignore[arg-type]
    for figures in found.conditions.values():
        assert 0.42 < figures.auc.value < 0.58
        assert figures.iou.value <= figures.iou_everything.value + 0.05


def test_blends_change_nothing_outside(dark: Corpus) -> None:
    picture = rng(1).integers(0, 20, (203, 155, 3)).astype(np.uint8)
    blend, mask = make_blend(picture, rng(2), invert)
    assert blend.shape == (200, 152, 3) and mask.shape == (200, 152)
    outside = mask < 1e-3
    assert outside.any() and np.array_equal(blend[outside], picture[:200, :152][outside])
    assert blend[mask > 0.7].mean() > 150


def test_measures() -> None:
    mask = np.zeros((4, 4), bool)
    mask[:2] = True
    assert iou(mask.astype(float), mask, 0.5) == 1 and iou(np.ones((4, 4)), mask, 0.5) == 0.5
    assert iou(np.zeros((4, 4)), np.zeros((4, 4), bool), 0.5) == 0
    assert pixel_auc(mask.astype(float), mask) == 1 and np.isnan(pixel_auc(mask.astype(float), mask | True))


def test_too_few_pictures(dark: Corpus) -> None:
    with pytest.raises(CorpusError) as caught:
        evaluate_localisation(Seer(), dark, images=2)  # type: ignore[arg-type]
    assert caught.value.code == "corpus.too-few"
