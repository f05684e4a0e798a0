"""Recipes: everything that makes a detector from folders of images, in one TOML file.

    path = train_recipe("default", ["corpus-a", "corpus-b"], out="weights", work="cache")

The same call with the same folders goes on where it stopped (``minutes`` bounds one call). The
figures in the card come from nested folds over whole sources: see ``countermark.detectors.recipes.folds``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from countermark.core.corpus import read_corpus
from countermark.core.errors import ConfigError, TrainingError
from countermark.detectors.base import DETECTORS, FrozenNetwork
from countermark.detectors.families import register_families
from countermark.detectors.fitting.gram import GramHeads
from countermark.detectors.fitting.heads import fit_logistic
from countermark.detectors.fitting.quadratic import QuadraticHeads
from countermark.detectors.library import save_detector
from countermark.detectors.recipes.corpora import makers, read_list
from countermark.detectors.recipes.draws import Item
from countermark.detectors.recipes.figures import (
    at_shipped_threshold,
    held_out_figures,
    mean_figures,
    readable,
)
from countermark.detectors.recipes.folds import nested_scores, picked
from countermark.detectors.recipes.gathering import draw_and_extract, gathered, plans_of
from countermark.detectors.recipes.rows import Rows, describe, final_calibration, item_weights
from countermark.detectors.recipes.schema import RECIPES, HeadPart, Recipe, read_recipe
from countermark.detectors.recipes.store import Report
from countermark.detectors.recipes.twins import load_autoencoder, simulate_upsampler
from countermark.detectors.scoring.heads import Head
from countermark.detectors.scoring.thresholds import WORKING_POINTS

__all__ = ["RECIPES", "Recipe", "fit_recipe", "item_weights", "make_network", "read_recipe", "train_recipe"]


def train_recipe(
    recipe: str | Path | Recipe,
    corpora: Sequence[Path | str],
    out: Path | str,
    *,
    work: Path | str,
    autoencoder: Path | str | None = None,
    minutes: float = 1e9,
    network: FrozenNetwork | None = None,
    apart: Path | str | None = None,
    report: Report | None = None,
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
        apart: A labelled folder whose sources are left out, so that the detector can be compared on it.
        report: Told what is done, how many of it are, and of how many.

    Returns:
        The path of the weights, or None if the minutes ran out first: call again.

    Raises:
        CorpusError, ConfigError, TrainingError.
    """
    recipe = recipe if isinstance(recipe, Recipe) else read_recipe(recipe)
    plans = plans_of(corpora, recipe.draws.plan(), recipe.seed)
    network = network or make_network(recipe)
    reconstruct = load_autoencoder(autoencoder) if autoencoder else simulate_upsampler
    shape = network.feature_shape
    compute, kinds = network.view_features, network.view_kinds
    if not draw_and_extract(plans, work, recipe.name, shape, compute, reconstruct, minutes, kinds, report):
        return None
    left_out = read_corpus(apart) if apart else None
    items, features = gathered(plans, work, recipe.name, shape, left_out)
    described = describe(plans, {row.source or "unnamed" for row in left_out.rows} if left_out else ())
    return fit_recipe(recipe, network, features, items, out, report=report, training_data=described)


def _fitted_head(
    part: HeadPart, x: np.ndarray, piece: int, fitted: np.ndarray, aims: np.ndarray, weights: np.ndarray
) -> tuple[GramHeads, Head]:
    """Heads for folds, which change ``x``, and the head on all rows that may be fitted on."""
    if part.kind == "quadratic":
        squares = QuadraticHeads(x, piece=piece if part.pieces else 0)
        own = squares.head(fitted, aims, weights, C=part.C, iterations=part.iterations, rank=part.rank)
        return squares, own
    weight, bias = fit_logistic(
        x[fitted], aims[fitted], weights[fitted], C=part.C, iterations=part.iterations
    )
    return GramHeads(x), Head.plain(weight, bias)


