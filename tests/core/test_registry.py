"""The registry refuses duplicates and names what it knows."""

from __future__ import annotations

import json

import pytest

from countermark.core.errors import ConfigError, UnknownNameError
from countermark.core.registry import Registry


def test_duplicates_are_refused() -> None:
    registry: Registry[int] = Registry("thing")
    registry.register("one", 1)
    with pytest.raises(ConfigError, match="registered twice"):
        registry.register("one", 2)
    assert registry.get("one") == 1


def test_unknown_names_list_the_known_ones() -> None:
    registry: Registry[int] = Registry("thing")
    registry.add("alpha")(1)
    registry.add("beta")(2)
    with pytest.raises(UnknownNameError) as caught:
        registry.get("alpa")
    assert "Did you mean 'alpha'?" in str(caught.value) and "alpha, beta" in str(caught.value)
    assert list(registry) == registry.names() == ["alpha", "beta"] and len(registry) == 2


def test_a_placed_entry_is_imported_when_it_is_asked_for() -> None:
    registry: Registry[object] = Registry("thing")
    registry.place("encoder", "json.encoder:JSONEncoder")
    assert "encoder" in registry and list(registry) == ["encoder"]
    assert registry.get("encoder") is json.JSONEncoder
    with pytest.raises(ConfigError, match="registered twice"):
        registry.place("encoder", "json:loads")
    with pytest.raises(ConfigError, match="registered twice"):
        registry.register("encoder", object())
