"""Recipes are data: typed, closed, and named when unknown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark.core.errors import ConfigError, CountermarkError, UnknownNameError
from countermark.generators.families import FAMILIES
from countermark.generators.gan.losses import LOSSES
from countermark.generators.recipes.schema import list_recipes, load_recipe, parse_recipe


@pytest.mark.parametrize("name", list_recipes())
def test_shipped_recipes_are_valid(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert LOSSES.get(recipe.loss)
    assert FAMILIES.get(recipe.family).parse(recipe.network).size >= 16


def test_unknown_keys_are_refused_by_name():
    with pytest.raises(ConfigError, match="learning_rate"):
        parse_recipe({"optimiser": {"learning_rate": 1}})
    with pytest.raises(ConfigError, match="exec"):
        parse_recipe({"exec": "print()"})


def test_unknown_network_settings_list_the_known_ones():
    with pytest.raises(ConfigError, match=r"depth.*upsample"):
        FAMILIES.get("dcgan").parse({"depth": 3})


def test_unknown_recipe_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="dcgan-64"):
        load_recipe("dcgan-46")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_recipe_or_a_typed_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("r") / "recipe.toml"
    path.write_bytes(data)
    try:
        load_recipe(path)
    except CountermarkError as error:
        assert str(path) in str(error)
