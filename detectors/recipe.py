"""Recipes: everything that makes a detector from folders of images, in one TOML file.

    path = train_recipe("default", ["corpus-a", "corpus-b"], out="weights", work="cache")

The same call with the same folders goes on where it stopped (``minutes`` bounds one call). The
figures in the card come from nested folds over whole sources: see ``countermark.detectors.folds``.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from countermark.core.corpus import read_corpus
from countermark.core.errors import ConfigError, TrainingError, UnknownNameError
from countermark.detectors.base import DETECTORS, FrozenNetwork
from countermark.detectors.calibration import balanced_weights, fit_calibrator
from countermark.detectors.engine import Draws, Item, Plan, plan_items
from countermark.detectors.families import register_families
from countermark.detectors.features import ViewStore
from countermark.detectors.folds import HeldOut, nested_scores, source_folds
from countermark.detectors.heads import fit_logistic
from countermark.detectors.library import load_detector, save_detector
from countermark.detectors.measures import held_out_figures
from countermark.detectors.probe import ProbeDetector
from countermark.detectors.thresholds import ThresholdTable
from countermark.detectors.twins import load_autoencoder, simulate_upsampler

RECIPES = Path(__file__).resolve().parent / "recipes"
MAX_RECIPE_BYTES = 100_000


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DrawPart(_Part):
    """As ``countermark.detectors.engine.Draws``."""

    deliveries: list[str] = ["native", "320q90"]
    histories: int = Field(default=1, ge=0, le=16)
    hard: float = Field(default=0.1, ge=0, le=1)
    twins: float = Field(default=0.3, ge=0, le=1)
    masked: float = Field(default=0.3, ge=0, le=1)
    alpha: tuple[float, float] = (0.5, 1.0)
    measured: list[str] = ["q96", "q75"]

    def plan(self) -> Draws:
        """The same as the data engine takes it."""
        return Draws(
            deliveries=tuple(self.deliveries),
            histories=self.histories,
            hard=self.hard,
            twins=self.twins,
            masked=self.masked,
            alpha=self.alpha,
            measured=tuple(self.measured),
        )


class HeadPart(_Part):
    """The head: see ``fit_logistic``.

    ``pairs`` is the weight of an image of a pair, others count 1. With a ``teacher`` the targets are
    the labels mixed, ``mix`` to one, with that detector's probabilities for the same views.
    """

    C: float = Field(default=1e-2, gt=0)
    iterations: int = Field(default=60, ge=1, le=10_000)
    pairs: float = Field(default=1.0, ge=0)
    teacher: str = ""
    mix: float = Field(default=0.5, ge=0, le=1)


class CalibrationPart(_Part):
    """Nested folds over whole sources, the kind of calibrator, and the rate that is measured."""

    kind: str = "beta"
    folds: int = Field(default=6, ge=3, le=20)
    max_fpr: float = Field(default=0.01, gt=0, le=0.5)


class Recipe(_Part):
    """A recipe for a detector of frozen features and a linear head: ``clip-probe`` or ``timm-stages``."""

    name: str
    summary: str = ""
    licence: str = "Apache-2.0"
    family: str = "clip-probe"
    seed: int = 0
    network: dict[str, Any] = {}
    draws: DrawPart = DrawPart()
    head: HeadPart = HeadPart()
    calibration: CalibrationPart = CalibrationPart()
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
        raise UnknownNameError(f"There is no recipe {str(name)!r}.", hint=f"Known: {', '.join(shipped)}.")
    try:
        if path.stat().st_size > MAX_RECIPE_BYTES:
            raise ConfigError(f"{path.name} is too large for a recipe.")
        return Recipe.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise ConfigError(f"{path.name} is not a recipe: {error}") from error


def train_recipe(
    recipe: str | Path | Recipe,
    corpora: Sequence[Path | str],
    out: Path | str,
    *,
    work: Path | str,
    autoencoder: Path | str | None = None,
    minutes: float = 1e9,
    network: FrozenNetwork | None = None,
) -> Path | None:
    """Makes a detector from labelled folders.

    Args:
        recipe: Name, TOML file or ``Recipe``.
        corpora: Labelled folders (see ``read_corpus``); sources of one name count as one source.
        out: Folder for ``NAME.safetensors`` and ``NAME.card.json``.
        work: Folder for views and features; a later call goes on with what is there, and recipes
            with the same draws and seed share the views.
        autoencoder: Weights for ``load_autoencoder``; twins come from a simulated upsampler if None.
        minutes: Stop drawing and extracting after so many minutes.
        network: Instead of the network that the recipe names.

    Returns:
        The path of the weights, or None if the minutes ran out first: call again.

    Raises:
        CorpusError, ConfigError, TrainingError.
    """
    recipe = recipe if isinstance(recipe, Recipe) else read_recipe(recipe)
    plan = plan_items([read_corpus(folder) for folder in corpora], recipe.draws.plan(), recipe.seed)
    network = network or make_network(recipe)
    reconstruct = load_autoencoder(autoencoder) if autoencoder else simulate_upsampler
    views = ViewStore(work, len(plan.items))
    store = views.features(recipe.name, network.feature_shape)
    if not views.draw(plan, reconstruct, minutes) or not store.extract(network.view_features, minutes):
        return None
    places = np.flatnonzero(store.done[:])
    items = [plan.items[p] for p in places]
    targets = np.array([float(item.label) for item in items])
    if recipe.head.teacher:
        taught = _teacher_scores(recipe.head.teacher, views, places, minutes)
        if taught is None:
            return None
        targets = (1 - recipe.head.mix) * targets + recipe.head.mix * taught
    return fit_recipe(
        recipe, network, store.values[places], items, out, targets=targets, training_data=describe(plan)
    )


def make_network(recipe: Recipe) -> FrozenNetwork:
    """The network of a recipe with its head at zero; ConfigError if its family has no frozen features."""
    register_families()
    network = DETECTORS.get(recipe.family).create(dict(recipe.network), recipe.seed)
    if not isinstance(network, FrozenNetwork):
        raise ConfigError(f"The family {recipe.family} is trained as a whole, not by a recipe.")
    return network


def _teacher_scores(name: str, views: ViewStore, places: np.ndarray, minutes: float) -> np.ndarray | None:
    """The teacher's probabilities for the views of the items, from its own stored features."""
    teacher = load_detector(name)
    if not isinstance(teacher.network, ProbeDetector):
        raise ConfigError(f"{name} cannot teach: it is not of the family clip-probe.")
    store = views.features(teacher.name, teacher.network.feature_shape)
    if not store.extract(teacher.network.view_features, minutes):
        return None
    return teacher.calibrator(teacher.network.head_logits(store.values[places]))


