"""Every further check on evidence made to fail or pass it, with small models in place of the rooms."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from countermark.app.adversaries.attacks import differentiable, pgd, square_attack
from countermark.app.audit import CHECKS, audit, audit_with_images, checks, explain
from countermark.app.audit.checks.base import Check
from countermark.app.audit.explaining import overview
from countermark.app.rooms import Rooms
from countermark.core.corpus import CorpusRow, write_metadata
from countermark.core.errors import UnknownNameError
from countermark.core.images import write_image
from countermark.core.results import (
    AuditReport,
    CheckResult,
    Outcome,
)
from countermark.reports import audit_document, render

HEAD = """
schema = "countermark.policy/1"
name = "Checks"
[subject]
kind = "{kind}"
name = "{name}"
licences = ["Apache-2.0"]
[statistics]
resamples = 300
{tables}
"""
TEST = '[evidence.test]\ncorpus = "corpus"\nminimum = { real = 20, synthetic = 20, clusters = 3 }\n'
ALONE = TEST + 'cluster = { real = "image" }\n'


class Reds:
    """Finds synthetic images by their red channel; differentiable, at 32 pixels."""

    name = "reds"
    card = SimpleNamespace(sha256="cd" * 32, licence="Apache-2.0", version="1", training_data=["biggan, CC0"])

    def __init__(self, sign: float = 1.0) -> None:
        self.sign = sign
        self.network = SimpleNamespace(model=self._model, side=32)

    def _model(self, x):
        return 20 * self.sign * x[:, :1].mean(dim=(2, 3), keepdim=True)

    def score(self, images):
        means = np.array([image[..., 0].mean() / 127.5 - 1 for image in images])
        return 1 / (1 + np.exp(-20 * self.sign * means))

    def thresholds(self, max_fpr=0.01):
        return SimpleNamespace(likely=0.7, unsure=0.4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic images of two generators are red, except that one of them is so only faintly."""
    root = tmp_path_factory.mktemp("checks")
    random = np.random.default_rng(1)
    rows = []
    for number in range(120):
        synthetic = number % 2 == 1
        generator = ("strong", "faint")[number // 2 % 2] if synthetic else ""
        level = {"strong": 175, "faint": 136, "": 110}[generator]
        picture = random.integers(0, 60, (48, 48, 3), dtype=np.uint8) + np.uint8(60)
        picture[..., 0] = np.clip(random.normal(level, 3) + random.normal(0, 20, (48, 48)), 0, 255)
        if number // 2 % 6 == 0 and not synthetic:
            picture[..., 0] = 150  # one source of photographs is red too
        name = f"{number:03d}.png"
        write_image(root / "corpus" / name, picture)
        source = f"camera-{number // 2 % 6}" if not synthetic else "lab"
        rows.append(CorpusRow(name, "synthetic" if synthetic else "real", generator, source))
    write_metadata(root / "corpus", rows)
    return root


def run(
    folder: Path,
    checks: str,
    *,
    detector=None,
    rooms: Rooms | None = None,
    kind: str = "detector",
    name: str = "default",
    tables: str = TEST,
    extra: str = "",
) -> AuditReport:
    path = folder / "policy.toml"
    path.write_text(HEAD.format(kind=kind, name=name, tables=tables) + checks + extra)
    return audit(path, rooms=rooms or Rooms(load_detector=lambda name: detector or Reds()))


def one(folder: Path, id: str, options: str, **more) -> CheckResult:
    return run(folder, f'[[checks]]\nid = "{id}"\nevidence = "test"\n{options}\n', **more).checks[0]


def test_worst_generator_is_named(folder: Path) -> None:
    result = one(folder, "detector.worst-generator", "at_least = 0.99", tables=ALONE)
    assert result.outcome == Outcome.FAIL and result.detail["worst"] == "faint"
    assert one(folder, "detector.worst-generator", "at_least = 0.6", tables=ALONE).outcome == Outcome.PASS
    small = one(folder, "detector.worst-generator", "at_least = 0.6\nsmallest = 40")
    assert small.outcome == Outcome.INCONCLUSIVE and small.detail["too_small"] == {"faint": 30, "strong": 30}


def test_worst_source_is_named(folder: Path) -> None:
    result = one(folder, "detector.worst-source", "at_most = 0.4\nsmallest = 5")
    assert result.outcome == Outcome.FAIL and result.detail["worst"] == "camera-0"
    only = one(folder, "detector.worst-source", 'at_most = 0.5\nsmallest = 5\nonly = ["camera-1"]')
    assert only.outcome == Outcome.PASS and len(only.detail["slices"]) == 1


def test_held_out_generators_must_not_be_trained_on(folder: Path) -> None:
    option = 'at_least = 0.5\nonly = ["{}"]'
    assert one(folder, "detector.held-out-generator", option.format("strong")).outcome == Outcome.PASS
    seen = one(folder, "detector.held-out-generator", option.format("biggan"))
    assert seen.outcome == Outcome.FAIL and "biggan" in seen.sentence


def test_deliveries_drop_and_flips(folder: Path) -> None:
    class Fragile(Reds):
        """Loses its way when a picture is darkened."""

        def score(self, images):
            noise = np.random.default_rng(0).random(len(images))
            bright = np.array([image.max() > 90 for image in images])
            return np.where(bright, super().score(images), noise)

    under = 'deliveries = ["q96", "brightness:0.4"]'
    drop = one(folder, "detector.drop", f"at_most = 0.1\n{under}", detector=Fragile())
    assert drop.outcome == Outcome.FAIL and drop.sentence.startswith("brightness:0.4")
    assert (
        one(folder, "detector.drop", 'at_most = 0.1\ndeliveries = ["q96"]', tables=ALONE).outcome
        == Outcome.PASS
    )
    worst = one(folder, "detector.worst-delivery", f"at_least = 0.8\n{under}", detector=Fragile())
    assert worst.outcome == Outcome.FAIL and worst.detail["worst"] == "brightness:0.4"
    flips = one(folder, "detector.flips", 'at_most = 0.3\ndeliveries = ["brightness:1.6"]', tables=ALONE)
    assert flips.outcome == Outcome.FAIL
    sampled = one(folder, "detector.worst-delivery", f"at_least = 0.5\nsample = 40\n{under}")
    assert sampled.interval.n == 40


def test_other_detector_checks(folder: Path) -> None:
    for id, good, bad in (
        ("detector.tpr", "at_least = 0.3\nmax_fpr = 0.2", "at_least = 0.9999\nmax_fpr = 0.01"),
        ("detector.recall", "at_least = 0.7", "at_least = 0.9999"),
        ("detector.brier", "at_most = 0.3", "at_most = 0.001"),
        ("detector.ece", "at_most = 0.4", "at_most = 0.001"),
        ("detector.abstention", "at_most = 0.6", "at_most = 0.001"),
        ("detector.latency", "at_most = 1000\nimages = 10", "at_most = 0.00001\nimages = 10"),
        ("detector.memory", "at_most = 1e6", "at_most = 1"),
    ):
        assert one(folder, id, good).outcome == Outcome.PASS, id
        assert one(folder, id, bad).outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE), id


