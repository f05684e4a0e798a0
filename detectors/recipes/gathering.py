"""Items and features of several corpora: a folder of views for each, so that one can be added later.

The folder's name is a digest of what was drawn (the corpus' rows, the draws, the seed): a corpus that
changes gets another folder, and the others keep theirs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from countermark.core.corpus import Corpus, read_corpus
from countermark.detectors.recipes.draws import Draws, Item, Plan, plan_items
from countermark.detectors.recipes.store import FeatureStore, Report, ViewStore
from countermark.detectors.recipes.twins import Reconstruct


def plans_of(corpora: Sequence[Path | str], draws: Draws, seed: int) -> list[Plan]:
    """One plan a corpus.

    Raises:
        CorpusError: a folder is no corpus, or holds nothing to train on.
    """
    return [plan_items([read_corpus(folder)], draws, seed) for folder in corpora]


def store_of(work: Path | str, plan: Plan) -> ViewStore:
    """The views of one plan, in a folder of its own inside ``work``."""
    return ViewStore(Path(work) / _digest(plan), len(plan.items))


def draw_and_extract(
    plans: Sequence[Plan],
    work: Path | str,
    name: str,
    shape: tuple[int, ...],
    compute: Callable[[np.ndarray], np.ndarray],
    reconstruct: Reconstruct,
    minutes: float = 1e9,
    kinds: Sequence[int] = (0, 1, 2),
    report: Report | None = None,
) -> bool:
    """Draws and computes what is missing; True when nothing is left. ``minutes`` bound each of both.

    ``kinds`` of view are those that ``compute`` is asked for; ``report`` is told how far it is.
    """
    for plan in plans:
        views = store_of(work, plan)
        if not views.draw(plan, reconstruct, minutes, report=report):
            return False
        if not views.features(name, shape).extract(compute, minutes, kinds=kinds, report=report):
            return False
    return True


def gathered(
    plans: Sequence[Plan], work: Path | str, name: str, shape: tuple[int, ...], apart: Corpus | None = None
) -> tuple[list[Item], np.ndarray]:
    """Items whose features are there, rows counted through, and float16 [N, 3 kinds, *shape].

    Items of sources that also stand in ``apart`` are left out.
    """
    unwanted = {row.source or "unnamed" for row in apart.rows} if apart else set()
    items: list[Item] = []
    parts: list[np.ndarray] = []
    before = 0
    for plan in plans:
        store: FeatureStore = store_of(work, plan).features(name, shape)
        places = [p for p in np.flatnonzero(store.done[:]) if plan.items[p].source not in unwanted]
        items += [replace(plan.items[p], row=plan.items[p].row + before) for p in places]
        parts.append(store.values[np.array(places, int)])
        before += len(plan.rows)
    return items, np.concatenate(parts)


def _digest(plan: Plan) -> str:
    rows = [[row.file_name, row.label, row.generator, row.source, row.sha256] for _, row in plan.rows]
    text = json.dumps([rows, asdict(plan.draws), plan.seed], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
