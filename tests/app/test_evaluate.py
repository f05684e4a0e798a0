"""Evaluation documents: the confound first, every slice under every condition, leave-one-out."""

from __future__ import annotations

from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest

from countermark.app.audit import audit
from countermark.app.audit.loading import parse_policy
from countermark.app.evaluate.detector import evaluate_detector
from countermark.app.evaluate.generator import evaluate_generator
from countermark.app.evaluate.leave_out import evaluate_leave_out
from countermark.app.rooms import Rooms
from countermark.core.corpus import CorpusRow, write_metadata
from countermark.core.errors import ConfigError
from countermark.core.images import write_image
from countermark.core.perturb import DELIVERIES
from countermark.detectors.measuring.evaluation import draw_curves, figures
from countermark.detectors.scoring.thresholds import Thresholds
from countermark.reports import render
from countermark.reports.documents import load_schema


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Real: JPEG of 72 px; generated: PNG of 64 px. So the packaging alone tells them apart."""
    root = tmp_path_factory.mktemp("confounded")
    draw = np.random.default_rng(0)
    rows = []
    for index in range(12):
        for label, suffix, side in (("real", "jpg", 72), ("synthetic", "png", 64)):
            name = f"{label}-{index}.{suffix}"
            write_image(root / name, draw.integers(0, 256, (side, side, 3)).astype(np.uint8))
            group = f"{label}-{index % 3}"
            rows.append(CorpusRow(name, label, group if label == "synthetic" else "", group))
    (root / "broken.png").write_bytes(b"not an image")
    rows.append(CorpusRow("broken.png", "real", "", "real-0"))
    write_metadata(root, rows)
    return root


def test_the_confound_is_the_first_line(folder) -> None:
    document = evaluate_detector("gan", folder, resamples=20)
    jsonschema.validate(document, load_schema("evaluation"))
    assert document["headline"].startswith("This corpus is confounded")
    control = next(r for r in document["figures"] if "control" in r["name"])
    assert control["interval"]["value"] > 0.9
    assert set(document["curves"]) == set(DELIVERIES)
    names = {(r["name"], r["slice"], r["condition"]) for r in document["figures"]}
    for condition in DELIVERIES:
        for name in ("AUROC", "balanced accuracy", "TPR at 1 % FPR", "TPR at 5 % FPR", "ECE"):
            assert (name, "", condition) in names
        assert ("found at the threshold", "generator: synthetic-1", condition) in names
        assert ("wrongly flagged at the threshold", "source: real-2", condition) in names
    whole = next(r for r in document["figures"] if r["name"] == "ECE")["interval"]
    assert whole["n"] == 24 and whole["clusters"] == 6
    assert any("broken.png" in note for note in document["notes"])


def test_curves_and_figures_of_known_scores() -> None:
    labels = np.array([0] * 10 + [1] * 10)
    scores = np.concatenate([np.full(10, 0.2), np.full(10, 0.8)])
    curves = draw_curves(labels, scores)
    assert (
        curves.fpr[0] == 0 and curves.tpr[-1] == 1 and (0.0, 1.0) in zip(curves.fpr, curves.tpr, strict=True)
    )
    assert curves.bins == ((pytest.approx(0.2), 0.0, 10), (pytest.approx(0.8), 1.0, 10))
    clusters = np.array(["a", "b"] * 10)
    found = figures(labels, scores, clusters, np.where(labels == 1, 0.9, 0.1), resamples=20)
    assert found.auroc.value == 1 and found.ece.value == pytest.approx(0.2)
    # Every image has its own threshold: here they flag the real ones and miss the others.
    assert found.fpr_at_likely.value == 1 and found.tpr_at_likely.value == 0


def test_evaluate_and_audit_give_one_interval_for_one_share(folder, monkeypatch) -> None:
    """0 of 12 photographs of three sources flagged: the same bounds from both, and not [0, 0]."""

    class Silent:
        name, card = "silent", SimpleNamespace(sha256="00", licence="x", version="1", training_data=[])

        def score(self, images):
            return np.zeros(len(images))

        def thresholds(self, max_fpr=0.01):
            return Thresholds(0.5, 0.4, max_fpr)

    monkeypatch.setattr("countermark.detectors.load_detector", lambda name: Silent())
    document = evaluate_detector("silent", folder, resamples=20)
    rows = {(r["name"], r["slice"], r["condition"]): r["interval"] for r in document["figures"]}
    measured = rows["FPR at the threshold", "", "native"]
    policy = parse_policy(
        'schema = "countermark.policy/1"\nname = "p"\n[subject]\nkind = "detector"\n'
        '[evidence.test]\ncorpus = "."\nminimum = { real = 5, synthetic = 5, clusters = 2 }\n'
        '[[checks]]\nid = "detector.fpr"\nevidence = "test"\nat_most = 0.5\n',
        root=folder,
    )
    (check,) = audit(policy, rooms=Rooms(load_detector=lambda name: Silent())).checks
    assert check.interval is not None and check.interval.high > 0.2
    assert (measured["low"], measured["high"]) == pytest.approx((check.interval.low, check.interval.high))
    assert measured["n"] == check.interval.n == 12
    slices = [i for (name, part, _), i in rows.items() if part.startswith("source: ") and "flagged" in name]
    assert slices and all(i["low"] == 0 < i["high"] for i in slices)


def test_leave_out_document(folder) -> None:
    document = evaluate_leave_out("critic", folder, by="source", limit=2, steps=2, resamples=20)
    jsonschema.validate(document, load_schema("evaluation"))
    assert document["headline"].startswith("Every source left out: AUROC")
    slices = {r["slice"] for r in document["figures"] if r["slice"]}
    assert len(slices) == 2 and all(s.startswith("source: ") for s in slices)
    assert any("Not left out" in note for note in document["notes"])


@pytest.fixture(scope="module")
def generator_report():
    return evaluate_generator("digits-32", "digits", count=60, extractor="dct", seed=5)


def test_a_figure_without_an_interval_is_shown_as_one_value(generator_report) -> None:
    document, _ = generator_report
    jsonschema.validate(document, load_schema("evaluation"))
    figures = {row["name"]: row["interval"] for row in document["figures"]}
    assert {"low", "high"} <= figures["KID"].keys() and {"low", "high"} <= figures["Fréchet distance"].keys()
    assert figures["density"].keys() == {"value", "n"}
    line = next(t for t in render(document, "markdown").splitlines() if "density" in t)
    assert "…" not in line and f"{figures['density']['value']:.3f}" in line


def test_the_page_shows_the_closest_pairs(generator_report) -> None:
    document, images = generator_report
    page = render(document, "html", images=images)
    assert images["closest-pairs"].uri in page and "training image nearest" in page
    assert document["headline"].startswith("No sign of copying") and document["headline"] in page
    # Without its pixels a report still renders, and a hostile caption is escaped.
    document = {**document, "pictures": [{"name": "closest-pairs", "caption": "<script>x</script>"}]}
    assert images["closest-pairs"].uri not in render(document, "html")
    assert "<script>" not in render(document, "html", images=images)


def test_doodles_are_measured_by_their_own_figures(tmp_path) -> None:
    draw = np.random.default_rng(0)
    for index in range(120):
        pixels = np.full((48, 48, 3), draw.integers(150, 255), np.uint8)
        top, left = draw.integers(4, 20, 2)
        pixels[top : top + 22, left : left + 22] = draw.integers(0, 120, 3)
        write_image(tmp_path / "photos" / f"{index}.png", pixels)
    picture = tmp_path / "examples.png"
    document, images = evaluate_generator(
        "sketch-clothing-128", str(tmp_path / "photos"), extractor="dct", seed=0, gallery=picture
    )
    jsonschema.validate(document, load_schema("evaluation"))
    figures = {row["name"]: row["interval"] for row in document["figures"]}
    assert figures["edge-F1, 2 px"]["value"] > figures["edge-F1 of another doodle's image"]["value"]
    assert picture.is_file() and images["examples"].uri in render(document, "html", images=images)


def test_a_generator_without_an_evaluation_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        evaluate_generator("superres", "anything")
    assert error.value.code == "generator.no-evaluation"
