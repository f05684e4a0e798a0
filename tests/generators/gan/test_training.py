"""The loop: it learns, resumes to the same weights, and stops with a reason."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open

from countermark.core.errors import ConfigError, CorpusError, OutputError, TrainingError, WeightsError
from countermark.core.files import sha256_file
from countermark.core.weights import read_card
from countermark.generators.gan import fitting
from countermark.generators.gan.training import train_generator
from countermark.generators.library import load_generator
from countermark.generators.recipes.schema import parse_recipe
from countermark.generators.training import checkpoints, steps
from countermark.generators.training.checkpoints import FILE


def test_a_run_leaves_weights_card_grid_and_checkpoint(photos, tmp_path, tiny_recipe):
    out = tmp_path / "run"
    path = train_generator(photos, out, recipe=tiny_recipe(), name="mine", progress=False)
    assert path == out / "mine.safetensors"
    assert {p.name for p in out.iterdir()} == {
        FILE, "mine.safetensors", "mine.card.json", "recipe.json", "samples-000000064.png",
    }  # fmt: skip
    card = read_card(path)
    assert card.trained["images_seen"] == 64
    assert card.sha256 == sha256_file(path)
    assert load_generator(out).sample(3).shape == (3, 16, 16, 3)


def test_the_same_seed_gives_the_same_weights(photos, tmp_path, tiny_recipe):
    paths = [
        train_generator(photos, tmp_path / str(i), recipe=tiny_recipe(), seed=seed, progress=False)
        for i, seed in enumerate((5, 5, 6))
    ]
    digests = [sha256_file(p) for p in paths]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("augment", [[], ["colour", "cutout"]])
def test_resuming_gives_what_an_unbroken_run_gives(photos, tmp_path, augment, tiny_recipe):
    recipe = tiny_recipe(augment=augment, optimiser={"batch": 8, "decay_after": 1})
    whole = train_generator(photos, tmp_path / "whole", recipe=recipe, progress=False)
    half = recipe.model_copy(update={"images": 32})
    train_generator(photos, tmp_path / "parts", recipe=half, progress=False)
    resumed = train_generator(photos, tmp_path / "parts", recipe=recipe, resume=True, progress=False)
    assert sha256_file(whole) == sha256_file(resumed)


def test_training_does_not_touch_the_global_generator(photos, tmp_path, tiny_recipe):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    train_generator(photos, tmp_path / "run", recipe=tiny_recipe(), progress=False)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "relativistic", "regulariser": {"r1": 1.0, "r2": 1.0, "interval": 2}},
        {"loss": "wasserstein", "regulariser": {"gradient_penalty": 10.0}, "optimiser": {"critic_steps": 2}},
        {"loss": "non-saturating", "precision": "bf16", "data": {"classes": True, "holdout": 0}},
    ],
)
def test_losses_and_regularisers_train(photos, tmp_path, changes, tiny_recipe):
    path = train_generator(photos, tmp_path / "run", recipe=tiny_recipe(**changes), progress=False)
    pixels = load_generator(path).sample(2)
    assert pixels.std() > 0


def test_learning_moves_samples_towards_the_data(tmp_path, tiny_recipe):
    """Images of one colour: the mean colour of samples approaches it."""
    from countermark.core.images import write_image

    for index in range(20):
        write_image(tmp_path / "red" / f"{index}.png", np.full((16, 16, 3), (220, 30, 30), np.uint8))
    recipe = tiny_recipe(images=1600, optimiser={"batch": 16, "generator_rate": 2e-3, "critic_rate": 2e-3})
    path = train_generator(tmp_path / "red", tmp_path / "run", recipe=recipe, progress=False)
    mean = load_generator(path).sample(16).mean(axis=(0, 1, 2))
    assert mean[0] > 150 and mean[1] < 100 and mean[2] < 100


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_checkpoint(
    photos, tmp_path, monkeypatch, tiny_recipe
):
    out = tmp_path / "run"
    train_generator(photos, out, recipe=tiny_recipe(), progress=False)
    before = sha256_file(out / FILE)
    wild = tiny_recipe(images=10_000, checkpoint_minutes=1e-9)
    real = fitting.zero_centred
    monkeypatch.setattr(fitting, "zero_centred", lambda *a: real(*a) * float("nan"))
    wild = wild.model_copy(update={"regulariser": wild.regulariser.model_copy(update={"r1": 1.0})})
    with pytest.raises(TrainingError, match=r"Lower the learning rates") as caught:
        train_generator(photos, out, recipe=wild, resume=True, progress=False)
    assert caught.value.code == "training.diverged"
    assert str(out / FILE) in str(caught.value)
    assert sha256_file(out / FILE) == before


def test_weights_that_are_not_numbers_never_replace_a_good_checkpoint(
    photos, tmp_path, monkeypatch, tiny_recipe
):
    out, real, calls = tmp_path / "run", fitting.step_of, []
    train_generator(photos, out, recipe=tiny_recipe(), progress=False)
    before = sha256_file(out / FILE)

    def poisoned(fabric, optimiser, network, value):
        real(fabric, optimiser, network, value)
        calls.append(1)
        if len(calls) == 2:  # the generator's step, the last thing before the checkpoint
            with torch.no_grad():
                next(network.parameters()).fill_(float("inf"))

    monkeypatch.setattr(fitting, "step_of", poisoned)
    recipe = tiny_recipe(images=72)
    with pytest.raises(TrainingError, match="weight is not a number") as caught:
        train_generator(photos, out, recipe=recipe, resume=True, progress=False)
    assert caught.value.code == "training.diverged"
    assert sha256_file(out / FILE) == before
    assert not list(out.glob("*.safetensors.tmp*"))


def test_a_killed_run_loses_at_most_one_checkpoint_interval(photos, tmp_path, monkeypatch, tiny_recipe):
    """A kill that no handler hears: nothing after the last checkpoint is left, and the run goes on."""
    seconds, taken, real, save = [0.0], [], fitting.Ema.update, steps.save_checkpoint

    def update(self, *args):
        real(self, *args)
        seconds[0] += 10  # every step takes ten seconds of this clock
        taken.append(1)
        if len(taken) == 14:
            os._exit(9)

    def recorded(*args):
        path = save(*args)
        (tmp_path / "kept.txt").write_text(f"{len(taken)}")
        return path

    recipe = tiny_recipe(images=8 * 20, checkpoint_minutes=0.5, optimiser={"batch": 8, "decay_after": 1})
    whole = train_generator(photos, tmp_path / "whole", recipe=recipe, progress=False)
    out = tmp_path / "run"
    monkeypatch.setattr(fitting.Ema, "update", update)
    monkeypatch.setattr(steps, "save_checkpoint", recorded)
    monkeypatch.setattr(
        fitting.fit, "__kwdefaults__", {**fitting.fit.__kwdefaults__, "clock": lambda: seconds[0]}
    )
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            train_generator(photos, out, recipe=recipe, progress=False)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    monkeypatch.undo()
    kept = int((tmp_path / "kept.txt").read_text())
    # 30 seconds are three steps of this clock; one more may pass before it is noticed.
    assert 14 - 4 <= kept < 14
    resumed = train_generator(photos, out, recipe=recipe, resume=True, progress=False)
    assert sha256_file(resumed) == sha256_file(whole)


def test_a_full_disk_stops_and_keeps_the_checkpoint(photos, tmp_path, monkeypatch, tiny_recipe):
    out = tmp_path / "run"
    train_generator(photos, out, recipe=tiny_recipe(), progress=False)
    before = sha256_file(out / FILE)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("countermark.core.files.write_all", full)
    with pytest.raises((TrainingError, OutputError)):
        train_generator(photos, out, recipe=tiny_recipe(images=128), resume=True, progress=False)
    monkeypatch.undo()

    def refuse(*args, **kwargs):
        raise OutputError("Cannot write: No space left on device.")

    monkeypatch.setattr(checkpoints, "atomic_write", refuse)
    with pytest.raises(TrainingError, match="Free some space") as caught:
        train_generator(photos, out, recipe=tiny_recipe(images=128), resume=True, progress=False)
    assert caught.value.code == "training.disk"
    assert sha256_file(out / FILE) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_goes_on_as_if_it_had_not_been(photos, tmp_path, monkeypatch, number, tiny_recipe):
    recipe = tiny_recipe()
    whole = train_generator(photos, tmp_path / "whole", recipe=recipe, progress=False)
    out, taken, real = tmp_path / "run", [], fitting.Ema.update

    def interrupt(self, *args):
        taken.append(1)
        if len(taken) == 3:
            os.kill(os.getpid(), number)
        real(self, *args)

    monkeypatch.setattr(fitting.Ema, "update", interrupt)
    with pytest.raises(TrainingError, match="resume") as caught:
        train_generator(photos, out, recipe=recipe, progress=False)
    assert caught.value.code == "training.stopped" and len(taken) == 3
    resumed = train_generator(photos, out, recipe=recipe, resume=True, progress=False)
    assert sha256_file(whole) == sha256_file(resumed)


def test_a_run_is_not_overwritten(photos, tmp_path, tiny_recipe):
    train_generator(photos, tmp_path / "run", recipe=tiny_recipe(), progress=False)
    with pytest.raises(OutputError) as caught:
        train_generator(photos, tmp_path / "run", recipe=tiny_recipe(), progress=False)
    assert caught.value.code == "output.exists"


def test_a_checkpoint_of_another_family_or_seed_is_refused(photos, tmp_path, tiny_recipe):
    out = tmp_path / "run"
    train_generator(photos, out, recipe=tiny_recipe(), progress=False)
    other = tiny_recipe(loss="wasserstein")
    with pytest.raises(WeightsError, match="hinge") as caught:
        train_generator(photos, out, recipe=other, resume=True, progress=False)
    assert caught.value.code == "weights.family"
    with pytest.raises(WeightsError, match="seed"):
        train_generator(photos, out, recipe=tiny_recipe(), seed=9, resume=True, progress=False)
    network = {"size": 16, "latent": 8, "width": 4, "max_width": 8, "critic_width": 4, "critic_max_width": 8}
    family = tiny_recipe(family="stylegan-lite", network=network)
    with pytest.raises(WeightsError, match=r"family 'dcgan'.*'stylegan-lite'") as caught:
        train_generator(photos, out, recipe=family, resume=True, progress=False)
    assert caught.value.code == "weights.family"


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_damaged_checkpoint_is_a_named_error(photos, tmp_path, content, tiny_recipe):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / FILE).write_bytes(content)
    with pytest.raises(WeightsError, match="not a checkpoint"):
        train_generator(photos, tmp_path / "run", recipe=tiny_recipe(), resume=True, progress=False)


def test_nothing_to_resume_is_a_named_error(photos, tmp_path, tiny_recipe):
    with pytest.raises(WeightsError) as caught:
        train_generator(photos, tmp_path / "run", recipe=tiny_recipe(), resume=True, progress=False)
    assert caught.value.code == "weights.missing"


TWO = """
import sys
import torch
torch.set_num_threads(1)
from countermark.generators.gan import fitting
from countermark.generators.gan.training import train_generator
train_generator(sys.argv[1], sys.argv[2], recipe=sys.argv[3], name="pair", progress=False, devices=2)
"""


def test_two_processes_train_one_generator(photos, tmp_path, tiny_recipe):
    """Lightning-fabric starts the second process itself, so this needs a script of its own."""
    script, recipe = tmp_path / "two.py", tmp_path / "two.toml"
    script.write_text(TWO)
    recipe.write_text(
        'images = 64\nprecision = "fp32"\n[optimiser]\nbatch = 8\n[network]\nsize = 16\nlatent = 8\n'
        "width = 4\nmax_width = 8\ncritic_width = 4\ncritic_max_width = 8\n"
    )
    command = [sys.executable, str(script), str(photos), str(tmp_path / "run"), str(recipe)]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, env=hidden, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "world_size" in ended.stderr or "MEMBER: 2/2" in ended.stderr
    state = json.loads(safe_open(tmp_path / "run" / FILE, framework="pt").metadata()["state"])
    assert state["progress"]["step"] == 4 and state["progress"]["images"] == 64  # 4 x 2 x 8
    assert load_generator(tmp_path / "run").sample(2).shape == (2, 16, 16, 3)


def test_one_image_is_refused_before_anything_is_written(tmp_path, photos, tiny_recipe):
    single = tmp_path / "single"
    single.mkdir()
    (single / "x.png").write_bytes(next(photos.rglob("*.png")).read_bytes())
    with pytest.raises(CorpusError):
        train_generator(single, tmp_path / "run", recipe=tiny_recipe(), progress=False)
    assert not (tmp_path / "run").exists()


def test_unknown_loss_and_family():
    recipe = parse_recipe({"family": "gone"})
    with pytest.raises(ConfigError.__base__, match="dcgan"):
        train_generator("digits", "unused", recipe=recipe)
