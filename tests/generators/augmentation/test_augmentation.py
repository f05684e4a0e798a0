"""Planning, filling and measuring: shares add up, files are labelled, and "no help" is said plainly."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark.core.errors import ConfigError, CorpusError, OutputError, TrainingError
from countermark.core.images import read_image, write_image
from countermark.generators.augmentation import MeasureSettings, allot, fill_classes, fill_up, measure
from countermark.generators.augmentation.benefit import AugmentationReport, Row, paired, split
from countermark.generators.augmentation.filling import folder_name, load_labelled
from countermark.generators.data.pictures import Pictures
from countermark.generators.library import load_generator
from countermark.generators.measuring.classifier import classical, train_classifier


@given(st.lists(st.integers(0, 200), min_size=1, max_size=12), st.integers(0, 500))
def test_allotment_adds_up_and_raises_the_smallest_first(counts, total):
    extra = allot(counts, total)
    assert sum(extra) == total and min(extra) >= 0
    after = [a + b for a, b in zip(counts, extra, strict=True)]
    raised = [level for level, more in zip(after, extra, strict=True) if more]
    if raised:
        assert max(raised) - min(after) <= 1


@given(st.lists(st.integers(0, 200), min_size=1, max_size=12))
def test_filling_up_levels_all_classes(counts):
    assert {a + b for a, b in zip(counts, fill_up(counts), strict=True)} == {max(counts)}


def test_bad_totals_are_refused():
    for counts, total in (([], 3), ([1], -1)):
        with pytest.raises(ConfigError):
            allot(counts, total)


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


def write_folder(root, counts):
    pictures = tones(counts)
    for index, (image, label) in enumerate(zip(pictures.images, pictures.labels, strict=True)):
        write_image(root / pictures.classes[label] / f"{index}.png", image)
    return root


@pytest.fixture
def recipe(tiny_recipe):
    return tiny_recipe(data={"classes": True, "mirror": False, "holdout": 0.0}, images=64)


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


@pytest.mark.parametrize(
    ("counts", "code"), [((5,), "corpus.one-class"), ((1,), "corpus.too-small"), ((5, 1), "corpus.too-small")]
)
def test_folders_that_cannot_be_learnt_from(tmp_path, recipe, counts, code):
    with pytest.raises(CorpusError) as caught:
        load_labelled(write_folder(tmp_path, counts), recipe)
    assert caught.value.code == code


def test_corrupt_files_are_skipped_and_counted(tmp_path, recipe):
    root = write_folder(tmp_path, (4, 4))
    (root / "a" / "broken.png").write_bytes(b"\x89PNG nothing")
    pictures = load_labelled(root, recipe)
    assert len(pictures) == 8 and [name for name, _ in pictures.skipped] == ["a/broken.png"]


def test_filled_folders_say_what_each_file_is(tmp_path):
    generator = load_generator("digits-32")
    counts, added = {str(d): 5 for d in range(10)}, {"3": 2, "7": 1}
    filled = fill_classes(generator, counts, added, tmp_path / "out", seed=5)
    rows = list(csv.DictReader((tmp_path / "out" / "metadata.csv").open()))
    assert [r["condition"] for r in rows] == ["3", "3", "7"] and {r["label"] for r in rows} == {"synthetic"}
    assert {r["weights_sha256"] for r in rows} == {generator.sha256}
    for row in rows:
        made = generator.sample(1, int(row["seed"]), row["condition"])[0]
        assert np.array_equal(read_image(tmp_path / "out" / row["file_name"]).pixels, made)
    assert len(filled.corpus) == 3
    with pytest.raises(OutputError, match="already holds"):
        fill_classes(generator, counts, added, tmp_path / "out")
    with pytest.raises(ConfigError, match="no class 'x'"):
        fill_classes(generator, {"x": 1}, {"x": 1}, tmp_path / "other")


def test_a_teacher_passes_over_what_it_takes_for_another_class(tmp_path):
    generator = load_generator("digits-32")

    class Doubter:
        """Believes every second picture only."""

        def probabilities(self, images):
            return np.tile(np.eye(10)[[0, 3]], (len(images) // 2 + 1, 1))[: len(images)]

    counts = {str(d): 5 for d in range(10)}
    filled = fill_classes(generator, counts, {"3": 3}, tmp_path, seed=0, teacher=Doubter())
    assert [row.seed for row in filled.corpus.rows] == ["1", "3", "5"]


def test_folder_names_stay_inside():
    for name in ("../x", "a/b", "c:d", "..", "", "plain-name.1"):
        safe = folder_name(name)
        assert safe and "/" not in safe and "\\" not in safe and not safe.startswith(".") and ":" not in safe
    assert folder_name("plain-name.1") == "plain-name.1"


def test_classifier_learns_and_repeats():
    pictures = tones((20, 20), spread=10)
    first, second = (
        train_classifier(pictures.images, pictures.labels, 2, steps=30, seed=1, augment=True, mirror=True)
        for _ in range(2)
    )
    assert first.accuracy(pictures.images, pictures.labels) > 0.95
    assert np.array_equal(first.features(pictures.images), second.features(pictures.images))
    with pytest.raises(TrainingError, match="two classes"):
        train_classifier(pictures.images[:20], pictures.labels[:20], 2)
    with pytest.raises(ConfigError, match="outside"):
        train_classifier(pictures.images, pictures.labels + 1, 2)


def test_classical_augmentation_keeps_shape_and_changes_pixels():
    import torch

    x = torch.rand(4, 3, 16, 16)
    moved = classical(x, torch.Generator().manual_seed(0), mirror=True)
    assert moved.shape == x.shape and not torch.allclose(moved, x)
