"""What a recipe may say: its parts, their bounds, and how it is read from TOML.

>>> read_recipe("default").network["blocks"]
[6, 8, 10]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from countermark.core.configuration import read_toml, validated
from countermark.core.errors import UnknownNameError, known_names
from countermark.detectors.recipes.draws import Draws

RECIPES = Path(__file__).resolve().parent
MAX_RECIPE_BYTES = 100_000


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DrawPart(_Part):
    """As ``countermark.detectors.recipes.draws.Draws``."""

    deliveries: list[str] = ["native", "320q90"]
    histories: int = Field(default=1, ge=0, le=16)
    edited: float = Field(default=0.0, ge=0, le=1)
    hard: float = Field(default=0.1, ge=0, le=1)
    twins: float = Field(default=0.3, ge=0, le=1)
    masked: float = Field(default=0.3, ge=0, le=1)
    alpha: tuple[float, float] = (0.5, 1.0)
    measured: list[str] = ["q96", "q75"]
    measured_per_source: int = Field(default=0, ge=0)
    per_source: int = Field(default=0, ge=0)

    def plan(self) -> Draws:
        """The same as the data engine takes it."""
        return Draws(
            deliveries=tuple(self.deliveries),
            histories=self.histories,
            edited=self.edited,
            hard=self.hard,
            twins=self.twins,
            masked=self.masked,
            alpha=self.alpha,
            measured=tuple(self.measured),
            measured_per_source=self.measured_per_source,
            per_source=self.per_source,
        )


class HeadPart(_Part):
    """The head: ``linear`` as ``fit_logistic`` fits it, or ``quadratic`` with ``rank`` squares.

    ``learn`` names the kinds of draws that it is fitted on, all but ``measured`` ones if empty.
    ``pairs`` is the weight of an image of a pair, ``edited`` of an edited one, ``measured`` of one that is
    drawn for measuring (a few of each source: folds hold out whole sources, so figures stay honest);
    others count 1. With ``pieces`` the features of every view, block and pool are normalised by themselves
    and have ``rank`` squares each (``quadratic`` heads only).
    """

    kind: Literal["linear", "quadratic"] = "linear"
    rank: int = Field(default=128, ge=1, le=1024)
    pieces: bool = False
    C: float = Field(default=1e-2, gt=0)
    iterations: int = Field(default=60, ge=1, le=10_000)
    pairs: float = Field(default=1.0, ge=0)
    edited: float = Field(default=1.0, ge=0)
    measured: float = Field(default=1.0, ge=0)
    learn: list[Literal["native", "320q90", "history", "edited", "hard", "pair", "measured"]] = []


class CalibrationPart(_Part):
    """Nested folds over whole sources, the kind of calibrator, and the rate that is measured.

    Sources are dealt into folds ``dealings`` times; figures are means over them.
    """

    kind: str = "beta"
    folds: int = Field(default=6, ge=3, le=20)
    dealings: int = Field(default=1, ge=1, le=20)
    max_fpr: float = Field(default=0.01, gt=0, le=0.5)


class SlicePart(_Part):
    """Images that are measured by themselves, too.

    ``without`` leaves out generated images of groups (``generator@source``, in small letters) that match
    one of these patterns.
    """

    without: list[str] = []


class Recipe(_Part):
    """A recipe for a detector of frozen features and a linear head, such as ``clip-probe``."""

    name: str
    summary: str = ""
    licence: str = "Apache-2.0"
    family: str = "clip-probe"
    seed: int = 0
    network: dict[str, Any] = {}
    draws: DrawPart = DrawPart()
    head: HeadPart = HeadPart()
    calibration: CalibrationPart = CalibrationPart()
    slices: dict[str, SlicePart] = {}
    limits: list[str] = []


def read_recipe(name: str | Path) -> Recipe:
    """A shipped recipe by name, or a TOML file.

    Raises:
        UnknownNameError: names the shipped recipes.
        ConfigError: not a recipe.
    """
    shipped = {path.stem: path for path in sorted(RECIPES.glob("*.toml"))}
    path = shipped.get(str(name), Path(name))
    if not path.is_file():
        hint = f"{known_names(str(name), shipped)} Or give the path of a .toml file."
        raise UnknownNameError(f"There is no recipe {str(name)!r}.", hint=hint)
    values = read_toml(path, what="recipe", max_bytes=MAX_RECIPE_BYTES)
    return validated(Recipe, values, str(path))
