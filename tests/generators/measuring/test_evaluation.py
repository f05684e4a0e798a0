"""The evaluation of a generator as one record."""

from __future__ import annotations

import json

import numpy as np
import pytest

from countermark.core.features import Extractor
from countermark.core.images import read_image
from countermark.generators.data.pictures import load_pictures
from countermark.generators.measuring.evaluation import card_figures, evaluate_generator, evaluate_images


@pytest.fixture(scope="module")
def pixels():
    """An extractor quick enough for tests: the pixels themselves at 8 x 8."""
    return Extractor("pixels", 8, lambda images: images.reshape(len(images), -1) / 255.0)


def test_reports_catch_a_copier_and_pass_held_out_reals(pixels, tmp_path):
    pictures = load_pictures("digits", size=32, channels=1)
    rgb = np.repeat(pictures.images, 3, axis=3)
    copier = evaluate_images(rgb[:200], pictures, extractor=pixels, gallery=tmp_path / "pairs.png")
    assert copier.copying is not None and copier.copying.copies
    assert read_image(tmp_path / "pairs.png").pixels.shape == (8 * 34 - 2, 8 * 34 - 2, 3)
    mirrored = evaluate_images(np.ascontiguousarray(rgb[:200, :, ::-1]), pictures, extractor=pixels)
    assert mirrored.copying is not None and mirrored.copying.copies
    honest = evaluate_images(np.repeat(pictures.heldout, 3, axis=3), pictures, extractor=pixels)
    assert honest.copying is not None and not honest.copying.copies
    half = np.concatenate([rgb[:100], np.repeat(pictures.heldout[:100], 3, axis=3)])
    mixed = evaluate_images(half, pictures, extractor=pixels)
    assert mixed.copying is not None and mixed.copying.copies


def test_the_record_names_everything_a_figure_depends_on(pixels):
    report = evaluate_generator("digits-32", "digits", count=60, extractor=pixels)
    record = json.loads(json.dumps(report.as_dict()))
    assert "pairs" not in record and report.pairs is not None
    interval = record["frechet_interval"]
    assert interval["low"] <= interval["value"] == record["frechet"] <= interval["high"]
    assert record["recall"]["low"] >= 0 and record["precision"]["high"] <= 1
    assert record["schema"] == "countermark.generator-report/1"
    assert record["extractor"] == "pixels" and record["reference"] == "held-out"
    assert record["count_generated"] == 60 and record["sha256"] == report.sha256
    figures = card_figures(report)
    assert figures["kid"]["low"] <= figures["kid"]["value"] <= figures["kid"]["high"]