def test_pgd_stays_in_its_bound_and_wins(folder: Path) -> None:
    detector = Reds()
    side, logits = differentiable(detector)
    random = np.random.default_rng(0)
    pictures = list(random.integers(100, 180, (3, side, side, 3), dtype=np.uint8))
    changed = pgd(pictures, logits, 4, 5)
    for before, after in zip(pictures, changed, strict=True):
        assert np.abs(after.astype(int) - before).max() <= 4 and after.dtype == np.uint8
    assert (detector.score(changed) < detector.score(pictures) - 0.05).all()
    weak = one(folder, "detector.pgd", "at_least = 0.9\nepsilon = 40\nimages = 30")
    assert weak.outcome == Outcome.FAIL and weak.detail["mean_after"] < weak.detail["mean_before"]
    assert one(folder, "detector.pgd", "at_least = 0.4\nepsilon = 1\nimages = 40").outcome == Outcome.PASS


def test_gradients_agree_with_scores() -> None:
    from countermark.detectors import load_detector

    detector = load_detector()
    side, logits = differentiable(detector)
    picture = np.random.default_rng(3).integers(0, 256, (side, side, 3), dtype=np.uint8)
    with torch.no_grad():
        here = logits(torch.from_numpy(picture)[None].permute(0, 3, 1, 2).float() / 255)
    assert float(here[0]) == pytest.approx(float(detector.logits([picture])[0]), abs=0.05)


