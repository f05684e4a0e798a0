"""Whole generators and sources are left out, and only what was held out is scored."""

from __future__ import annotations

from dataclasses import replace

import pytest

from countermark.core.corpus import Corpus
from countermark.core.errors import ConfigError, CorpusError
from countermark.detectors import FitSettings
from countermark.detectors.measuring.leave_out import leave_out, plan_folds

SMALL = {"side": 48, "width": 8, "levels": 3, "max_width": 32}


def test_no_image_of_a_part_is_trained_on(tiny_corpus: Corpus) -> None:
    for by in ("generator", "source"):
        folds, skipped = plan_folds(tiny_corpus, by, 3, seed=0)
        assert len(folds) == 3 and len(skipped) == (2 if by == "generator" else 7)
        for fold in folds:
            assert fold.own and fold.companions and not fold.own & fold.companions
            rows = tiny_corpus.rows
            rest = [r for i, r in enumerate(rows) if i not in fold.own | fold.companions]
            assert {r.label for r in rest} == {"real", "synthetic"}
            assert fold.part not in {r.source for r in rest}
            assert {rows[i].label for i in fold.own} == {fold.label}
            beside = {rows[i].source for i in fold.companions}
            assert not beside & {r.source for r in rest}, "companions are whole sources too"


def test_by_generator_only_generators_are_parts(tiny_corpus: Corpus) -> None:
    folds, _ = plan_folds(tiny_corpus, "generator", 99, seed=0)
    assert {f.label for f in folds} == {"synthetic"} and len(folds) == 5
    folds, _ = plan_folds(tiny_corpus, "source", 99, seed=0)
    assert {f.label for f in folds} == {"synthetic", "real"} and len(folds) == 10


def test_figures_of_a_family_that_learns_this(tiny_corpus: Corpus) -> None:
    seen: list[str] = []
    found = leave_out(
        tiny_corpus,
        family="critic",
        by="generator",
        config=SMALL,
        settings=FitSettings(seed=3, steps=60, batch=16, learning_rate=3e-3),
        limit=2,
        resamples=50,
        report=lambda done, total, part: seen.append(f"{done}/{total} {part}"),
    )
    assert len(found.parts) == 2 and len(seen) == 3 and seen[-1].startswith("2/2")
    assert set(found.pooled) == {"native", "q96", "320q90", "q75"}
    assert found.pooled["native"].auroc.value > 0.8, "checkered against smooth carries over"
    for part in found.parts.values():
        assert part.label == "synthetic" and part.figures["native"].images >= 3
    assert found.scores == sum(
        len(f.own) + len(f.companions) for f in plan_folds(tiny_corpus, "generator", 2, 3)[0]
    )


def test_what_cannot_be_left_out(tiny_corpus: Corpus) -> None:
    with pytest.raises(ConfigError, match="generator or source"):
        leave_out(tiny_corpus, family="critic", by="camera")
    one = tuple(replace(r, source="only") if r.label == "real" else r for r in tiny_corpus.rows)
    with pytest.raises(CorpusError) as caught:
        leave_out(replace(tiny_corpus, rows=one), family="critic")
    assert caught.value.code == "corpus.too-few-groups" and caught.value.hint
