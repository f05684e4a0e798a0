"""Did it help: paired differences, splits, and what the report says."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.core.errors import ConfigError, CorpusError
from countermark.generators.augmentation import MeasureSettings, measure
from countermark.generators.augmentation.benefit import AugmentationReport, Row, paired, split
from countermark.generators.data.pictures import Pictures


def tones(counts=(12, 12), side=16, spread=20) -> Pictures:
    """Classes that differ in brightness."""
    draws = np.random.default_rng(0)
    levels = np.linspace(60, 200, len(counts))
    images = [
        np.clip(draws.normal(m, spread, (n, side, side, 3)), 0, 255)
        for m, n in zip(levels, counts, strict=True)
    ]
    labels = np.repeat(np.arange(len(counts)), counts)
    empty = np.zeros((0, side, side, 3), np.uint8)
    names = tuple("abcdefgh"[: len(counts)])
    return Pictures("tones", np.concatenate(images).astype(np.uint8), labels, names, empty, None)


@pytest.fixture
def recipe(tiny_recipe):
    return tiny_recipe(data={"classes": True, "mirror": False, "holdout": 0.0}, images=64)


def _report(differences, plain=()):
    def row(share, classical, values):
        difference = paired(np.array(values), 2) if share else None
        return Row(share, classical, paired(np.array([0.9, 0.91, 0.92])), difference, (0.9,))

    rows = (
        row(0.0, False, ()),
        row(0.5, False, plain or differences),
        row(0.0, True, ()),
        row(0.5, True, differences),
    )
    return AugmentationReport("x", 2, 10, 10, 16, rows, MeasureSettings(), "g")


def test_measure_compares_pairs_over_seeds(recipe):
    settings = MeasureSettings(seeds=2, classifier_steps=20, shares=(0.5, 2.0))
    steps = []
    report = measure(tones(), recipe, settings, progress=steps.append)
    assert steps == [1, 1]
    assert [(r.share, r.classical) for r in report.rows] == [
        (s, c) for c in (False, True) for s in (0.0, 0.5, 2.0)
    ]
    for base, row in ((report.rows[0], report.rows[1]), (report.rows[3], report.rows[5])):
        expected = np.mean(np.array(row.values) - np.array(base.values))
        assert row.difference.value == pytest.approx(expected)
    assert report.train == 18 and report.test == 6 and "test images" in report.notes[0]
    assert report.as_dict()["sentence"] == report.sentence


def test_the_report_says_plainly_whether_it_helped():
    good, none = _report([0.05, 0.06, 0.055]), _report([-0.01, 0.02, 0.0])
    assert good.helped and good.sentence.startswith("Generated images helped")
    assert not none.helped and none.sentence.startswith("Generated images did not help")
    half = _report([-0.01, 0.02, 0.0], plain=[0.05, 0.06, 0.055])
    assert not half.helped and half.sentence.endswith("only where classical augmentation was left out.")


def test_paired_interval_is_students():
    interval = paired(np.array([1.0, 2.0, 3.0]))
    assert interval.value == 2 and interval.high - interval.value == pytest.approx(4.3027 / 3**0.5, abs=1e-3)
    assert paired(np.array([1.0, 2.0, 3.0]), 2).high > interval.high


def test_splits_do_not_overlap_and_keep_every_class():
    pictures = tones((3, 9))
    train, test = split(pictures, MeasureSettings(per_class=2), 1)
    assert len(train) == 4 and len(test) == 8 and set(test.labels) == {0, 1}
    together = np.concatenate([train.images, test.images]).reshape(12, -1)
    assert len(np.unique(together, axis=0)) == 12
    with pytest.raises(CorpusError, match="leave none to test on"):
        split(pictures, MeasureSettings(per_class=3), 1)


@pytest.mark.parametrize("settings", [{"seeds": 1}, {"shares": ()}, {"shares": (0.0, 1.0)}])
def test_a_comparison_of_nothing_is_refused(recipe, settings):
    with pytest.raises(ConfigError):
        measure(tones(), recipe, MeasureSettings(**settings))
