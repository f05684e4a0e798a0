"""Training of the feed-forward network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from countermark.core.errors import (
    ConfigError,
    CorpusError,
    OutputError,
    TrainingError,
    WeightsError,
)
from countermark.core.images import write_image
from countermark.core.weights import read_card
from countermark.generators import load_generator
from countermark.generators.base import to_tensor
from countermark.generators.style import encoder as encoders
from countermark.generators.style import training
from countermark.generators.style.adain import AdainConfig, AdainDecoder
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


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    draws = np.random.default_rng(0)
    for index in range(8):
        picture = np.roll(content(64, 80), int(draws.integers(40)), axis=1)
        write_image(tmp_path / "content" / f"{index}.png", picture)
        write_image(tmp_path / "styles" / f"{index}.png", stripes(70, 2 + index))
    return tmp_path / "content", tmp_path / "styles"


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
