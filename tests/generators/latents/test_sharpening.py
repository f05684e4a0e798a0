"""The unsharp mask behind the decoder, against OpenCV's Gaussian and against its own formula."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from countermark.generators.families.latent import LatentGenerator
from countermark.generators.latents.config import LatentConfig
from countermark.generators.latents.sharpening import REACH, SPREAD, sharpened


def _pictures(count: int = 2, side: int = 48) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0)) - 0.5


def test_it_is_the_mask_that_opencv_makes():
    picture = _pictures(1)
    found = sharpened(picture, 0.4)[0].permute(1, 2, 0).numpy()
    image = picture[0].permute(1, 2, 0).numpy()
    side = 2 * REACH + 1
    blurred = cv2.GaussianBlur(image, (side, side), SPREAD, borderType=cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(found, image + 0.4 * (image - blurred), atol=1e-6)


def test_flat_pictures_and_no_amount_change_nothing():
    flat, pictures = torch.full((1, 3, 16, 16), 0.25), _pictures()
    assert torch.allclose(sharpened(flat, 1.0), flat)
    assert torch.equal(sharpened(pictures, 0.0), pictures)


def test_what_it_adds_is_bounded_by_what_a_picture_can_hold():
    assert sharpened(2 * _pictures(), 2.0).abs().amax() == 1


@pytest.mark.parametrize("cycles", [2, 6, 12])
def test_a_wave_grows_by_its_frequency(cycles: int):
    """1 + amount x (1 - exp(-2 pi^2 s^2 f^2)) of its amplitude, here where pictures tile."""
    side, amount = 48, 0.3
    wave = 0.1 * torch.sin(2 * torch.pi * cycles * torch.arange(side) / side).expand(1, 3, side, side)
    gain = float(sharpened(wave, amount, circular=True).std() / wave.std())
    frequency = cycles / side
    assert gain == pytest.approx(1 + amount * (1 - np.exp(-2 * (np.pi * SPREAD * frequency) ** 2)), abs=0.01)


def test_pictures_that_tile_still_do():
    pictures = _pictures()
    rolled = sharpened(pictures.roll(17, dims=3), 0.3, circular=True)
    assert torch.allclose(rolled, sharpened(pictures, 0.3, circular=True).roll(17, dims=3), atol=1e-6)


def test_a_generator_sharpens_what_it_paints():
    settings = {"size": 64, "width": 8, "max_width": 16, "layout_width": 8, "layout_max_width": 16}
    plain = LatentGenerator(LatentConfig(**settings)).eval()
    sharp = LatentGenerator(LatentConfig(**settings, sharpness=0.5)).eval()
    sharp.load_state_dict(plain.state_dict())
    z = torch.randn(1, 128, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(sharp(z), sharpened(plain(z), 0.5))
        assert not torch.allclose(sharp(z), plain(z), atol=1e-3)
