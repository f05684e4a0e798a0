"""Knows photographs only: what is unlike them scores high, and no synthetic picture is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark.core.corpus import Corpus, CorpusRow, write_metadata
from countermark.core.errors import ConfigError, TrainingError, WeightsError
from countermark.core.images import write_image
from countermark.core.seeds import rng
from countermark.core.stats import auroc
from countermark.detectors import FitSettings, load_detector
from countermark.detectors.families import register_families
from countermark.detectors.families.oneclass import OneClassDetector, conformal_calibrator
from countermark.detectors.families.residuals import COUNT, residual_features
from countermark.detectors.training import train_one_class


def photograph(seed: int) -> np.ndarray:
    """Smooth colours under a fine grain that differs a little from picture to picture."""
    draw = rng(seed, "photograph")
    base = cv2.resize(draw.integers(0, 256, (5, 5, 3)).astype(np.uint8), (160, 140))
    grain = draw.normal(0, draw.uniform(2, 5), base.shape)
    return np.clip(base + cv2.GaussianBlur(grain, (0, 0), 0.6), 0, 255).astype(np.uint8)


def upsampled(seed: int) -> np.ndarray:
    """The same, halved and doubled by nearest neighbours: no grain finer than two pixels."""
    return photograph(seed + 5000)[::2, ::2].repeat(2, axis=0).repeat(2, axis=1)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    root = tmp_path_factory.mktemp("photographs")
    rows = []
    for index in range(70):
        write_image(root / f"{index}.png", photograph(index))
        rows.append(CorpusRow(f"{index}.png", "real", "", f"camera-{index % 5}"))
    return write_metadata(root, rows)


@pytest.fixture(scope="module")
def trained(photographs: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("one-class")
    config = {"components": 8, "mixtures": 2, "crops": 1}
    return train_one_class(
        photographs, out, name="mine", config=config, settings=FitSettings(seed=1, views=2)
    )


def test_unlike_pictures_score_high(trained: Path) -> None:
    detector = load_detector(trained)
    real = detector.score([photograph(n) for n in range(200, 230)])
    fake = detector.score([upsampled(n) for n in range(30)])
    labels = np.repeat([0, 1], 30)
    assert auroc(labels, np.concatenate([real, fake])) > 0.9
    assert ((real >= 0) & (real <= 1)).all()
    likely = detector.thresholds(0.1).likely
    assert np.mean(real >= likely) < 0.3 < np.mean(fake >= likely)
    assert set(detector.card.trained["held_apart"]) <= {f"camera-{n}" for n in range(5)}
    assert detector.card.trained["photographs"] < 70, "some were kept for the threshold"


def test_saved_and_loaded_scores_are_the_same_every_time(
    photographs: Corpus, trained: Path, tmp_path
) -> None:
    config = {"components": 8, "mixtures": 2, "crops": 1}
    again = train_one_class(
        photographs, tmp_path, name="mine", config=config, settings=FitSettings(seed=1, views=2)
    )
    pictures = [photograph(900), upsampled(901)]
    assert np.array_equal(load_detector(trained).score(pictures), load_detector(again).score(pictures))


def test_heatmap_covers_the_picture(trained: Path) -> None:
    picture = np.concatenate([photograph(3), upsampled(4)], axis=1)
    heat = load_detector(trained).heatmap(picture)
    assert heat.shape == picture.shape[:2] and heat.dtype == np.float32
    assert heat[:, -80:].mean() > heat[:, :80].mean()


def test_refusals(photographs: Corpus, trained: Path, tmp_path: Path) -> None:
    few = replace(photographs, rows=photographs.rows[:30])
    with pytest.raises(TrainingError) as caught:
        train_one_class(few, tmp_path, name="x")
    assert caught.value.code == "training.too-few"
    for config in ({"colour": 1}, {"components": 0}, {"crops": 99}):
        with pytest.raises(ConfigError):
            OneClassDetector.create(config, 0)
    assert "one-class" in register_families()
    tensors, config = load_detector(trained).network.state()
    tensors["axes"] = tensors["axes"][:-1]
    with pytest.raises(ConfigError, match="axes"):
        OneClassDetector.restore(config, tensors)
    with pytest.raises(WeightsError):
        load_detector(tmp_path / "no.safetensors")


@settings(max_examples=20, deadline=None)
@given(
    st.integers(16, 70),
    st.integers(16, 70),
    st.sampled_from(["noise", "flat", "black", "stripes"]),
    st.integers(0, 99),
)
def test_features_are_finite_whatever_is_shown(high: int, wide: int, kind: str, seed: int) -> None:
    picture = np.zeros((high, wide, 3), np.uint8)
    if kind == "noise":
        picture = np.random.default_rng(seed).integers(0, 256, picture.shape).astype(np.uint8)
    elif kind == "flat":
        picture[:] = seed
    elif kind == "stripes":
        picture[::2] = 255
    found = residual_features(picture)
    assert found.shape == (COUNT,) and np.isfinite(found).all()


def test_conformal_shares() -> None:
    calibrator = conformal_calibrator(np.arange(99.0))
    assert calibrator(np.array([-5.0, 49.0, 500.0])) == pytest.approx([0.01, 0.5, 0.99], abs=0.02)
    new = np.random.default_rng(0).uniform(0, 98, 2000)
    # Split conformal: a picture like those held apart exceeds 0.9 in about one of ten cases.
    assert np.mean(calibrator(new) >= 0.9) == pytest.approx(0.1, abs=0.03)
