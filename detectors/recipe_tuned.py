"""Recipes that fine-tune a backbone, and what teachers say about stored views."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from countermark.core.errors import ConfigError
from countermark.detectors.base import FrozenNetwork
from countermark.detectors.cnn_stages import StageDetector
from countermark.detectors.engine import Item
from countermark.detectors.features import FeatureStore, ViewStore
from countermark.detectors.heads import fit_logistic
from countermark.detectors.library import load_detector, save_detector
from countermark.detectors.measures import held_out_figures
from countermark.detectors.probe import ProbeDetector
from countermark.detectors.recipe_parts import Recipe
from countermark.detectors.recipe_rows import Rows, final_calibration, item_weights
from countermark.detectors.tuning import cross_calibrate, tune

#: Of the head of a teacher that is fitted anew without the sources that are measured on.
TEACHER_C = 1e-2
TUNED_NOTE = (
    "Whole sources kept apart from backbone, head and teacher; calibrator and thresholds from other folds "
    "of them. The weights then learnt a while longer with every source; a generator may occur in another "
    "source."
)


def teacher_scores(name: str, views: ViewStore, places: np.ndarray, minutes: float) -> np.ndarray | None:
    """The teacher's probabilities for the views of the items, from its own stored features."""
    found = _teacher(name, views, minutes)
    if found is None:
        return None
    teacher, store = found
    return teacher.calibrator(teacher.network.head_logits(store.values[places]))


def _teacher(name: str, views: ViewStore, minutes: float) -> tuple[Any, FeatureStore] | None:
    """The teacher and its stored features; None if the minutes ran out."""
    teacher = load_detector(name)
    if not isinstance(teacher.network, ProbeDetector):
        raise ConfigError(f"{name} cannot teach: it is not of the family clip-probe.")
    store = views.features(teacher.name, teacher.network.feature_shape)
    return (teacher, store) if store.extract(teacher.network.view_features, minutes) else None


def tune_recipe(
    recipe: Recipe,
    network: FrozenNetwork,
    features: np.ndarray,
    views: ViewStore,
    places: np.ndarray,
    items: Sequence[Item],
    out: Path | str,
    minutes: float,
    training_data: list[str],
) -> Path | None:
    """Fine-tunes, measures on the folds that were kept apart, goes on with all of them, saves.

    Args:
        features: Of the backbone before tuning; the head begins with a regression on them.
        views: With ``places`` the positions in it of ``items``.
        training_data: Lines for the card.
    """
    if not isinstance(network, StageDetector):
        raise ConfigError("Only timm-stages can be fine-tuned by a recipe.")
    rows = Rows(items)
    folds = rows.folds(recipe.calibration.folds)
    held = folds < recipe.tune.held
    fitted = rows.learnt(recipe.head.learn)
    weights = item_weights(rows.labels, rows.groups, rows.draws, recipe.head.pairs, recipe.head.edited)
    taught = np.zeros(len(items))
    found = _teacher(recipe.head.teacher, views, minutes) if recipe.head.teacher else None
    if recipe.head.teacher:
        if found is None:
            return None
        known = found[0].network.head_input(found[1].values[places])
    head = recipe.head
    for name, learnt, steps in (
        ("held", ~held, recipe.tune.steps),
        ("all", np.ones(len(items), bool), recipe.tune.more),
    ):
        mask = learnt & fitted
        targets = rows.labels.astype(float)
        if found is not None:
            w, b = fit_logistic(known[mask], targets[mask], weights[mask], C=TEACHER_C, iterations=45)
            taught[mask] = 1 / (1 + np.exp(-(known[mask] @ w + b)))
            targets = (1 - head.mix) * targets + head.mix * taught
        if name == "held":
            x = network.head_input(features)
            network.set_head(
                *fit_logistic(x[mask], targets[mask], weights[mask], C=head.C, iterations=head.iterations)
            )
        done = tune(
            network,
            views.views,
            places[mask],
            targets[mask],
            weights[mask],
            steps,
            recipe.tune,
            seed=recipe.seed,
            checkpoint=views.folder / f"{recipe.name}.{name}.safetensors",
            minutes=minutes,
        )
        if not done:
            return None
        if name == "held":
            store = views.features(f"{recipe.name}.tuned", network.feature_shape)
            if not store.extract(network.view_features, minutes):
                return None
            tuned = network.head_input(store.values[places])
            logits = tuned @ network.weight.numpy() + float(network.bias)
    part = recipe.calibration
    usable = ~np.char.startswith(rows.draws, "pair")
    own = [a[held] for a in (logits, rows.labels, rows.groups, rows.strata, folds, usable)]
    scores = cross_calibrate(*own, calibrator=part.kind, max_fpr=part.max_fpr)
    figures = held_out_figures(
        rows.labels[held], rows.groups[held], rows.sources[held], rows.draws[held], scores
    )
    figures["held_out"] = TUNED_NOTE
    calibrator, table = final_calibration(
        recipe, rows.labels[held], rows.groups[held], rows.strata[held], usable[held], scores
    )
    trained = {
        "seed": recipe.seed,
        "items": dict(sorted(Counter(d.split("-")[0] for d in rows.draws).items())),
        "held_sources": sorted({str(s) for s in rows.sources[held]}),
        "recipe": recipe.model_dump(mode="json", exclude={"summary", "limits", "licence"}),
    }
    return save_detector(
        out,
        recipe.name,
        network,
        calibrator,
        table,
        metrics=figures,
        trained=trained,
        training_data=training_data,
        summary=recipe.summary,
        licence=recipe.licence,
        limits=recipe.limits,
    )
