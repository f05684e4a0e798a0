from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from countermark.core.corpus import Corpus
from countermark.core.errors import UnknownNameError
from countermark.detectors import FitSettings, load_detector, train_detector
from countermark.detectors.families.frontends import FRONT_ENDS, make_front_end

Make = Callable[..., np.ndarray]
SMALL = {"side": 48, "width": 8, "levels": 3, "max_width": 32}


@pytest.mark.parametrize("name", FRONT_ENDS.names())
def test_shapes_are_as_stated(name: str) -> None:
    front = make_front_end(name)
    found = front(torch.zeros(2, 3, 48, 64))
    assert found.shape == (2, front.channels, 48 // front.stride, 64 // front.stride)
    assert not list(front.parameters()) and not front.state_dict()


def test_residuals_of_a_flat_picture_are_nothing() -> None:
    flat = torch.full((1, 3, 24, 24), 0.3)
    assert make_front_end("highpass")(flat).abs().max() < 1e-5
    assert make_front_end("npr")(flat).abs().max() == 0


def test_npr_is_blind_to_nearest_upsampling_and_sees_noise() -> None:
    small = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    front = make_front_end("npr")
    assert front(small.repeat_interleave(2, 2).repeat_interleave(2, 3)).abs().max() == 0
    assert front(small)[..., 1::2, 1::2].abs().mean() > 0.05


def test_dct_agrees_with_scipy() -> None:
    grey = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    expected = np.log1p(np.abs(dctn(grey[0, 0].numpy() * 127.5, norm="ortho"))) / 4
    found = make_front_end("dct")(grey.expand(1, 3, 8, 8))[0, :, 0, 0].reshape(8, 8)
    assert np.abs(found.numpy() - expected).max() < 1e-3


def test_unknown_front_ends_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="wavelet"):
        make_front_end("wavelet")


@pytest.mark.parametrize("name", ["npr", "rgb+residual"])
def test_a_critic_learns_on_a_residual_and_draws_a_heatmap(
    name: str, tiny_corpus: Corpus, tmp_path: Path, checkered: Make, smooth: Make
) -> None:
    settings = FitSettings(seed=3, steps=40, batch=16, learning_rate=3e-3)
    path = train_detector(
        tiny_corpus,
        tmp_path,
        name="residual",
        family="critic",
        config={**SMALL, "frontend": name},
        settings=settings,
    )
    detector = load_detector(path)
    real, fake = (detector.logits([make(i) for i in range(500, 506)]) for make in (smooth, checkered))
    assert fake.mean() > real.mean()
    assert detector.heatmap(checkered(7)).shape == (72, 72)