def fit_recipe(
    recipe: Recipe,
    network: FrozenNetwork,
    features: np.ndarray,
    items: Sequence[Item],
    out: Path | str,
    *,
    targets: np.ndarray | None = None,
    **card: Any,
) -> Path:
    """Measures by nested folds, fits the head on everything, calibrates and saves.

    Args:
        features: float16 [N, 3 kinds, ...].
        items: What each row of ``features`` is.
        targets: What the head is fitted to, float [N] in [0, 1]; the labels if None.
        card: Further fields of the card, such as ``training_data``.
    """
    labels = np.array([item.label for item in items])
    groups = np.array([item.group for item in items])
    sources = np.array([item.source for item in items])
    draws = np.array([item.draw for item in items])
    if len(np.unique(labels)) < 2:
        raise TrainingError("The corpora hold one class only.", code="training.one-class")
    aims = labels if targets is None else targets
    x = network.head_input(features)
    fitted = ~np.char.startswith(draws, "measured")
    weights = item_weights(labels, groups, draws, recipe.head.pairs)

    def fit(mask: np.ndarray) -> tuple[np.ndarray, float]:
        mask = mask & fitted
        return fit_logistic(
            x[mask], aims[mask], weights[mask], C=recipe.head.C, iterations=recipe.head.iterations
        )

    def fit_and_score(mask: np.ndarray, scored: np.ndarray) -> np.ndarray:
        weight, bias = fit(mask)
        return x[scored] @ weight.astype(np.float32) + bias

    folds = source_folds(labels, sources, recipe.calibration.folds)
    # A twin is held out with its photograph: both are in the fold of the real source.
    pairs = np.char.startswith(draws, "pair")
    real_fold = {s: f for s, f, y in zip(sources, folds, labels, strict=True) if y == 0}
    folds[pairs] = [real_fold[s] for s in sources[pairs]]
    usable = ~pairs
    part = recipe.calibration
    found = nested_scores(
        fit_and_score,
        labels,
        groups,
        sources,
        folds,
        calibrator=part.kind,
        max_fpr=part.max_fpr,
        calibrate_on=usable,
    )
    figures = held_out_figures(labels, groups, sources, draws, found)
    weight, bias = fit(np.ones(len(labels), bool))
    calibrator, table = final_calibration(recipe, labels, groups, sources, usable, found)
    network.set_head(weight, bias)
    card.setdefault("summary", recipe.summary)
    card.setdefault("licence", recipe.licence)
    card.setdefault("limits", recipe.limits)
    trained = {
        "seed": recipe.seed,
        "items": dict(sorted(Counter(d.split("-")[0] for d in draws).items())),
        "head": f"logistic regression on {x.shape[1]} dimensions, C {recipe.head.C:g}",
        "recipe": recipe.model_dump(mode="json", exclude={"summary", "limits", "licence"}),
        **card.pop("trained", {}),
    }
    return save_detector(
        out, recipe.name, network, calibrator, table, metrics=figures, trained=trained, **card
    )


def item_weights(labels: np.ndarray, groups: np.ndarray, draws: np.ndarray, pairs: float) -> np.ndarray:
    """Square roots of balanced weights (mean 1), the twins of all sources as one group, times ``pairs``."""
    paired = np.char.startswith(draws, "pair")
    names = np.where(draws == "pair-twin", "twin", groups)
    weights = np.sqrt(balanced_weights(labels, names))
    weights[paired] *= pairs
    return weights / weights.mean()


def final_calibration(
    recipe: Recipe,
    labels: np.ndarray,
    groups: np.ndarray,
    sources: np.ndarray,
    usable: np.ndarray,
    found: HeldOut,
) -> tuple[Any, ThresholdTable]:
    """Calibrator and thresholds from all held-out logits; the shipped head has seen these sources."""
    weights = np.sqrt(balanced_weights(labels[usable], groups[usable]))
    calibrator = fit_calibrator(recipe.calibration.kind, found.logits[usable], labels[usable], weights)
    real = usable & (labels == 0)
    table = ThresholdTable.fit(calibrator(found.logits[real]), [str(s) for s in sources[real]])
    return calibrator, table


def describe(plan: Plan) -> list[str]:
    """One line for each class and source: how many images."""
    counts = Counter((row.label, row.source or "unnamed") for _, row in plan.rows)
    return [f"{label}: {source}, {count} images" for (label, source), count in sorted(counts.items())]
