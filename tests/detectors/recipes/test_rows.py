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


def test_what_one_maker_publishes_is_held_out_together() -> None:
    items = [Item(i, "native", i % 2, f"s{i // 2}", f"s{i // 2}") for i in range(40)]
    makers = {("real", f"s{i}"): "s3" for i in (3, 4, 7, 11)}
    rows = Rows(items, makers)
    for seed in range(4):
        folds = rows.folds(5, seed)
        chosen = np.isin(rows.sources, ["s3", "s4", "s7", "s11"])
        assert len(set(folds[chosen & (rows.labels == 0)])) == 1
        assert len(set(folds[chosen & (rows.labels == 1)])) > 1 or seed, "the other class is dealt freely"
    assert len(set(Rows(items).folds(5)[chosen & (rows.labels == 0)])) > 1


def test_slices_leave_out_groups(tiny_corpus: Corpus) -> None:
    rows = Rows(list(plan_items([tiny_corpus], DRAWS, 7).items))
    some = next(group for group, label in zip(rows.groups, rows.labels, strict=True) if label == 1)
    masks = rows.slices({"new": SlicePart(without=[f"*{some.split('@')[0].lower()}*"])})
    assert not masks["new"][rows.groups == some].any() and masks["new"][rows.labels == 0].all()


def test_thresholds_hold_for_every_kind_of_picture() -> None:
    """A tenth of the paintings score high: too few to move the rate of all, too many for their kind."""
    real = [Item(n, "native", 0, f"p-{n % 4}", f"p-{n % 4}", "painting") for n in range(80)]
    others = [Item(80 + n, "native", 0, f"c-{n % 90}", f"c-{n % 90}", "photograph") for n in range(1800)]
    made = [Item(2000 + n, "native", 1, "gan@web", "web") for n in range(200)]
    rows = Rows([*real, *others, *made])
    logits = np.where(rows.labels == 1, 4.0, np.linspace(-4, -2, len(rows.labels)))
    logits[:8] = 3.0
    found = HeldOut(logits, np.zeros(len(logits)), np.zeros(len(logits)))
    usable = np.ones(len(logits), bool)
    flagged = {}
    for name, kinds in (("known", rows.kinds), ("unknown", np.full(len(rows.kinds), ""))):
        calibrator, table = final_calibration(
            read_recipe("default"), rows.labels, rows.groups, rows.strata, kinds, usable, found
        )
        flagged[name] = (calibrator(logits)[:80] >= table.thresholds(0.01).likely).mean()
    assert flagged == {"known": 0, "unknown": 0.1}