def test_pgd_without_gradients_is_an_error(folder: Path) -> None:
    blind = Reds()
    blind.network = None
    result = one(folder, "detector.pgd", "at_least = 0.5", detector=blind)
    assert result.outcome == Outcome.ERROR and "detector.square" in result.sentence


def test_square_attack_stays_in_its_bound(folder: Path) -> None:
    detector = Reds()
    pictures = list(np.random.default_rng(0).integers(100, 180, (3, 40, 40, 3), dtype=np.uint8))
    changed = square_attack(pictures, detector.score, 6, 60, seed=1)
    for before, after in zip(pictures, changed, strict=True):
        assert np.abs(after.astype(int) - before).max() <= 6
    assert (detector.score(changed) < detector.score(pictures)).all()
    again = square_attack(pictures, detector.score, 6, 60, seed=1)
    assert all((a == b).all() for a, b in zip(changed, again, strict=True))
    result = one(
        folder, "detector.square", "at_least = 0.9\nepsilon = 50\nsteps = 60\nimages = 20\nside = 48"
    )
    assert result.outcome == Outcome.FAIL


def test_leakage_finds_a_re_encoded_copy(folder: Path, tmp_path: Path) -> None:
    from sklearn.datasets import load_sample_images

    china, flower = load_sample_images().images
    write_image(tmp_path / "train" / "real" / "china.jpg", china, quality=60)
    write_image(tmp_path / "train" / "synthetic" / "x.png", china[:64, :64])
    for name, picture in (("copy.png", china[::2, ::2]), ("flower.png", flower)):
        write_image(tmp_path / "corpus" / "real" / name, picture)
    write_image(tmp_path / "corpus" / "synthetic" / "y.png", flower[:100, :100])
    tables = TEST + '[evidence.train]\ncorpus = "train"\n'
    check = '[[checks]]\nid = "detector.leakage"\nevidence = "test"\ntraining = "train"\n'
    result = run(tmp_path, check, tables=tables).checks[0]
    assert result.outcome == Outcome.FAIL
    assert [p["test"] for p in result.detail["pairs"]] == ["real/copy.png"]
    (tmp_path / "corpus" / "real" / "copy.png").unlink()
    assert run(tmp_path, check, tables=tables).checks[0].outcome == Outcome.PASS


def test_packaging_gives_a_corpus_away(folder: Path, tmp_path: Path) -> None:
    assert one(folder, "evidence.packaging", "at_most = 0.7").outcome == Outcome.PASS
    random = np.random.default_rng(0)
    for number in range(40):
        label, suffix = (("real", "jpg"), ("synthetic", "png"))[number % 2]
        picture = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        write_image(tmp_path / "corpus" / label / f"{number}.{suffix}", picture)
    assert one(tmp_path, "evidence.packaging", "at_most = 0.7").outcome == Outcome.FAIL


def test_regressions_are_paired_with_the_baseline(folder: Path) -> None:
    checks = '[[checks]]\nid = "detector.auroc"\nevidence = "test"\nat_least = 0.1\n'
    checks += '[[checks]]\nid = "detector.fpr"\nevidence = "test"\nat_most = 1.0\n'
    baseline = '[baseline]\ndetector = "old"\nallow = { "detector.auroc" = 0.02, "detector.fpr" = 0.05 }\n'

    class Old(Reds):
        card = SimpleNamespace(**{**vars(Reds.card), "sha256": "11" * 32})

    for sign, outcome, code in ((1.0, Outcome.PASS, 0), (-1.0, Outcome.FAIL, 1)):
        rooms = Rooms(load_detector=lambda name, sign=sign: Old() if name == "old" else Reds(sign))
        report = run(folder, checks, extra=baseline, rooms=rooms)
        found = {c.id: c for c in report.checks}
        assert found["regression.detector.auroc"].outcome == outcome and report.exit_code == code
        assert found["regression.detector.auroc"].direction == "at-most"
    assert report.checks[2].detail["baseline"] > report.checks[2].detail["subject"]


