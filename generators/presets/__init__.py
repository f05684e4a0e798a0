"""Presets: settings for a field of use as data; a recipe, what may change it, and the shipped model.

>>> preset = load_preset("texture")
>>> preset.recipe_for("textures").network["padding"], preset.model
('circular', 'materials-128')

A preset is a TOML file in this folder with a typed schema; unknown keys are refused and nothing in
it is executed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from countermark.core.configuration import read_toml, validated
from countermark.core.errors import UnknownNameError, known_names
from countermark.generators.recipes.schema import Recipe, load_recipe, parse_recipe

FOLDER = Path(__file__).parent
MAX_BYTES = 64 * 1024


class Variant(BaseModel):
    """Changes for data sources whose name begins with ``source``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(min_length=1, max_length=100)
    changes: dict[str, Any]


class Preset(BaseModel):
    """A field of use.

    Attributes:
        name: As users type it.
        summary: One sentence for people.
        recipe: Name of the shipped recipe that it starts from.
        changes: Recipe settings that replace those of ``recipe``; tables are merged.
        variants: Further changes by data source; the first that fits counts.
        model: Shipped generator trained with it, whose card and sample grid stand for the preset.
        sources: Data sources that suit it, for people.
        companions: Other shipped generators of the field, for instance one that takes sketches.
        limits: What must not be done with its pictures; sentences for people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    summary: str
    recipe: str
    changes: dict[str, Any] = Field(default_factory=dict)
    variants: tuple[Variant, ...] = ()
    model: str = ""
    sources: tuple[str, ...] = ()
    companions: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    def recipe_for(self, data: Path | str) -> Recipe:
        """The recipe for a data source.

        Raises:
            ConfigError: names the setting that the recipe does not know.
        """
        values = merged(load_recipe(self.recipe).model_dump(exclude_unset=True), self.changes)
        variant = next((v for v in self.variants if str(data).startswith(v.source)), None)
        if variant is not None:
            values = merged(values, variant.changes)
        return parse_recipe({**values, "name": self.name}, f"the preset {self.name!r}")


def merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``values`` with ``changes``; tables are merged key by key, everything else is replaced."""
    result = dict(values)
    for key, change in changes.items():
        before = result.get(key)
        both = isinstance(before, dict) and isinstance(change, dict)
        result[key] = merged(before, change) if both else change  # type: ignore[arg-type]
    return result


def list_presets() -> list[str]:
    """Names of the presets that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_preset(name: str) -> Preset:
    """The preset called ``name``.

    Raises:
        UnknownNameError: names the nearest and all known ones.
        ConfigError: the file is not a valid preset.
    """
    known = list_presets()
    if name not in known:
        raise UnknownNameError(f"There is no preset {name!r}.", hint=known_names(name, known))
    return read_preset(FOLDER / f"{name}.toml")


def read_preset(path: Path | str) -> Preset:
    """Reads a preset file; ConfigError says what is wrong with it."""
    return validated(Preset, read_toml(path, what="preset", max_bytes=MAX_BYTES), str(path))
