"""The shipped autoencoder: pictures come back, tiles stay tiles, gradients pass, a stranger is refused."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

from countermark.core.autoencoder import CHANNELS
from countermark.core.errors import WeightsError
from countermark.core.weights import read_card
from countermark.generators.base import to_pixels, to_tensor
from countermark.generators.data.textures import seam_rank, texture
from countermark.generators.latents import autoencoder


def _photograph(side: int = 128) -> np.ndarray:
    return np.ascontiguousarray(load_sample_images().images[1][100 : 100 + side, 200 : 200 + side])


def test_a_photograph_comes_back():
    pictures = to_tensor(_photograph()[None])
    latents = autoencoder.encode(pictures)
    assert latents.shape == (1, CHANNELS, 16, 16)
    back = autoencoder.decode(latents)
    assert back.shape == pictures.shape
    assert float(back.min()) >= -1
    assert float(back.max()) <= 1
    error = float(((back - pictures) / 2).square().mean())
    assert -10 * np.log10(error) > 25


def test_a_tile_stays_a_tile_with_circular_padding():
    tile = to_tensor(texture("brick", 3, 128)[None])
    painted = {
        padding: to_pixels(autoencoder.decode(autoencoder.encode(tile, padding), padding))
        for padding in ("zeros", "circular")
    }
    away = {}
    for padding in ("zeros", "circular"):
        rolled = autoencoder.encode(tile.roll(8, dims=3), padding)
        away[padding] = float((rolled - autoencoder.encode(tile, padding).roll(1, dims=3)).abs().max())
    # In bfloat16 a moved picture is rounded otherwise.
    assert away["circular"] < 0.1 < away["zeros"]
    assert seam_rank(painted["circular"])[0] < seam_rank(painted["zeros"])[0]


def test_gradients_pass_through_the_decoder_and_leave_it_alone():
    latents = torch.zeros(1, CHANNELS, 2, 2, requires_grad=True)
    autoencoder.decode(latents).sum().backward()
    assert latents.grad is not None
    assert float(latents.grad.abs().sum()) > 0


def test_both_halves_have_cards_with_origin_and_licence():
    for half in ("encoder", "decoder"):
        card = read_card(autoencoder.WEIGHTS / f"taef2-{half}.safetensors")
        assert card.licence == "MIT"
        assert "madebyollin/taesd" in card.trained["origin"]
        assert autoencoder.digest(half) == card.sha256


def test_a_changed_decoder_is_refused(tmp_path, monkeypatch):
    for path in autoencoder.WEIGHTS.glob("taef2-decoder*"):
        shutil.copy(path, tmp_path)
    weights = tmp_path / "taef2-decoder.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    monkeypatch.setattr(autoencoder, "WEIGHTS", tmp_path)
    autoencoder._load.cache_clear()
    try:
        with pytest.raises(WeightsError) as caught:
            autoencoder.digest("decoder")
        assert caught.value.code == "weights.checksum"
    finally:
        autoencoder._load.cache_clear()


def test_painting_in_bfloat16_is_near_painting_in_float32(monkeypatch):
    ramp = torch.linspace(-0.8, 0.8, 64)
    latents = autoencoder.encode((ramp[:, None] * ramp).expand(2, 3, 64, 64).contiguous())
    painted = {}
    for coarse in (True, False):
        monkeypatch.setattr(autoencoder, "computes_bfloat16", lambda coarse=coarse: coarse)
        with torch.no_grad():
            painted[coarse] = autoencoder.decode(latents)
    assert painted[True].dtype == torch.float32
    assert float((painted[True] - painted[False]).abs().mean()) * 127.5 < 2
    monkeypatch.setattr(autoencoder, "computes_bfloat16", lambda: True)
    again = autoencoder.decode(latents)  # gradients are asked for: float32
    assert torch.allclose(again, painted[False], atol=1e-4)
