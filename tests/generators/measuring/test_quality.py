"""Figures against reference implementations and against sets whose answer is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from countermark.core.errors import ConfigError
from countermark.core.features import Extractor
from countermark.core.images import read_image
from countermark.generators.data.pictures import load_pictures
from countermark.generators.measuring.copying import copying
from countermark.generators.measuring.evaluation import card_figures, evaluate_generator, evaluate_images
from countermark.generators.measuring.quality import frechet, half_sampled, kid, neighbourhood


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    train, held, other = rng.normal(size=(3, 400, 6))
    return {"train": train, "held": held, "other": other, "far": other + 1.5}


def test_kid_equals_torchmetrics(sets):
    metrics = pytest.importorskip("torchmetrics.image.kid")
    expected = metrics.poly_mmd(torch.tensor(sets["train"]), torch.tensor(sets["far"]))
    found = kid(sets["train"], sets["far"])
    assert found.value == pytest.approx(float(expected), rel=1e-6)
    assert found.low < found.value < found.high


def test_kid_interval_holds_zero_for_equal_sets_and_not_for_others(sets):
    same, far = kid(sets["train"], sets["held"]), kid(sets["train"], sets["far"])
    assert same.low < 0 < same.high
    assert far.low > 0


def test_kid_interval_covers_the_value_of_fresh_draws():
    rng = np.random.default_rng(1)
    inside = 0
    reference = kid(rng.normal(size=(4000, 4)), rng.normal(0.4, 1, size=(4000, 4)), resamples=2).value
    for _ in range(40):
        found = kid(rng.normal(size=(120, 4)), rng.normal(0.4, 1, size=(120, 4)), resamples=60)
        inside += found.low <= reference <= found.high
    assert 32 <= inside <= 40


def test_frechet_of_known_gaussians():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20_000, 3)), rng.normal(2, 2, size=(20_000, 3))
    assert frechet(a, b) == pytest.approx(3 * 4 + 3 * (2 - 1) ** 2, rel=0.03)
    assert frechet(a, a) == pytest.approx(0, abs=1e-8)


def test_both_forms_of_frechet_agree():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(60, 20)), rng.normal(0.5, 2, size=(50, 20))
    wide = np.zeros((60, 41))  # more features than images, of which half say nothing
    tall = frechet(a, b)
    assert frechet(np.hstack([a, wide]), np.hstack([b, wide[:50]])) == pytest.approx(tall, rel=1e-9)
    from scipy import linalg

    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(cov_a @ cov_b).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert tall == pytest.approx(expected, rel=1e-6)


def test_neighbourhood_equals_prdc(sets):
    prdc = pytest.importorskip("prdc")
    expected = prdc.compute_prdc(sets["train"], sets["far"], nearest_k=5)
    found = neighbourhood(sets["train"], sets["far"], k=5)
    for key in ("precision", "recall", "density", "coverage"):
        assert found[key] == pytest.approx(expected[key], abs=1e-9)


def test_neighbourhood_of_copies_and_of_a_collapsed_model(sets):
    copies = neighbourhood(sets["train"], sets["train"])
    assert copies["precision"] == copies["recall"] == copies["coverage"] == 1
    collapsed = neighbourhood(sets["train"], np.repeat(sets["train"][:1], 50, axis=0))
    assert collapsed["precision"] == 1 and collapsed["recall"] < 0.05


def test_half_sampling_is_centred(sets):
    found = half_sampled(lambda a, b: neighbourhood(a, b)["precision"], sets["train"], sets["held"])
    assert found.low <= found.value <= found.high
    copies = half_sampled(
        lambda a, b: neighbourhood(a, b)["recall"], sets["train"], sets["train"], limits=(0.0, 1.0)
    )
    assert copies.value == 1 and copies.high == 1


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_copies_are_caught(sets, share):
    count = int(400 * share)
    made = np.concatenate([sets["train"][:count] + 1e-3, sets["other"][count:]])
    report = copying(sets["train"], sets["held"], made)
    assert report.copies
    assert report.near_duplicates >= share - 0.02
    assert report.authentic < report.authentic_heldout
    assert np.array_equal(report.nearest[:count], np.arange(count))
    assert "near-duplicates" in report.sentence


def test_held_out_images_pass(sets):
    for seed in range(5):
        fresh = np.random.default_rng(seed + 10).normal(size=(400, 6))
        report = copying(sets["train"], sets["held"], fresh, seed=seed)
        assert not report.copies and abs(report.c_t) < 3


@pytest.mark.parametrize("spread", [0.3, 0.5, 0.8])
def test_too_little_variety_is_not_called_copying(sets, spread):
    narrow = np.random.default_rng(3).normal(0, spread, size=(400, 6))
    report = copying(sets["train"], sets["held"], narrow)
    assert report.c_t < -3 and not report.copies
    assert "variety" in report.sentence


def test_mirrored_copies_are_caught_with_mirrored_features(sets):
    mirrored = -sets["train"]
    made = mirrored[:300] + 1e-3
    assert copying(sets["train"], sets["held"], made, mirrored=mirrored).copies


@pytest.mark.parametrize("function", [kid, frechet, neighbourhood])
def test_too_few_or_unlike_features(function):
    with pytest.raises(ConfigError, match="few"):
        function(np.zeros((3, 2)), np.zeros((9, 2)))
    with pytest.raises(ConfigError, match="extractor"):
        function(np.zeros((9, 2)), np.zeros((9, 3)))


def test_too_few_to_tell_copies():
    with pytest.raises(ConfigError, match="few"):
        copying(np.zeros((9, 2)), np.zeros((90, 2)), np.zeros((90, 2)))


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