def make_network(recipe: Recipe) -> FrozenNetwork:
    """The network of a recipe with its head at zero; ConfigError if its family has no frozen features."""
    register_families()
    network = DETECTORS.get(recipe.family).create(dict(recipe.network), recipe.seed)
    if not isinstance(network, FrozenNetwork):
        raise ConfigError(f"The family {recipe.family} is trained as a whole, not by a recipe.")
    return network


def fit_recipe(
    recipe: Recipe,
    network: FrozenNetwork,
    features: np.ndarray,
    items: Sequence[Item],
    out: Path | str,
    *,
    targets: np.ndarray | None = None,
    report: Report | None = None,
    **card: Any,
) -> Path:
    """Measures by nested folds, fits the head on everything, calibrates and saves.

    Args:
        features: float16 [N, 3 kinds, ...].
        items: What each row of ``features`` is.
        targets: What the head is fitted to, float [N] in [0, 1]; the labels if None.
        report: Told what is done, how many of it are, and of how many.
        card: Further fields of the card, such as ``training_data``.
    """
    rows = Rows(items, makers(read_list()))
    labels, groups, sources, draws = rows.labels, rows.groups, rows.sources, rows.draws
    if len(np.unique(labels)) < 2:
        raise TrainingError("The corpora hold one class only.", code="training.one-class")
    aims = labels if targets is None else targets
    x = network.head_input(features)
    fitted = rows.learnt(recipe.head.learn)
    weights = item_weights(labels, groups, draws, recipe.head)

    heads, head = _fitted_head(recipe.head, x, features.shape[-1], fitted, aims, weights)

    def fit_and_score(mask: np.ndarray, scored: np.ndarray) -> np.ndarray:
        return heads.fit_and_score(
            mask & fitted, aims, weights, scored, C=recipe.head.C, iterations=recipe.head.iterations
        )

    usable = ~np.char.startswith(draws, "pair")
    part = recipe.calibration
    dealings = []
    for seed in range(part.dealings):
        if report is not None:
            report("Measuring", seed, part.dealings)
        dealings.append(
            nested_scores(
                fit_and_score,
                labels,
                groups,
                rows.strata,
                rows.folds(part.folds, seed),
                kinds=rows.kinds,
                calibrator=part.kind,
                max_fpr=part.max_fpr,
                calibrate_on=usable,
            )
        )
    slices = rows.slices(recipe.slices)
    figures = mean_figures(
        [held_out_figures(labels, groups, sources, draws, found, slices) for found in dealings]
    )
    figures = readable(figures, Counter(groups[np.isin(draws, ["native"])].tolist()))
    if part.dealings > 1:
        figures["held_out"] += f" Means over {part.dealings} ways of dealing the sources into folds."
    # One score a row, each picture's from one dealing: the mean of several heads would rank better than
    # the single head that ships.
    found = picked(dealings, rows.pictures % part.dealings)
    calibrator, table = final_calibration(recipe, labels, groups, rows.strata, rows.kinds, usable, found)
    scores = calibrator(found.logits)
    figures["working_points"] = {
        name: {
            "max_fpr": share,
            "likely": table.thresholds(share).likely,
            **at_shipped_threshold(labels, sources, draws, scores >= table.thresholds(share).likely),
            "real_by_kind": {
                kind: [round(rate.value, 4), round(rate.low, 4), round(rate.high, 4)]
                for kind, rate in table.rates(table.thresholds(share).likely).items()
            },
        }
        for name, share in WORKING_POINTS.items()
    }
    network.set_head(head)
    card.setdefault("summary", recipe.summary)
    card.setdefault("licence", recipe.licence)
    card.setdefault("limits", recipe.limits)
    trained = {
        "seed": recipe.seed,
        "items": dict(sorted(Counter(d.split("-")[0] for d in draws).items())),
        "head": f"{recipe.head.kind} logistic regression on {x.shape[1]} dimensions, C {recipe.head.C:g}",
        "recipe": recipe.model_dump(mode="json", exclude={"summary", "limits", "licence"}),
        **card.pop("trained", {}),
    }
    return save_detector(
        out, recipe.name, network, calibrator, table, metrics=figures, trained=trained, **card
    )
