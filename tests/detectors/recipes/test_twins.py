from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from countermark.core.autoencoder import build_decoder, build_encoder
from countermark.core.errors import WeightsError
from countermark.core.seeds import rng
from countermark.detectors.recipes import twins

Make = Callable[..., np.ndarray]


def test_an_upsampler_keeps_the_content_and_changes_the_pixels(smooth: Make) -> None:
    picture = smooth(1, 96)
    for seed in range(8):
        copy = twins.simulate_upsampler(picture, rng(seed))
        assert copy.shape == picture.shape and copy.dtype == np.uint8
        error = np.abs(copy.astype(float) - picture)
        assert 0 < error.mean() < 30


def test_outside_the_mask_a_twin_is_the_picture(smooth: Make) -> None:
    picture = smooth(2, 128)
    twin, mask = twins.make_twin(picture, rng(3), lambda p, g: 255 - p, masked=1.0)
    assert np.array_equal(twin[mask == 0], picture[mask == 0])
    assert 0.1 < mask.mean() < 0.7
    changed = np.abs(twin.astype(int) - picture).max(axis=2)
    assert changed[mask > 0.5].mean() > 5


def test_alpha_bounds_the_share_of_the_twin() -> None:
    picture = np.zeros((40, 40, 3), np.uint8)
    for seed in range(6):
        twin, mask = twins.make_twin(picture, rng(seed), lambda p, g: p + 200, alpha=(0.5, 1.0), masked=0.0)
        assert 0.5 <= mask.min() == mask.max() <= 1 and 99 <= twin.min() <= 200


def test_an_autoencoder_of_the_known_structure_reconstructs(tmp_path: Path, smooth: Make) -> None:
    parts = {"encoder.": build_encoder(), "decoder.": build_decoder()}
    tensors = {name + k: v for name, part in parts.items() for k, v in part.state_dict().items()}
    save_file(tensors, tmp_path / "tiny.safetensors")
    reconstruct = twins.load_autoencoder(tmp_path / "tiny.safetensors")
    copy = reconstruct(smooth(3, 48), rng(0))
    assert copy.shape == (48, 48, 3) and copy.dtype == np.uint8
    tensors.pop("encoder.0.bias")
    save_file(tensors, tmp_path / "cut.safetensors")
    with pytest.raises(WeightsError, match=r"cut\.safetensors"):
        twins.load_autoencoder(tmp_path / "cut.safetensors")
