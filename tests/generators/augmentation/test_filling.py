"""Filling: what cannot be learnt from is named, what is made says what it is."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from countermark.core.errors import ConfigError, CorpusError, OutputError
from countermark.core.images import read_image, write_image
from countermark.generators.augmentation import fill_classes
from countermark.generators.augmentation.filling import folder_name, load_labelled
from countermark.generators.data.pictures import Pictures
from countermark.generators.library import load_generator


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
