"""Super-resolution: seams, baseline, training, the shipped network, and its failures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from enlarging_measure import bicubic_pixels, psnr
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark.core.errors import ConfigError, CorpusError, ImageError, OutputError, UnknownNameError
from countermark.core.images import write_image
from countermark.generators import list_generators, load_generator
from countermark.generators.superres.enlarge import enlarge
from countermark.generators.superres.network import SuperresConfig, SuperResolver, bicubic, enlarge_once
from countermark.generators.superres.training import SuperresSettings, degrade, train_superres

TINY = SuperresConfig(width=8, blocks=2, critic_width=4)


def noisy_network() -> SuperResolver:
    torch.manual_seed(0)
    network = SuperResolver(TINY).eval().requires_grad_(False)
    torch.nn.init.normal_(network.tail.weight, std=0.3)
    return network


def scene(side: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[0:side, 0:side]
    disc = (rows - side / 2) ** 2 + (columns - side / 2) ** 2 < (side / 3) ** 2
    wave = 40 * np.sin(columns / 3)
    return np.clip(
        np.stack([disc * 150 + 50 + wave, 200 - disc * 90, columns * 0.0 + 90], -1), 0, 255
    ).astype(np.uint8)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(5, 33))
def test_tiles_leave_no_seams(height: int, width: int, tile: int) -> None:
    network = noisy_network()
    x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height)) * 2 - 1
    assert (enlarge_once(network, x, tile=tile) - network(x)).abs().max() < 1e-5


def test_a_margin_that_is_too_small_would_be_seen() -> None:
    network = noisy_network()
    network.margin = 1
    x = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert (enlarge_once(network, x, tile=16) - network(x)).abs().max() > 1e-3


def test_an_untrained_network_is_bicubic() -> None:
    network = SuperResolver(TINY).eval()
    pixels = scene(32)
    large = enlarge(network, pixels, 2)
    x = torch.rand(1, 3, 9, 7)
    assert torch.allclose(network(x), bicubic(x, 2))
    assert np.abs(large.astype(int) - bicubic_pixels(pixels, 2).astype(int)).max() <= 2


@pytest.mark.parametrize("scale", [0, 1, 3, 8, -2])
def test_scales_that_are_not_known_are_refused(scale: int) -> None:
    with pytest.raises(ConfigError) as error:
        enlarge(noisy_network(), scene(16), scale)
    assert error.value.code == "superres.scale"


def test_huge_images_are_refused_before_they_are_enlarged() -> None:
    huge = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (40_000, 1000, 3))
    with pytest.raises(ConfigError) as error:
        enlarge(noisy_network(), huge, 2)
    assert error.value.code == "superres.too-large"


def test_psnr_of_known_errors() -> None:
    black = np.zeros((4, 4, 3), np.uint8)
    assert psnr(black, black) == float("inf")
    assert psnr(black, black + 255) == pytest.approx(0)
    assert psnr(black, black + 1) == pytest.approx(48.13, abs=0.01)


def test_degraded_crops_are_half_as_large_and_repeatable() -> None:
    one, two = (degrade(scene(), np.random.default_rng(4)) for _ in range(2))
    assert one.shape == (32, 32, 3) and np.array_equal(one, two)


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


def test_training_resumes_and_counts_what_it_skips(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for index in range(6):
        write_image(data / f"{index}.png", np.roll(scene(), 7 * index, axis=1))
    write_image(data / "tiny.png", scene(16))
    (data / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no")
    recipe = SuperresSettings(batch=2, patch=32, warm=0.5)
    out = tmp_path / "run"
    train_superres(data, out, config=TINY, settings=recipe, images=8)
    with pytest.raises(OutputError):
        train_superres(data, out, config=TINY, settings=recipe, images=8)
    train_superres(data, out, config=TINY, settings=recipe, images=12, resume=True)
    generator = load_generator(out)
    assert generator.card.trained["crops"] == 12 and "2 skipped" in generator.card.training_data[0]


def test_too_few_photographs(tmp_path: Path) -> None:
    write_image(tmp_path / "one.png", scene())
    with pytest.raises(CorpusError) as few:
        train_superres(tmp_path, tmp_path / "out", config=TINY, images=4)
    assert few.value.code == "corpus.too-small"
    with pytest.raises(CorpusError) as missing:
        train_superres(tmp_path / "none", tmp_path / "out", config=TINY, images=4)
    assert missing.value.code == "corpus.missing"


def test_what_is_not_known_cannot_be_trained(tmp_path: Path) -> None:
    from countermark.app.train_conditional import train_conditional

    with pytest.raises(UnknownNameError):
        train_conditional("sculpture", tmp_path, out=tmp_path / "out")
    with pytest.raises(ConfigError):
        train_conditional("superres", tmp_path, out=tmp_path / "out", network={"width": 1})
