"""Columns, folds and slices of a recipe's items."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from countermark.core.corpus import Corpus
from countermark.detectors.engine import Draws, plan_items
from countermark.detectors.recipe_parts import SlicePart
from countermark.detectors.recipe_rows import Rows

DRAWS = Draws(deliveries=("native", "320q90"), histories=0, hard=0.3, twins=0.5, measured=())


def fold_by_source(rows: Rows) -> dict[tuple[str, int], set[int]]:
    found: dict[tuple[str, int], set[int]] = {}
    for source, label, draw, fold in zip(rows.sources, rows.labels, rows.draws, rows.folds(3), strict=True):
        real = 0 if draw.startswith("pair") else int(label)
        found.setdefault((str(source), real), set()).add(int(fold))
    return found


def test_further_draws_deal_the_sources_into_the_same_folds(tiny_corpus: Corpus) -> None:
    few = fold_by_source(Rows(plan_items([tiny_corpus], replace(DRAWS, twins=0, hard=0), 7).items))
    many = Rows(plan_items([tiny_corpus], replace(DRAWS, histories=3, edited=0.7), 7).items)
    assert fold_by_source(many) == few
    assert all(len(folds) == 1 for folds in few.values())
    pairs = np.char.startswith(many.draws, "pair")
    photographs = {key[0]: min(folds) for key, folds in few.items() if key[1] == 0}
    assert pairs.any()
    assert [photographs[s] for s in many.sources[pairs]] == list(many.folds(3)[pairs])


def test_slices_leave_out_groups_and_sizes(tiny_corpus: Corpus) -> None:
    items = plan_items([tiny_corpus], DRAWS, 7).items
    large = {item.row for item in items if item.row % 2}
    drawn = [item for item in items if item.draw != "320q90" or item.row in large]
    rows = Rows(drawn)
    some = next(group for group, label in zip(rows.groups, rows.labels, strict=True) if label == 1)
    pattern = f"*{some.split('@')[0].lower()}*"
    masks = rows.slices(
        {
            "full": SlicePart(size="full"),
            "small": SlicePart(size="thumbnail"),
            "new": SlicePart(without=[pattern]),
        }
    )
    assert set(rows.pictures[masks["full"]]) == large
    assert not (masks["full"] & masks["small"]).any() and (masks["full"] | masks["small"]).all()
    assert not masks["new"][rows.groups == some].any() and masks["new"][rows.labels == 0].all()
