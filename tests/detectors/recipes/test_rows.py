"""Columns, folds and slices of a recipe's items."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from countermark.core.corpus import Corpus
from countermark.detectors.recipes.draws import Draws, Item, plan_items
from countermark.detectors.recipes.folds import HeldOut
from countermark.detectors.recipes.rows import Rows, final_calibration
from countermark.detectors.recipes.schema import SlicePart, read_recipe

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


def test_slices_leave_out_groups(tiny_corpus: Corpus) -> None:
    rows = Rows(list(plan_items([tiny_corpus], DRAWS, 7).items))
    some = next(group for group, label in zip(rows.groups, rows.labels, strict=True) if label == 1)
    masks = rows.slices({"new": SlicePart(without=[f"*{some.split('@')[0].lower()}*"])})
    assert not masks["new"][rows.groups == some].any() and masks["new"][rows.labels == 0].all()


def test_thresholds_hold_for_every_delivery_of_a_source() -> None:
    """Six of 60 pictures score high after a history, none native: 5 % of the source, 10 % of a delivery."""
    real = [Item(n, draw, 0, "desk", "desk") for draw in ("native", "history-0") for n in range(60)]
    others = [Item(60 + n, "native", 0, f"camera-{n % 30}", f"camera-{n % 30}") for n in range(900)]
    made = [Item(1000 + n, "native", 1, "gan@web", "web") for n in range(200)]
    rows = Rows([*real, *others, *made])
    logits = np.where(rows.labels == 1, 4.0, np.linspace(-4, -2, len(rows.labels)))
    logits[60:66] = 3.0
    found = HeldOut(logits, np.zeros(len(logits)), np.zeros(len(logits)))
    usable = np.ones(len(logits), bool)
    likely = []
    for strata in (rows.sources, rows.strata):
        calibrator, table = final_calibration(
            read_recipe("default"), rows.labels, rows.groups, strata, usable, found
        )
        likely.append(table.thresholds(0.01).likely)
        flagged = calibrator(logits)[60:120] >= likely[-1]
        assert flagged.mean() == (0.1 if strata is rows.sources else 0)
    assert likely[0] < likely[1]
