"""Training of doodle to image: it learns, resumes, and stops with a reason."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from countermark.core.errors import (
    ConfigError,
    CorpusError,
    CountermarkError,
    MissingExtraError,
    OutputError,
    TrainingError,
    WeightsError,
)
from countermark.core.files import sha256_file
from countermark.core.images import write_image
from countermark.generators import load_generator
from countermark.generators.sketch import hed, training
from countermark.generators.sketch.network import SketchConfig
from countermark.generators.sketch.training import SketchSettings, train_sketch
from countermark.generators.training.checkpoints import FILE

TINY = SketchConfig(size=32, width=8, max_width=16, critic_width=4)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    draw = np.random.default_rng(0)
    for index in range(12):
        pixels = np.full((40, 40, 3), draw.integers(120, 255, 3), np.uint8)
        top, left = draw.integers(4, 12, 2)
        pixels[top : top + 20, left : left + 20] = draw.integers(0, 255, 3)
        write_image(folder / f"{index}.png", pixels)
    return folder


def square(side: int = 96) -> np.ndarray:
    pixels = np.full((side, side, 3), 230, np.uint8)
    pixels[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = (180, 30, 40)
    return pixels


def test_without_its_package_hed_is_refused_and_soft_edges_stand_in(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hed, "vgg_file", lambda: None)
    with pytest.raises(MissingExtraError):
        hed.load_hed()
    settings = SketchSettings(batch=2, edges="hed")
    with pytest.raises(MissingExtraError):
        train_sketch(photographs, tmp_path / "a", config=TINY, settings=settings, images=2)
    path = train_sketch(photographs, tmp_path / "b", config=TINY, settings=SketchSettings(batch=2), images=2)
    assert load_generator(path).card.trained["edges"] == "soft"


def test_training_resumes_and_its_model_draws(photographs: Path, tmp_path: Path) -> None:
    settings = SketchSettings(batch=2, edges="soft")
    out = tmp_path / "run"
    train_sketch(photographs, out, config=TINY, settings=settings, images=8)
    with pytest.raises(OutputError):
        train_sketch(photographs, out, config=TINY, settings=settings, images=8)
    train_sketch(photographs, out, config=TINY, settings=settings, images=12, resume=True)
    generator = load_generator(out)
    assert generator.card.trained["doodles"] == 12 and generator.card.family == "sketch2image"
    write_image(tmp_path / "doodle.png", 255 - square())
    images = generator.sample(2, seed=5, condition=tmp_path / "doodle.png")  # type: ignore[arg-type]
    assert images.shape == (2, 32, 32, 3) and (images[0] != images[1]).any()
    one = generator.sample(1, seed=6, condition=tmp_path / "doodle.png")  # type: ignore[arg-type]
    assert np.array_equal(one[0], images[1])
    with pytest.raises(ConfigError):
        generator.sample(1)
    with pytest.raises(CountermarkError):
        generator.sample(1, condition="no-such-doodle.png")


@pytest.mark.parametrize("what", ["loss", "weight"])
def test_what_is_not_a_number_stops_and_keeps_the_checkpoint(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    settings = SketchSettings(batch=2, edges="soft")
    train_sketch(photographs, tmp_path, config=TINY, settings=settings, images=4)
    before = sha256_file(tmp_path / FILE)
    real = training._Run.step

    def poisoned(run, progress, share):
        losses = real(run, progress, share)
        if what == "loss":
            return {**losses, "critic": float("nan")}
        with torch.no_grad():
            run.critic.layers[-1].bias.fill_(float("inf"))
        return losses

    monkeypatch.setattr(training._Run, "step", poisoned)
    with pytest.raises(TrainingError, match="not a number") as error:
        train_sketch(photographs, tmp_path, config=TINY, settings=settings, images=6, resume=True)
    assert error.value.code == "training.diverged" and "Lower the learning rates" in error.value.hint
    assert str(tmp_path / FILE) in error.value.hint and sha256_file(tmp_path / FILE) == before


def test_a_full_disk_stops_with_a_named_error(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("countermark.core.files.write_all", full)
    with pytest.raises(TrainingError, match="No space left") as error:
        settings = SketchSettings(batch=2, edges="soft")
        train_sketch(photographs, tmp_path / "run", config=TINY, settings=settings, images=2)
    assert error.value.code == "training.disk" and "no checkpoint yet" in error.value.hint
    assert not list((tmp_path / "run").iterdir())


def test_a_stopped_training_goes_on_as_if_it_had_not_been(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SketchSettings(batch=2, edges="soft")
    whole = train_sketch(photographs, tmp_path / "whole", config=TINY, settings=settings, images=8)
    real = training._Run.step

    def interrupted(run, progress, share):
        if progress.step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(run, progress, share)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "step", interrupted)
        with pytest.raises(TrainingError) as error:
            train_sketch(photographs, out, config=TINY, settings=settings, images=8)
        assert error.value.code == "training.stopped"
    resumed = train_sketch(photographs, out, config=TINY, settings=settings, images=8, resume=True)
    assert sha256_file(resumed) == sha256_file(whole)
    with pytest.raises(WeightsError) as other:
        wider = dataclasses.replace(settings, seed=3)
        train_sketch(photographs, out, config=TINY, settings=wider, images=10, resume=True)
    assert other.value.code == "weights.family"


def test_training_learns_the_colours_of_a_simple_world(photographs: Path, tmp_path: Path) -> None:
    from countermark.generators.data.pictures import DataConfig, load_pictures
    from countermark.generators.sketch.training import _Run
    from countermark.generators.training.checkpoints import Progress

    torch.manual_seed(0)
    settings = SketchSettings(batch=4, edges="soft")
    run = _Run(TINY, settings, load_pictures(photographs, size=32, options=DataConfig()))
    losses = [run.step(Progress(step=i, images=4 * i), 0.0)["generator"] for i in range(24)]
    assert np.mean(losses[-8:]) < np.mean(losses[:8])


def test_one_photograph_is_too_few(tmp_path: Path) -> None:
    write_image(tmp_path / "one.png", square())
    with pytest.raises(CorpusError) as error:
        train_sketch(tmp_path, tmp_path / "out", config=TINY, images=4)
    assert error.value.code == "corpus.too-small"
