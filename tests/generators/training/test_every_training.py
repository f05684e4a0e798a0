"""What holds for every training: seeded, resumed without a difference, torch's own generator untouched."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from countermark.core.errors import TrainingError
from countermark.core.images import write_image
from countermark.generators.gan.growth import GrowthSettings, grow_generator
from countermark.generators.gan.training import train_generator
from countermark.generators.sketch.network import SketchConfig
from countermark.generators.sketch.training import SketchSettings, train_sketch
from countermark.generators.style.adain import AdainConfig
from countermark.generators.style.training import StyleTraining, train_style
from countermark.generators.superres.network import SuperresConfig
from countermark.generators.superres.training import SuperresSettings, train_superres
from countermark.generators.training.ema import Ema

Train = Callable[..., Path]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of 64 px in two classes."""
    root, draw = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0)
    for index in range(6):
        pixels = np.repeat(draw.integers(0, 256, (16, 16, 3), np.uint8), 4, axis=0).repeat(4, axis=1)
        write_image(root / "ab"[index % 2] / f"{index}.png", pixels)
    return root


@pytest.fixture(params=["gan", "growth", "sketch", "style", "superres"])
def train(request: pytest.FixtureRequest, scenes: Path, tmp_path: Path, tiny_recipe: Callable) -> Train:
    """A training of six steps into the folder it is given."""
    kind: str = request.param
    if kind == "gan":
        recipe = tiny_recipe(images=48, data={"holdout": 0}, family="stylegan-lite")
        return lambda out, **more: train_generator(scenes, out, recipe=recipe, progress=False, **more)
    if kind == "growth":
        small = tiny_recipe(images=8, data={"holdout": 0})
        base = train_generator(scenes, tmp_path / "base", recipe=small, progress=False)
        growth = GrowthSettings(batch=2, crop=8, width=8, blocks=1)
        return lambda out, **more: grow_generator(
            base, scenes, out, factor=2, settings=growth, images=12, **more
        )
    if kind == "sketch":
        config = SketchConfig(size=32, width=8, max_width=16, critic_width=4)
        sketch = SketchSettings(batch=2, edges="soft")
        return lambda out, **more: train_sketch(
            scenes, out, config=config, settings=sketch, images=12, holdout=0, **more
        )
    if kind == "style":
        adain = AdainConfig(encoder="filters", channels=(67, 67, 67, 67), width=4)
        style = StyleTraining(batch=2, side=32)
        return lambda out, **more: train_style(
            scenes, scenes, out, config=adain, settings=style, images=12, **more
        )
    superres = SuperresConfig(width=8, blocks=1, critic_width=4)
    patches = SuperresSettings(batch=2, patch=32, warm=0.3)
    return lambda out, **more: train_superres(
        scenes, out, config=superres, settings=patches, images=12, **more
    )


def test_a_stopped_training_ends_with_the_weights_of_an_unbroken_one(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    whole = load_file(train(tmp_path / "whole"))
    assert torch.equal(torch.get_rng_state(), before)
    taken, update = [], Ema.update

    def interrupted(self: Ema, *args: object) -> None:
        taken.append(1)
        if len(taken) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        update(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Ema, "update", interrupted)
    with pytest.raises(TrainingError) as stopped:
        train(tmp_path / "parts")
    assert stopped.value.code == "training.stopped" and len(taken) == 3
    torch.manual_seed(2)  # another state of the global generator changes nothing
    parts = load_file(train(tmp_path / "parts", resume=True))
    assert len(taken) == 6
    assert whole.keys() == parts.keys() and all(torch.equal(whole[key], parts[key]) for key in whole)
