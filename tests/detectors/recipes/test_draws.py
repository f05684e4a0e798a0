from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from countermark.core.corpus import Corpus
from countermark.core.errors import ConfigError, CorpusError
from countermark.detectors.families.probe import ProbeDetector
from countermark.detectors.recipes.draws import Draws, draw_row, plan_items
from countermark.detectors.recipes.store import ABSENT, DRAWN, ViewStore, view_features

DRAWS = Draws(deliveries=("native", "q75"), histories=2, hard=0.5, twins=1.0, masked=0.0)
NETWORK = {"trunk": "random", "depth": 1, "blocks": [1]}


def draw_all(corpus: Corpus, rows: range) -> dict[tuple[int, str], np.ndarray]:
    plan, found = plan_items([corpus], DRAWS, 1), {}
    for row in rows:
        for place, pixels in draw_row(plan, row, lambda p, g: p, plan.places()[row]):
            found[row, plan.items[place].draw] = pixels
    return found


def test_both_classes_go_through_the_same_draws(tiny_corpus: Corpus) -> None:
    items = plan_items([tiny_corpus], DRAWS, 1).items
    plain = [i for i in items if not i.draw.startswith(("pair", "hard"))]
    counts = [Counter(i.draw for i in plain if i.label == label) for label in (0, 1)]
    assert counts[0] == counts[1] and counts[0]["history-1"] == 24
    hard = [sum(i.draw.startswith("hard") for i in items if i.label == label) for label in (0, 1)]
    assert min(hard) > 4


def test_twins_are_synthetic_and_stay_with_the_source_of_their_picture(tiny_corpus: Corpus) -> None:
    plan = plan_items([tiny_corpus], DRAWS, 1)
    pairs = [i for i in plan.items if i.draw.startswith("pair")]
    assert Counter((i.draw, i.label) for i in pairs) == {("pair-real", 0): 24, ("pair-twin", 1): 24}
    assert {i.source for i in pairs} == {r.source for r in tiny_corpus.rows if r.label == "real"}


def test_a_pair_differs_by_nothing_but_the_reconstruction(tiny_corpus: Corpus) -> None:
    found = draw_all(tiny_corpus, range(8))
    pairs = [row for row, name in found if name == "pair-real"]
    assert pairs
    for row in pairs:
        assert np.array_equal(found[row, "pair-real"], found[row, "pair-twin"])


def test_draws_repeat_and_differ_from_each_other(tiny_corpus: Corpus) -> None:
    first, again = draw_all(tiny_corpus, range(2)), draw_all(tiny_corpus, range(2))
    assert first.keys() == again.keys()
    assert all(np.array_equal(first[key], again[key]) for key in first)
    one, two = first[0, "history-0"], first[0, "history-1"]
    assert one.shape != two.shape or not np.array_equal(one, two)


def test_edited_draws_leave_all_others_as_they_were(tiny_corpus: Corpus) -> None:
    with_edits = replace(DRAWS, edited=0.5)
    plan, before = plan_items([tiny_corpus], with_edits, 1), plan_items([tiny_corpus], DRAWS, 1)
    edited = [i for i in plan.items if i.draw == "edited"]
    assert [i for i in plan.items if i.draw != "edited"] == list(before.items)
    assert 8 < sum(i.label for i in edited) < 40 and len(edited) < len(plan.rows)
    row = edited[0].row
    own = [p for p in plan.places()[row] if plan.items[p].draw in ("native", "edited")]
    pictures = [pixels for _, pixels in draw_row(plan, row, lambda p, g: p, own)]
    assert len(pictures) == 2 and not np.array_equal(*(p[:64, :64] for p in pictures))


def test_large_sources_are_capped_and_measured_draws_counted(tiny_corpus: Corpus) -> None:
    capped = plan_items([tiny_corpus], replace(DRAWS, per_source=3, measured_per_source=2), 1)
    by_source = Counter((row.label, row.source) for _, row in capped.rows)
    assert max(by_source.values()) == 3 < max(Counter((r.label, r.source) for r in tiny_corpus.rows).values())
    measured = Counter((i.label, i.source) for i in capped.items if i.draw == "measured-q75")
    assert set(measured.values()) == {2} and measured.keys() == {
        (int(k[0] == "synthetic"), k[1]) for k in by_source
    }


def test_a_corpus_without_rows_is_refused(tiny_corpus: Corpus) -> None:
    with pytest.raises(CorpusError):
        plan_items([Corpus(tiny_corpus.root, ())], DRAWS, 1)


def test_a_store_goes_on_where_it_stopped(tiny_corpus: Corpus, tmp_path: Path) -> None:
    small = Corpus(tiny_corpus.root, tiny_corpus.rows[:6])
    plan = plan_items([small], Draws(deliveries=("native",), hard=0, twins=0, measured=()), 1)
    network = ProbeDetector.create(NETWORK, 0)
    views = ViewStore(tmp_path, len(plan.items))
    assert not views.draw(plan, lambda p, g: p, minutes=0)
    assert views.draw(plan, lambda p, g: p, wanted=np.arange(len(plan.items)) < 4)
    assert np.count_nonzero(views.state[:] == DRAWN) == 4
    store = views.features("probe", network.feature_shape)
    assert store.extract(network.view_features)
    first = store.values[:4].copy()
    views = ViewStore(tmp_path, len(plan.items))
    store = views.features("probe", network.feature_shape)
    assert views.draw(plan, lambda p, g: p) and not store.extract(network.view_features, minutes=0)
    assert store.extract(network.view_features, batch=5)
    assert np.all(store.done[:] == 1) and np.abs(store.values[:]).sum(axis=(1, 2, 3, 4)).min() > 0
    assert np.array_equal(store.values[:4], first)
    with pytest.raises(ConfigError, match="drawn"):
        ViewStore(tmp_path, 5)


def test_a_delivery_that_shrinks_is_left_out_for_small_pictures(tiny_corpus: Corpus, tmp_path: Path) -> None:
    small = Corpus(tiny_corpus.root, tiny_corpus.rows[:2])
    draws = Draws(deliveries=("native", "320q90"), histories=0, hard=0, twins=0, measured=())
    plan = plan_items([small], draws, 1)
    store = ViewStore(tmp_path, len(plan.items))
    assert store.draw(plan, lambda p, g: p)
    states = {item.draw: state for item, state in zip(plan.items, store.state[:], strict=True)}
    assert states == {"native": DRAWN, "320q90": ABSENT}


def test_equal_views_have_equal_features() -> None:
    network = ProbeDetector.create(NETWORK, 0)
    views = np.random.default_rng(0).integers(0, 256, (2, 3, 224, 224, 3)).astype(np.uint8)
    views[:, 2] = views[:, 1]
    found = view_features(network.view_features, views)
    assert found.shape == (2, 3, 1, 2, 768)
    assert np.array_equal(found[:, 1], found[:, 2]) and not np.array_equal(found[:, 0], found[:, 1])