def test_laundering_finds_the_edit_that_hides(folder: Path) -> None:
    result = one(folder, "detector.laundering", "at_least = 0.9\nimages = 40\nbudget = 60\nlength = 1")
    assert result.outcome == Outcome.FAIL
    report = run(
        folder, '[[checks]]\nid = "detector.laundering"\nevidence = "test"\nat_least = 0.9\nbudget = 60\n'
    )
    spots = report.detail["blindspots"]
    values = [spot["interval"]["value"] for spot in spots]
    assert values == sorted(values) and values[0] < spots[0]["before"]
    assert "Blind spots" in render(audit_document(report), "html")


def test_a_model_that_breaks_is_an_error_of_its_checks_only(folder: Path) -> None:
    class Broken(Reds):
        def score(self, images):
            raise RuntimeError("out of luck")

    report = run(
        folder, '[[checks]]\nid = "detector.auroc"\nevidence = "test"\nat_least = 0.1\n', detector=Broken()
    )
    assert report.exit_code == 2 and "out of luck" in report.checks[0].sentence


def test_two_identical_audits_give_identical_reports(folder: Path) -> None:
    checks = (
        '[[checks]]\nid = "detector.auroc"\nevidence = "test"\nat_least = 0.1\n'
        '[[checks]]\nid = "detector.worst-delivery"\nevidence = "test"\nat_least = 0.1\n'
        '[[checks]]\nid = "detector.square"\nevidence = "test"\nat_least = 0.1\nsteps = 5\nimages = 5\n'
    )
    path = folder / "same.toml"
    path.write_text(HEAD.format(kind="detector", name="default", tables=TEST) + checks)
    runs = []
    for _ in range(2):
        report, images = audit_with_images(path, rooms=Rooms(load_detector=lambda name: Reds()))
        document = audit_document(report)
        runs.append(
            [render(document, f, images=images) for f in ("json", "html", "sarif", "junit", "markdown")]
        )
    assert runs[0] == runs[1]
    assert str(folder) not in runs[0][0]
    assert json.loads(runs[0][0])["detail"]["worst"] and "data:image/jpeg" in runs[0][1]


@pytest.mark.parametrize("name", list(CHECKS))
def test_every_check_stands_in_the_registry_under_its_own_id(name: str) -> None:
    assert CHECKS.get(name).id == name


def test_no_check_is_forgotten_in_the_registry() -> None:
    listed = {CHECKS.get(name) for name in CHECKS}
    for module in pkgutil.iter_modules(checks.__path__):
        found = vars(importlib.import_module(f"{checks.__name__}.{module.name}")).values()
        complete = {c for c in found if isinstance(c, type) and issubclass(c, Check) and hasattr(c, "id")}
        assert complete <= listed


def test_asking_for_a_check_imports_no_other_one() -> None:
    code = (
        "import sys; from countermark.app.audit.checks import CHECKS; CHECKS.get('weights.format');"
        "sys.exit(', '.join(m for m in sys.modules if m.startswith('countermark.app.audit.checks.')"
        " and m.rsplit('.')[-1] not in ('base', 'weights')) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", list(CHECKS))
def test_every_check_explains_itself(name: str) -> None:
    text = explain(name)
    check = CHECKS.get(name)
    assert text.startswith(f"{name}: ") and check.formula in text and check.source in text
    assert check.direction in ("at-least", "at-most") and name in overview()
    for field in check.Options.model_fields:
        assert field in text or field in ("id", "at_least", "at_most")


def test_an_unknown_check_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"detector\.auroc"):
        explain("detector.aurok")
