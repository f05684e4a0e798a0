"""Super-resolution as users call it: the shipped network, bad conditions."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from enlarging_measure import bicubic_pixels, psnr

from countermark.core.errors import ConfigError, ImageError
from countermark.generators import list_generators, load_generator


def scene(side: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[0:side, 0:side]
    disc = (rows - side / 2) ** 2 + (columns - side / 2) ** 2 < (side / 3) ** 2
    wave = 40 * np.sin(columns / 3)
    return np.clip(
        np.stack([disc * 150 + 50 + wave, 200 - disc * 90, columns * 0.0 + 90], -1), 0, 255
    ).astype(np.uint8)


def test_the_shipped_network_beats_bicubic_in_psnr_on_the_average_of_two_photographs() -> None:
    from sklearn.datasets import load_sample_images

    generator = load_generator("superres")
    assert "superres" in list_generators()
    gains = []
    for photograph in load_sample_images().images:  # a temple (where bicubic wins) and a flower
        large = np.ascontiguousarray(photograph[100:356, 150:406])
        small = cv2.resize(large, (128, 128), interpolation=cv2.INTER_AREA)
        made = generator.sample(1, condition=small)[0]  # type: ignore[arg-type]
        assert made.shape == large.shape
        gains.append(psnr(made, large) - psnr(bicubic_pixels(small, 2), large))
    assert np.mean(gains) > 0
    crop = small[:5, :1]
    assert generator.sample(2, condition=crop, scale=4).shape == (2, 20, 4, 3)  # type: ignore[call-arg, arg-type]


def test_bad_conditions_are_refused(tmp_path: Path) -> None:
    generator = load_generator("superres")
    with pytest.raises(ConfigError) as missing:
        generator.sample(1)
    assert missing.value.code == "generator.condition-missing"
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    with pytest.raises(ImageError):
        generator.sample(1, condition=str(tmp_path / "broken.jpg"))
    with pytest.raises(ConfigError) as option:
        generator.sample(1, condition=scene(), sharpness=3)  # type: ignore[call-arg, arg-type]
    assert option.value.code == "generator.option"
    with pytest.raises(ConfigError):
        generator.sample(0, condition=scene())  # type: ignore[arg-type]
