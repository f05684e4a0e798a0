"""Leave-one-out on the stored features of a recipe: one head for every source or generator.

    found = leave_out_features("default", ["corpus"], "work", by="source")
    found.pooled["native"]["AUROC"], found.parts[0].figures

A part is all images of one source, or of one generator of one source. With it a quarter of the
sources of the other class is left out, so that both sides of every figure are unseen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from countermark.core.errors import ConfigError
from countermark.core.intervals import bootstrap
from countermark.core.results import Interval
from countermark.core.seeds import rng
from countermark.core.stats import auroc, weighted_auroc, weighted_tpr_at_fpr
from countermark.detectors.fitting.gram import GramHeads
from countermark.detectors.fitting.quadratic import QuadraticHeads
from countermark.detectors.recipes.figures import condition_of
from countermark.detectors.recipes.gathering import gathered, plans_of
from countermark.detectors.recipes.rows import Rows, item_weights
from countermark.detectors.recipes.run import make_network
from countermark.detectors.recipes.schema import Recipe, read_recipe

SMALLEST_PART = 3
COMPANION_FOLDS = 4


@dataclass(frozen=True)
class Part:
    """One part: by condition AUROC against all held-out images of the other class, the share of the
    part above the score that 5 % of all held-out real images exceed, and images."""

    name: str
    label: int
    figures: dict[str, tuple[float, float, int]]


@dataclass(frozen=True)
class LeftOutRecipe:
    """Figures pooled over all parts by condition and name, the parts, and the parts that got no head."""

    recipe: str
    by: str
    pooled: dict[str, dict[str, Interval]]
    parts: tuple[Part, ...]
    skipped: tuple[str, ...]


def leave_out_features(
    recipe: str | Path | Recipe,
    corpora: Sequence[Path | str],
    work: Path | str,
    *,
    by: str = "source",
    limit: int = 100,
    seed: int = 0,
    resamples: int = 300,
    report: Callable[[int, int, str], None] = lambda done, total, part: None,
) -> LeftOutRecipe:
    """Fits a head for every part and scores what was left out.

    Raises:
        ConfigError: ``by`` is unknown, or no features are stored in ``work``.
    """
    if by not in ("source", "generator"):
        raise ConfigError(f"{by!r} cannot be left out.", hint="Choose generator or source.")
    settings = recipe if isinstance(recipe, Recipe) else read_recipe(recipe)
    network = make_network(settings)
    plans = plans_of(corpora, settings.draws.plan(), settings.seed)
    if not any(Path(work).glob(f"*/{settings.name}.done.npy")):
        raise ConfigError(f"{work} holds no features.", hint="Run countermark recipe with it first.")
    items, features = gathered(plans, work, settings.name, network.feature_shape)
    rows = Rows(items)
    x = network.head_input(features)
    heads = QuadraticHeads(x) if settings.head.kind == "quadratic" else GramHeads(x)
    weights = item_weights(rows.labels, rows.groups, rows.draws, settings.head)
    pairs = np.char.startswith(rows.draws, "pair")
    fitted = rows.learnt(settings.head.learn)
    names = rows.sources if by == "source" else rows.groups
    counts = Counter(
        (str(n), int(y)) for n, y in zip(names[~pairs], rows.labels[~pairs], strict=True)
        if by == "source" or y == 1
    )  # fmt: skip
    ranked = sorted(counts, key=lambda key: (-counts[key], key))
    chosen = [key for key in ranked if counts[key] >= SMALLEST_PART][:limit]
    quarters = {}
    for label in (0, 1):
        known = np.unique(rows.sources[~pairs & (rows.labels == label)])
        order = rng(seed, "companions", str(label)).permutation(known)
        quarters[label] = {str(n): i % COMPANION_FOLDS for i, n in enumerate(order)}
    scores: list[np.ndarray] = []
    owners: list[np.ndarray] = []
    held: list[np.ndarray] = []
    for number, (name, label) in enumerate(chosen):
        report(number, len(chosen), name)
        own = (names == name) & (rows.labels == label) & ~pairs
        fold = number % COMPANION_FOLDS
        beside = np.array([quarters[1 - label].get(str(s)) == fold for s in rows.sources])
        beside &= (rows.labels != label) & ~pairs
        # A twin goes with its photograph, and nothing of a source that is left out is learnt from.
        apart = own | beside | np.isin(rows.sources, rows.sources[beside])
        if by == "source":
            apart |= rows.sources == name
        kept = own | beside
        found = heads.fit_and_score(
            fitted & ~apart,
            rows.labels,
            weights,
            kept,
            C=settings.head.C,
            iterations=settings.head.iterations,
        )
        scores.append(found)
        owners.append(np.full(len(found), number))
        held.append(np.flatnonzero(kept))
    report(len(chosen), len(chosen), "")
    index, value, owner = np.concatenate(held), np.concatenate(scores), np.concatenate(owners)
    labels, sources = rows.labels[index], rows.sources[index]
    kinds = np.array([condition_of(draw) for draw in rows.draws])[index]
    pooled: dict[str, dict[str, Interval]] = {}
    figures: list[dict[str, tuple[float, float, int]]] = [{} for _ in chosen]
    for kind in sorted(set(kinds) - {"hard"}):
        mine = kinds == kind
        y, v = labels[mine], value[mine]
        if len(np.unique(y)) < 2:
            continue
        pooled[kind] = {
            title: bootstrap(statistic, y, sources[mine], resamples=resamples, bounds=(0.0, 1.0))
            for title, statistic in (
                ("AUROC", partial(weighted_auroc, y, v)),
                ("TPR at 5 % FPR", partial(weighted_tpr_at_fpr, y, v, max_fpr=0.05)),
            )
        }
        bound = float(np.quantile(v[y == 0], 0.95))
        for number, (_, label) in enumerate(chosen):
            own = mine & (owner == number) & (labels == label)
            other = mine & (labels != label)
            if own.any() and other.any():
                both = own | other
                area = auroc(labels[both], value[both])
                share = float((value[own] > bound).mean())
                figures[number][kind] = (float(area), share, int(own.sum()))
    parts = tuple(Part(n, y, f) for (n, y), f in zip(chosen, figures, strict=True))
    skipped = tuple(name for name, label in ranked if (name, label) not in chosen)
    return LeftOutRecipe(settings.name, by, pooled, parts, skipped)
