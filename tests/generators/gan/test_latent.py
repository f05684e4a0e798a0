"""Training in the latent space: latents once, a generator that samples, resumed without a difference."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from countermark.core.errors import ConfigError, CorpusError, OutputError, TrainingError, WeightsError
from countermark.core.files import sha256_file
from countermark.core.images import write_image
from countermark.core.seeds import torch_seeded
from countermark.core.weights import read_card
from countermark.generators.families import FAMILIES
from countermark.generators.families.flow import LayoutFlow
from countermark.generators.gan import latent, looking, matching
from countermark.generators.gan.training import train_generator
from countermark.generators.latents.autoencoder import digest
from countermark.generators.library import load_generator
from countermark.generators.training.checkpoints import FILE

NETWORK = {
    "size": 64, "latent": 8, "width": 8, "max_width": 16, "layout_width": 8, "layout_max_width": 16,
    "layout_critic_width": 4, "critic_width": 8, "critic_max_width": 16, "code": 4, "eyes": "plain",
}  # fmt: skip

#: The same with a flow in the first stage.
FLOW = {**{k: v for k, v in NETWORK.items() if k != "latent"}, "layouts": "flow", "texture": 8,
        "flow_width": 16, "steps": 2}  # fmt: skip


@pytest.fixture
def recipe(tiny_recipe):
    def make(**changes):
        values = {
            "family": "latent", "network": NETWORK, "images": 32, "data": {"classes": True},
            "layouts": {"per_picture": 2, "optimiser": {"batch": 8, "decay_after": 1}},
        }  # fmt: skip
        return tiny_recipe(**{**values, **changes})

    return make


@pytest.mark.parametrize("network", [NETWORK, FLOW])
def test_a_run_leaves_latents_and_a_generator_that_samples(photos, tmp_path, recipe, network):
    out = tmp_path / "run"
    path = train_generator(photos, out, recipe=recipe(network=network), name="mine", progress=False)
    assert (out / "latents" / "set.json").is_file()
    card = read_card(path)
    assert card.preprocessing["decoder"] == digest("decoder")
    assert card.trained["images_seen"] == 32
    loaded = load_generator(path)
    one = loaded.sample(3, seed=4)
    assert one.shape == (3, 64, 64, 3)
    assert np.array_equal(one[1:2], loaded.sample(1, seed=5))
    assert not np.array_equal(loaded.sample(1, condition="a"), loaded.sample(1, condition="b"))
    assert list((out / latent.LAYOUTS).glob("samples-*.png"))
    assert path.stat().st_size < 800_000  # the decoder is not in it


@pytest.mark.parametrize(
    ("network", "augment"),
    [
        (NETWORK, ["translation", "cutout"]),
        ({**NETWORK, "eyes": "projected"}, ["translation"]),
        ({**NETWORK, "eyes": "projected"}, []),
        (FLOW, []),
    ],
)
def test_resuming_gives_what_an_unbroken_run_gives(photos, tmp_path, network, augment, recipe):
    chosen = recipe(network=network, augment=augment, optimiser={"batch": 8, "decay_after": 1})
    whole = train_generator(photos, tmp_path / "whole", recipe=chosen, progress=False)
    half = chosen.model_copy(update={"images": 16})
    train_generator(photos, tmp_path / "parts", recipe=half, progress=False)
    resumed = train_generator(photos, tmp_path / "parts", recipe=chosen, resume=True, progress=False)
    assert sha256_file(whole) == sha256_file(resumed)


def test_latents_of_another_folder_are_refused(photos, tmp_path, recipe):
    out = tmp_path / "run"
    train_generator(photos, out, recipe=recipe(), progress=False)
    other = tmp_path / "other"
    shutil.copytree(photos, other)
    write_image(other / "a" / "more.png", np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(CorpusError, match="another number of pictures") as caught:
        train_generator(other, out, recipe=recipe(images=64), resume=True, progress=False)
    assert caught.value.code == "latents.foreign"


def test_a_checkpoint_of_another_critic_is_refused(photos, tmp_path, recipe):
    out = tmp_path / "run"
    train_generator(photos, out, recipe=recipe(), progress=False)
    changed = recipe(network={**NETWORK, "critic_width": 16}, images=64)
    with pytest.raises(WeightsError) as caught:
        train_generator(photos, out, recipe=changed, resume=True, progress=False)
    assert caught.value.code == "weights.family"


def test_a_loss_that_is_no_number_ends_it(photos, tmp_path, recipe, monkeypatch):
    monkeypatch.setattr(
        latent.LatentPictures,
        "tensors",
        lambda self, index, mirrored: self.latents[index, 0].float() * float("nan"),
    )
    with pytest.raises(TrainingError) as caught:
        train_generator(photos, tmp_path / "run", recipe=recipe(), progress=False)
    assert caught.value.code == "training.diverged"


def test_grey_recipes_are_refused(photos, tmp_path, recipe):
    with pytest.raises(ConfigError, match="channels"):
        train_generator(
            photos, tmp_path / "run", recipe=recipe(network={**NETWORK, "channels": 1}), progress=False
        )


def test_tiles_tile(tmp_path, recipe):
    chosen = recipe(
        network={**NETWORK, "padding": "circular"}, tiles="both", data={"mirror": False, "max_images": 24}
    )
    path = train_generator("textures", tmp_path / "run", recipe=chosen, progress=False)
    images = load_generator(path).sample(2)
    assert images.shape == (2, 64, 64, 3)


def test_a_warm_start_trains_the_generator_alone(photos, tmp_path, recipe):
    chosen = recipe(warm_images=16, images=16, network={**NETWORK, "eyes": "projected"})
    train_generator(photos, tmp_path / "none", recipe=chosen.model_copy(update={"images": 8}), progress=False)
    train_generator(photos, tmp_path / "warm", recipe=chosen, progress=False)
    first, last = (load_file(tmp_path / name / latent.DETAIL / FILE) for name in ("none", "warm"))
    changed = {name.partition("/")[0] for name in last if not torch.equal(first[name], last[name])}
    assert "generator" in changed
    assert "critic" not in changed


@pytest.mark.parametrize(("network", "begins"), [(NETWORK, "LayoutCritic"), (FLOW, "fit_flow")])
def test_a_run_stopped_in_its_second_stage_goes_on_there(
    photos, tmp_path, recipe, monkeypatch, network, begins
):
    chosen = recipe(network=network, optimiser={"batch": 8, "decay_after": 1})
    whole = train_generator(photos, tmp_path / "whole", recipe=chosen, progress=False)
    parts = tmp_path / "parts"
    monkeypatch.setattr(latent, begins, _killed)
    with pytest.raises(KeyboardInterrupt):
        train_generator(photos, parts, recipe=chosen, progress=False)
    monkeypatch.undo()
    assert (parts / latent.DETAIL / FILE).is_file()
    assert not (parts / latent.LAYOUTS / FILE).exists()
    with pytest.raises(OutputError, match="already holds a training run"):
        train_generator(photos, parts, recipe=chosen, progress=False)
    resumed = train_generator(photos, parts, recipe=chosen, resume=True, progress=False)
    assert sha256_file(whole) == sha256_file(resumed)


def _killed(*_, **__):
    raise KeyboardInterrupt


def test_minutes_are_shared_between_the_stages(recipe):
    chosen = recipe(minutes=10.0)
    first, second = (latent.stage_recipe(chosen, first=each) for each in (True, False))
    assert first.minutes == pytest.approx(6)
    assert second.minutes == pytest.approx(4)
    assert first.images == 2 * second.images
    assert (first.warm_images, first.loss) == (0, "hinge")


def test_each_kind_of_first_stage_has_rates_of_its_own(tiny_recipe):
    for network, expected in ((NETWORK, latent.GAN_OPTIMISER), (FLOW, matching.OPTIMISER)):
        plain = tiny_recipe(family="latent", network=network)
        assert latent.stage_recipe(plain, first=True).optimiser == expected
        given = tiny_recipe(family="latent", network=network, layouts={"optimiser": {"batch": 8}})
        assert latent.stage_recipe(given, first=True).optimiser.batch == 8


def test_a_flow_learns_what_each_class_looks_like(tmp_path, tiny_recipe):
    """Two classes, dark and light: after some 200 steps each is drawn as it is."""
    cells = torch.full((8, 3, 8, 8), -0.6)
    cells[4:] = 0.6
    labels = np.repeat([0, 1], 4)
    config = FAMILIES.get("latent").parse({**FLOW, "classes": 2, "steps": 6, "guidance": 1.0})
    with torch_seeded(0):
        flow = LayoutFlow(config).measure(cells)
    real = latent.Layouts("x", cells, labels, ("dark", "light"), 64)
    optimiser = matching.OPTIMISER.model_copy(update={"batch": 16, "generator_rate": 2e-3})
    recipe = tiny_recipe(images=16 * 200, preview_images=10**6, optimiser=optimiser.model_dump())
    fitted = matching.fit_flow(flow, real, recipe, tmp_path, progress=False)
    drawn = fitted.average(torch.randn(16, config.latent), torch.arange(16) % 2).mean(dim=(1, 2, 3))
    assert fitted.critic is None
    assert float(drawn[0::2].max()) < -0.3
    assert float(drawn[1::2].min()) > 0.3


def test_layouts_are_mean_colours_mirrored_with_their_pictures():
    images = np.zeros((1, 64, 64, 3), np.uint8)
    images[0, :8, :8] = 255
    cells = latent.shrunk(images, 8)
    assert cells.shape == (1, 3, 8, 8)
    assert cells[0, :, 0, 0].tolist() == [1, 1, 1]
    assert float(cells.sum()) == pytest.approx(-3 * 63 + 3)
    layouts = latent.Layouts("x", cells, None, (), 64)
    index = torch.tensor([0, 0])
    both = layouts.tensors(index, torch.tensor([False, True]))
    assert float(both[1, 0, 0, 7]) == 1
    assert float(both[0, 0, 0, 7]) == -1
    assert layouts.painted(both).shape == (2, 64, 64, 3)


def test_what_a_frozen_part_saw_changes_no_step(photos, tmp_path, recipe, monkeypatch):
    chosen = recipe(network={**NETWORK, "eyes": "projected"}, images=64, optimiser={"batch": 8})
    kept = train_generator(photos, tmp_path / "kept", recipe=chosen, progress=False)
    monkeypatch.setattr(looking, "MOST_BYTES", 0)
    anew = train_generator(photos, tmp_path / "anew", recipe=chosen, progress=False)
    one, two = load_file(kept), load_file(anew)
    assert all(torch.allclose(one[name].float(), two[name].float(), atol=2e-2) for name in one)
