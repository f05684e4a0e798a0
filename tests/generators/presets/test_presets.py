"""Presets are data: typed, strict, and they build the networks that they promise."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.core.errors import ConfigError, CorpusError, MissingExtraError, UnknownNameError
from countermark.core.files import HOME_VARIABLE
from countermark.generators.data.pictures import DataConfig, load_pictures
from countermark.generators.families import FAMILIES
from countermark.generators.library import WEIGHTS, list_generators
from countermark.generators.presets import FOLDER, list_presets, load_preset, merged, read_preset
from countermark.generators.recipes.schema import list_recipes


@pytest.mark.parametrize("name", ["medical", "product", "texture"])
def test_every_preset_builds_its_networks(name):
    preset = load_preset(name)
    assert preset.name == name and preset.summary and preset.limits and preset.sources
    assert preset.recipe in list_recipes()
    for source in ["folder", *(v.source + "x" for v in preset.variants)]:
        recipe = preset.recipe_for(source)
        family = FAMILIES.get(recipe.family)
        family.build_generator(family.parse(recipe.network))
        assert recipe.name == name
    assert list_presets() == ["medical", "product", "texture"]


def test_a_presets_model_is_shipped_with_a_card():
    for name in list_presets():
        assert load_preset(name).model in list_generators()
        assert (WEIGHTS / f"{load_preset(name).model}.card.json").is_file()


def test_variants_change_the_recipe():
    medical = load_preset("medical")
    assert medical.recipe_for("slides/").data.crop == "random"
    assert medical.recipe_for("medmnist:bloodmnist").data.crop == "stretch"
    assert medical.recipe_for("medmnist:bloodmnist").network["size"] == 32
    texture = load_preset("texture")
    assert texture.recipe_for("photos").tiles == "generated"
    assert texture.recipe_for("textures").tiles == "both"
    assert texture.recipe_for("photos").network["padding"] == "circular"


def test_unknown_preset_names_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'texture'"):
        load_preset("textur")
    with pytest.raises(UnknownNameError, match="Known: medical, product, texture"):
        load_preset("../recipes/dcgan-64")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('name = "a"\nsummary = "b"\nrecipe = "dcgan-64"\nrun = "rm"', "run"),
        ('name = "a"\nsummary = "b"', "recipe"),
        ("name = ", "TOML"),
        ('name = 3\nsummary = "b"\nrecipe = "dcgan-64"', "name"),
    ],
)
def test_a_bad_preset_is_refused(tmp_path, text, problem):
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=problem):
        read_preset(path)


def test_changes_that_the_recipe_does_not_know_are_refused(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text('name = "a"\nsummary = "b"\nrecipe = "dcgan-64"\n[changes]\ntils = "both"')
    with pytest.raises(ConfigError, match="tils"):
        read_preset(path).recipe_for("x")


def test_merged_goes_into_tables():
    assert merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"c": 4}, "d": 5}) == {"a": {"b": 1, "c": 4}, "d": 5}


def test_presets_are_data_only():
    assert {p.suffix for p in FOLDER.iterdir() if p.name != "__pycache__"} == {".toml", ".py"}
    assert [p.name for p in FOLDER.glob("*.py")] == ["__init__.py"]


def _medmnist(path, size=28, dtype=np.uint8):
    path.parent.mkdir(parents=True)
    draws = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = draws.integers(0, 256, (10, size, size, 3)).astype(dtype)
        arrays[f"{split}_labels"] = (np.arange(10) % 8)[:, None].astype(np.uint8)
    np.savez(path, **arrays)


def test_medmnist_is_read_with_its_class_names(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    _medmnist(tmp_path / "home" / "medmnist" / "bloodmnist.npz")
    options = load_preset("medical").recipe_for("medmnist:bloodmnist").data
    pictures = load_pictures("medmnist:bloodmnist", size=32, options=options)
    assert len(pictures) + len(pictures.heldout) == 30
    assert "platelet" in pictures.classes and pictures.images.shape[1:] == (32, 32, 3)


def test_medmnist_is_not_downloaded_unless_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    with pytest.raises(CorpusError, match="nothing is downloaded unless you ask") as caught:
        load_pictures("medmnist:bloodmnist", size=32)
    assert caught.value.code == "corpus.missing"
    with pytest.raises(UnknownNameError, match="Did you mean 'bloodmnist'"):
        load_pictures("medmnist:bloodmnst", size=32)
    monkeypatch.setitem(__import__("sys").modules, "medmnist", None)
    with pytest.raises(MissingExtraError, match="medmnist"):
        load_pictures("medmnist:bloodmnist", size=32, options=DataConfig(download=True))


@pytest.mark.parametrize("damage", ["text", "floats", "missing"])
def test_a_damaged_medmnist_file_is_named(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    path = tmp_path / "home" / "medmnist" / "pathmnist.npz"
    _medmnist(path, dtype=np.float32 if damage == "floats" else np.uint8)
    if damage == "text":
        path.write_bytes(b"no archive")
    if damage == "missing":
        np.savez(path, train_images=np.zeros((2, 28, 28), np.uint8))
    with pytest.raises(CorpusError, match="not a MedMNIST file"):
        load_pictures("medmnist:pathmnist", size=32)
