"""Presets: data only, built and shipped; what is wrong with one is named."""

from __future__ import annotations

import pytest

from countermark.core.errors import ConfigError, UnknownNameError
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
