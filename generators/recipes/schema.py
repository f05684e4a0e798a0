"""What a recipe for adversarial training may say: TOML with a typed schema; unknown keys are refused.

>>> load_recipe("dcgan-64").network["size"]
64

A recipe is given by the name of one in this folder or by a path to a ``.toml`` file; nothing in it is
executed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from countermark.core.configuration import read_toml, validated
from countermark.core.errors import UnknownNameError, known_names
from countermark.generators.data.pictures import DataConfig

RECIPES = Path(__file__).parent
MAX_RECIPE_BYTES = 256 * 1024

Augmentation = Literal["colour", "translation", "cutout", "flip"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OptimiserConfig(_Part):
    """Adam for both networks, learning rates decayed linearly after ``decay_after`` of the budget."""

    generator_rate: float = Field(default=3e-4, gt=0, le=1)
    critic_rate: float = Field(default=3e-4, gt=0, le=1)
    beta1: float = Field(default=0.0, ge=0, lt=1)
    beta2: float = Field(default=0.99, gt=0, lt=1)
    batch: int = Field(default=32, ge=2, le=4096)
    critic_steps: int = Field(default=1, ge=1, le=10)
    decay_after: float = Field(default=0.6, ge=0, le=1)
    final_rate: float = Field(default=0.1, ge=0, le=1)

    def decayed(self, share: float) -> float:
        """What the rates are multiplied by after a share of the budget."""
        late = max(share - self.decay_after, 0) / max(1 - self.decay_after, 1e-9)
        return 1 - (1 - self.final_rate) * min(late, 1)


class RegulariserConfig(_Part):
    """Weights of the gradient regularisers; each is applied every ``interval`` critic steps."""

    r1: float = Field(default=0.0, ge=0)
    r2: float = Field(default=0.0, ge=0)
    gradient_penalty: float = Field(default=0.0, ge=0)
    interval: int = Field(default=1, ge=1, le=64)


class LayoutStage(_Part):
    """How the first stage of the family ``latent`` is trained, which draws layouts.

    Attributes:
        per_picture: Layouts shown to its critic for each picture that the second stage is shown.
        share: Of the minutes, where they are the budget.
        optimiser: None takes what suits the network: a GAN and a flow want different ones.
        augment: Of a GAN's; a flow takes none.
    """

    per_picture: float = Field(default=12.0, gt=0, le=1000)
    share: float = Field(default=0.6, gt=0, lt=1)
    optimiser: OptimiserConfig | None = None
    augment: tuple[Augmentation, ...] = ("colour", "translation", "cutout")
    ema_images: float = Field(default=15_000, gt=0)


class Recipe(_Part):
    """Everything that decides what is trained, and how.

    Attributes:
        family: Name in ``FAMILIES``; ``network`` holds its settings.
        loss: Name in ``LOSSES``.
        tiles: ``generated`` shows the critic every generated image rolled around its edges by a random
            offset, so that a seam counts as a fault; ``both`` rolls real ones too, if they tile.
        augment: Differentiable augmentations of what the critic sees; for small sets.
        ema_images: Half-life of the weight average, in images; ``ema_ramp`` as in ``Ema``.
        precision: ``bf16`` (autocast) or ``fp32``.
        images: Budget in images shown to the critic; training also ends after ``minutes``.
        warm_images: So many images are first shown to a generator that has losses of its own on real ones
            (``families.base.Guided``), before the critic begins.
        adversarial: Weight of the critic's judgement of such a generator, beside its own losses.
        layouts: Of the first stage of the family ``latent``; all else is of its second.
        checkpoint_minutes: A kill loses at most this much.
    """

    name: str = "custom"
    summary: str = ""
    family: str = "dcgan"
    network: dict[str, Any] = Field(default_factory=dict)
    loss: str = "hinge"
    regulariser: RegulariserConfig = RegulariserConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    augment: tuple[Augmentation, ...] = ()
    tiles: Literal["no", "generated", "both"] = "no"
    data: DataConfig = DataConfig()
    ema_images: float = Field(default=10_000, gt=0)
    ema_ramp: float = Field(default=0.05, gt=0, le=1)
    precision: Literal["bf16", "fp32"] = "bf16"
    images: int = Field(default=200_000, ge=1)
    minutes: float | None = Field(default=None, gt=0)
    warm_images: int = Field(default=0, ge=0)
    adversarial: float = Field(default=1.0, gt=0)
    layouts: LayoutStage = LayoutStage()
    checkpoint_minutes: float = Field(default=2.0, gt=0)
    preview_images: int = Field(default=20_000, ge=1)


def list_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(p.stem for p in RECIPES.glob("*.toml"))


def load_recipe(name_or_path: str | Path | Recipe) -> Recipe:
    """Reads a recipe; raises UnknownNameError or ConfigError with what is wrong and what is known."""
    if isinstance(name_or_path, Recipe):
        return name_or_path
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = RECIPES / f"{path.name}.toml"
        if str(name_or_path) not in list_recipes():
            raise UnknownNameError(
                f"There is no recipe {str(name_or_path)!r}.",
                hint=f"{known_names(str(name_or_path), list_recipes())} Or give the path of a .toml file.",
            )
    return parse_recipe(read_toml(path, what="recipe", max_bytes=MAX_RECIPE_BYTES), str(path))


def parse_recipe(values: dict[str, Any], name: str = "recipe") -> Recipe:
    """The typed recipe; ConfigError names the key that is not understood."""
    return validated(Recipe, values, name)
