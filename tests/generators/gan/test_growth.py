"""Growing a trained generator: shapes, seams, training, and its failures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from countermark.core.errors import ConfigError, OutputError, TrainingError, WeightsError
from countermark.core.images import write_image
from countermark.core.weights import read_card
from countermark.generators import load_generator
from countermark.generators.data.pictures import load_pictures
from countermark.generators.data.textures import MATERIALS, texture
from countermark.generators.families import FAMILIES
from countermark.generators.families.grown import GrowthStage, smooth
from countermark.generators.gan import growth
from countermark.generators.gan.growth import GrowthSettings, grow_generator
from countermark.generators.gan.training import train_generator

FAST = GrowthSettings(batch=4, crop=8, width=8, blocks=1, critic_width=4, bf16=False)


@pytest.fixture
def small(photos: Path, tmp_path: Path, tiny_recipe) -> Path:
    """A generator of 16 px with two classes."""
    recipe = tiny_recipe(data={"classes": True})
    return train_generator(photos, tmp_path / "small", recipe=recipe, name="small", progress=False)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Pictures of 64 px in the same two classes."""
    for index in range(10):
        name = sorted(MATERIALS)[index % 2]
        write_image(tmp_path / "large" / "ab"[index % 2] / f"{index}.png", texture(name, index, 64))
    return tmp_path / "large"


def test_the_stage_starts_as_bicubic_enlargement() -> None:
    config = FAMILIES.get("grown").parse({"size": 64, "factor": 4, "base": {"width": 4}})
    torch.manual_seed(0)
    stage, x = GrowthStage(config), torch.rand(2, 3, 16, 16) * 2 - 1  # type: ignore[arg-type]
    assert (stage(x) - smooth(x, 4)).abs().max() < 0.05
    assert torch.allclose(smooth(x, 4), F.interpolate(x, scale_factor=4.0, mode="bicubic"))


def test_a_circular_stage_goes_around_the_edges() -> None:
    config = FAMILIES.get("grown").parse({"size": 64, "factor": 4, "padding": "circular"})
    torch.manual_seed(0)
    stage, x = GrowthStage(config).eval(), torch.rand(1, 3, 16, 16)  # type: ignore[arg-type]
    torch.nn.init.normal_(stage.out.weight, std=0.2)
    torch.nn.init.zeros_(stage.gate.gate.weight)  # the gate sees the whole layout
    for strength in stage.strengths:
        torch.nn.init.zeros_(strength)  # the grain stays where it is
    rolled = stage(torch.roll(x, (5, 9), (2, 3)))
    assert torch.allclose(torch.roll(stage(x), (20, 36), (2, 3)), rolled, atol=1e-4)


def test_the_grain_is_new_in_training_and_always_the_same_afterwards() -> None:
    config = FAMILIES.get("grown").parse({"size": 64, "factor": 4})
    torch.manual_seed(0)
    stage, x = GrowthStage(config), torch.rand(1, 3, 16, 16)  # type: ignore[arg-type]
    assert not torch.equal(stage(x), stage(x))
    stage.eval()
    assert torch.equal(stage(x), stage(x)) and stage(torch.rand(1, 3, 21, 9)).shape == (1, 3, 84, 36)


def test_the_small_generator_is_kept_and_the_grown_one_samples(
    small: Path, large: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    path = grow_generator(small, large, out, factor=4, settings=FAST, images=24, name="own")
    grown, base = load_generator(path), load_generator(small)
    assert grown.classes == base.classes and grown.size == 64
    images = grown.sample(3, seed=5, condition="b")
    assert images.shape == (3, 64, 64, 3)
    kept = grown.network.base(grown.latents(3, 5), grown.labels(3, 5, "b"))  # type: ignore[operator]
    assert (
        np.abs(base.sample(3, seed=5, condition="b") / 127.5 - 1 - kept.permute(0, 2, 3, 1).numpy()).max()
        < 0.02
    )
    card = read_card(path)
    assert card.trained["steps"] == 6 and card.trained["base_sha256"] == base.sha256
    assert "large at 64 px" in card.training_data[-1]
    with pytest.raises(OutputError):
        grow_generator(small, large, out, settings=FAST, images=24, name="own")
    resumed = grow_generator(small, large, out, settings=FAST, images=32, name="own", resume=True)
    assert read_card(resumed).trained["steps"] == 8


def test_training_brings_real_pictures_nearer_than_bicubic(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stripes"
    draws = np.random.default_rng(0)
    for index in range(12):
        rows, columns = np.mgrid[0:64, 0:64] + draws.integers(0, 8, 2)[:, None, None]
        hard = (((rows // 8 + columns // 8) % 2) * 200 + 20).astype(np.uint8)
        write_image(folder / "ab"[index % 2] / f"{index}.png", np.repeat(hard[..., None], 3, 2))
    settings = dataclasses.replace(FAST, adversarial=0.0, keep=0.0, width=16, rate=3e-3)
    path = grow_generator(small, folder, tmp_path / "run", settings=settings, images=400)
    pictures = load_pictures(folder, size=64)
    real = torch.from_numpy(pictures.images).permute(0, 3, 1, 2).float() / 127.5 - 1
    low, labels = F.avg_pool2d(real, 4), torch.zeros(len(real), dtype=torch.long)
    made = load_generator(path).network.stage(low, labels)  # type: ignore[operator]
    assert (made - real).abs().mean() < 0.8 * (smooth(low, 4) - real).abs().mean()


def test_what_cannot_be_grown_is_named(
    small: Path, large: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for base, factor in (
        ("sketch-clothing-128", 2),
        ("superres", 2),
        ("style", 2),
        (small, 3),
        ("clothing-64", 8),
    ):
        with pytest.raises(ConfigError) as error:
            grow_generator(base, large, tmp_path / "a", factor=factor, settings=FAST)
        assert error.value.code == "growth.base"
    with pytest.raises(ConfigError) as classes:
        grow_generator("digits-32", large, tmp_path / "b", factor=2, settings=FAST)
    assert classes.value.code == "growth.classes"
    path = grow_generator(small, large, tmp_path / "c", settings=FAST, images=4, name="own")
    with pytest.raises(ConfigError):
        grow_generator(path, large, tmp_path / "d", settings=FAST)
    other = dataclasses.replace(FAST, seed=4)
    with pytest.raises(WeightsError) as family:
        grow_generator(small, large, tmp_path / "c", settings=other, images=8, name="own", resume=True)
    assert family.value.code == "weights.family"
    monkeypatch.setattr(growth._Run, "step", lambda *args: {"critic": float("nan")})
    with pytest.raises(TrainingError) as diverged:
        grow_generator(small, large, tmp_path / "e", settings=FAST, images=4)
    assert diverged.value.code == "training.diverged"


def test_the_procedural_source_is_drawn_at_the_size_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from countermark.generators.data import textures

    monkeypatch.setattr(textures, "EACH", 1)
    large = load_pictures("textures:128", size=128).images
    assert large.shape[1:] == (128, 128, 3)
    step = np.abs(np.diff(large.astype(int), axis=2)).mean()
    stretched = load_pictures("textures", size=128).images
    assert step > 1.1 * np.abs(np.diff(stretched.astype(int), axis=2)).mean()
