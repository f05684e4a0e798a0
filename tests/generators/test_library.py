"""Shipped and user generators: by name, by path; hostile files; families loaded when asked for."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from countermark.core.errors import ConfigError, UnknownNameError, WeightsError
from countermark.core.weights import read_card, write_card
from countermark.generators import list_generators, load_generator
from countermark.generators.gan.training import train_generator
from countermark.generators.library import RETIRED, WEIGHTS

GUIDED = ("sketch-clothing-128", "superres")  # start from an image


STYLED = ("style-adain",)  # need a style as well


SHIPPED = sorted(
    name
    for p in WEIGHTS.glob("*.safetensors")
    if (name := p.name.removesuffix(".safetensors")) not in GUIDED + STYLED
)


@pytest.mark.parametrize("name", GUIDED)
def test_generators_that_start_from_an_image_say_what_they_are(name):
    generator = load_generator(name)
    card = generator.card
    assert card.training_data and card.licence and card.limits and card.summary and card.metrics
    assert card.trained["steps"] > 0 and card.trained["minutes"] > 0
    assert hashlib.sha256((WEIGHTS / f"{name}.safetensors").read_bytes()).hexdigest() == generator.sha256
    page = np.full((64, 64, 3), 255, np.uint8)
    page[16:48, 20:24] = 0
    assert generator.sample(1, seed=1, condition=page).std() > 5


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_generators_sample_and_say_what_they_are(name):
    generator = load_generator(name)
    images = generator.sample(3, seed=1)
    assert images.shape == (3, generator.size, generator.size, 3)
    assert images.dtype == np.uint8
    assert images.std() > 10
    assert not np.array_equal(images[0], images[1])
    card = generator.card
    assert card.training_data and card.licence and card.limits and card.summary
    assert card.trained["images_seen"] > 0 and card.trained["minutes"] > 0
    figures = card.metrics["quality"]
    assert figures["extractor"] and figures["generated"] and set(figures["kid"]) == {"value", "low", "high"}
    assert hashlib.sha256((WEIGHTS / f"{name}.safetensors").read_bytes()).hexdigest() == generator.sha256


def test_the_package_stays_small():
    assert sum(p.stat().st_size for p in WEIGHTS.iterdir()) < 60_000_000
    assert max(p.stat().st_size for p in WEIGHTS.iterdir()) < 20_000_000


@pytest.mark.parametrize("name", sorted(RETIRED))
def test_retired_names_say_what_does_their_work_now(name):
    with pytest.raises(UnknownNameError, match="retired") as caught:
        load_generator(name)
    instead = RETIRED[name].partition(",")[0]
    assert caught.value.code == "name.retired" and instead in (caught.value.hint or "")
    assert instead in list_generators() and name not in list_generators()


def test_unknown_names_and_devices():
    with pytest.raises(UnknownNameError, match="digits-32"):
        load_generator("digits-33")
    with pytest.raises(ConfigError, match="device"):
        load_generator("digits-32", device="abacus")


def test_user_folder_is_searched_by_name(photos, tmp_path, monkeypatch, tiny_recipe):
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path))
    train_generator(photos, tmp_path / "generators", recipe=tiny_recipe(), name="own", progress=False)
    assert "own" in list_generators() and "digits-32" in list_generators()
    assert load_generator("own").name == "own"


def test_unsafe_missing_and_foreign_files(tmp_path):
    for name, code in [("a.pt", "unsafe-format"), ("a.pkl", "unsafe-format"), ("a.safetensors", "missing")]:
        with pytest.raises(WeightsError) as caught:
            load_generator(tmp_path / name)
        assert caught.value.code == f"weights.{code}"
    with pytest.raises(WeightsError, match="0 finished"):
        load_generator(tmp_path)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"kind": "detector"}, WeightsError),
        ({"family": "unheard-of"}, UnknownNameError),
        ({"config": {"size": 64, "classes": 10}}, WeightsError),
        ({"config": {"size": 10**9}}, WeightsError),
        ({"config": {"latent": 10**9}}, WeightsError),
        ({"config": {"__class__": "os"}}, WeightsError),
    ],
)
def test_a_card_that_lies_is_refused(tmp_path, change, error):
    source = WEIGHTS / "digits-32.safetensors"
    (tmp_path / source.name).write_bytes(source.read_bytes())
    write_card(tmp_path, read_card(source).model_copy(update=change))
    with pytest.raises(error):
        load_generator(tmp_path / source.name)


def test_cards_are_plain_json():
    for path in WEIGHTS.glob("*.card.json"):
        assert json.loads(path.read_text("utf-8"))["kind"]


def test_no_family_is_imported_before_it_is_asked_for():
    code = (
        "import sys\nfrom countermark.generators.library import find_family\n"
        "heads = ('countermark.generators.families.', 'countermark.generators.s')\n"
        "def loaded(): return {n for n in sys.modules if n.startswith(heads)}\n"
        "before = loaded()\nfind_family('superres')\nprint(sorted(before), sorted(loaded() - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, _, after = done.stdout.partition("] [")
    assert "base" in before and before.count("countermark.") == 1
    assert "superres.generator" in after and "sketch" not in after and "style" not in after
