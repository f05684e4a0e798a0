"""Altered images are measured on a stated sample; slices with exact shares are corrected by Holm too."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from countermark.app.audit import CHECKS, audit
from countermark.app.audit.judging import decide, needed, p_value
from countermark.app.rooms import Rooms
from countermark.core.corpus import CorpusRow, write_metadata
from countermark.core.errors import ImageError
from countermark.core.images import write_image
from countermark.core.intervals import Estimate, proportion
from countermark.core.results import Interval, Outcome

ROOT = Path(__file__).parents[3]
HEAD = """
schema = "countermark.policy/1"
name = "Sampling"
[subject]
kind = "detector"
[statistics]
resamples = 200
{statistics}
[evidence.test]
corpus = "corpus"
cluster = {{ real = "image" }}
minimum = {{ real = 5, synthetic = 5, clusters = 2 }}
"""


class Counting:
    """Scores brightness and counts the images that it is shown."""

    name = "counting"

    def __init__(self) -> None:
        from types import SimpleNamespace

        self.card = SimpleNamespace(sha256="aa" * 32, licence="x", version="1", training_data=[])
        self.calls = 0

    def score(self, images):
        self.calls += len(images)
        return np.array([image.mean() / 255 for image in images])

    def thresholds(self, max_fpr=0.01):
        from types import SimpleNamespace

        return SimpleNamespace(likely=0.5, unsure=0.4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sampling")
    random = np.random.default_rng(0)
    rows = []
    for number in range(100):
        synthetic = number % 2
        level = int(np.clip(random.normal(150 if synthetic else 90, 15), 0, 255))
        name = f"{number:03d}.png"
        picture = np.full((24, 24, 3), level, np.uint8)
        picture[0, 0] = number
        write_image(root / "corpus" / name, picture)
        rows.append(CorpusRow(name, ("real", "synthetic")[synthetic], "g" * synthetic, f"s{number // 2 % 5}"))
    write_metadata(root / "corpus", rows)
    return root


def run(folder: Path, checks: str, statistics: str = "", detector=None, **options):
    path = folder / "policy.toml"
    path.write_text(HEAD.format(statistics=statistics) + checks)
    return audit(path, rooms=Rooms(load_detector=lambda name: detector or Counting()), **options)


def check(id: str, options: str) -> str:
    return f'[[checks]]\nid = "{id}"\nevidence = "test"\n{options}\n'


def test_altered_images_are_sampled_and_the_report_says_so(folder: Path) -> None:
    detector = Counting()
    checks = (
        check("detector.auroc", "at_least = 0.5")
        + check("detector.auroc", 'label = "a"\ndelivery = "q75"\nat_least = 0.5')
        + check("detector.auroc", 'label = "b"\ndelivery = "q96"\nsample = 0\nat_least = 0.5')
        + check("detector.drop", 'deliveries = ["q75"]\nat_most = 0.5')
        + check("detector.worst-generator", 'delivery = "q75"\nat_least = 0.5')
    )
    report = run(folder, checks, "delivered = 40", detector)
    sizes = [c.interval.n for c in report.checks]
    assert sizes == [100, 40, 100, 40, 40]
    assert detector.calls == 100 + 40 + 100
    assert "Measured on 40 of 100 images." in report.checks[1].sentence
    assert report.checks[3].detail["sample"] == {"used": 40, "of": 100}
    assert "sample" not in report.checks[0].detail and "Measured on" not in report.checks[2].sentence
    whole = run(folder, checks, "delivered = 0")
    assert [c.interval.n for c in whole.checks] == [100] * 5


def test_a_smaller_sample_has_a_wider_interval(folder: Path) -> None:
    checks = check("detector.fpr", 'delivery = "brightness:1.3"\nat_most = 1.0')
    widths = []
    for delivered in (20, 0):
        interval = run(folder, checks, f"delivered = {delivered}").checks[0].interval
        widths.append(interval.high - interval.low)
    assert widths[0] > 1.5 * widths[1]


def test_an_image_that_breaks_while_it_is_altered_is_listed(folder: Path, monkeypatch) -> None:
    from countermark.app.audit import samples as evidence

    real = evidence.read_image

    def read(path: Path):
        if path.name == "007.png":
            raise ImageError("It broke.", code="image.broke")
        return real(path)

    monkeypatch.setattr(evidence, "read_image", read)
    report = run(folder, check("detector.auroc", "at_least = 0.5"))
    assert report.detail["evidence"][0]["skipped"] == [
        {"file": "007.png", "code": "image.broke", "message": "It broke."}
    ]
    assert report.checks[0].interval.n == 99


def test_exact_p_values_are_those_of_the_binomial_test() -> None:
    for hits, count, threshold in ((3, 40, 0.02), (0, 40, 0.1), (40, 40, 0.9), (30, 40, 0.9)):
        found = proportion(np.arange(count) < hits, None, confidence=0.95)
        for direction, side in (("at-most", "greater"), ("at-least", "less")):
            expected = binomtest(hits, count, threshold, alternative=side).pvalue
            assert p_value(found, threshold, direction, missed=False) == pytest.approx(expected, rel=1e-6)
    census = Estimate(Interval(0.5, 0.5, 0.5, 4), np.array([]))
    assert p_value(census, 0.9, "at-least", missed=True) == 0.0
    assert p_value(census, 0.1, "at-least", missed=False) == 1.0


def test_holm_corrects_slices_of_exact_shares(folder: Path, tmp_path: Path) -> None:
    """One of eight sources misses the threshold by itself, not once eight were looked at."""
    rows = []
    for number in range(8 * 40):
        source, index = divmod(number, 40)
        flagged = index < (4 if source == 3 else 0)
        name = f"{number:03d}.png"
        picture = np.full((16, 16, 3), 200 if flagged else 60, np.uint8)
        picture[0, 0] = number % 256, number // 256, 1
        write_image(tmp_path / "corpus" / name, picture)
        rows.append(CorpusRow(name, "real", "", f"s{source}"))
    for number in range(6):
        write_image(tmp_path / "corpus" / f"g{number}.png", np.full((16, 16, 3), 190 + number, np.uint8))
        rows.append(CorpusRow(f"g{number}.png", "synthetic", "g", ""))
    write_metadata(tmp_path / "corpus", rows)
    checks = check("detector.worst-source", "at_most = 0.026")
    outcomes = {
        correction: run(tmp_path, checks, f'correction = "{correction}"').checks[0].outcome
        for correction in ("none", "holm")
    }
    assert outcomes == {"none": Outcome.FAIL, "holm": Outcome.INCONCLUSIVE}


def test_the_number_of_images_that_would_decide_does_decide() -> None:
    events = np.arange(100) < 90
    undecided = proportion(events, None, confidence=0.95).interval
    assert decide(undecided, 0.85, "at-least") == Outcome.INCONCLUSIVE
    count = needed(undecided, 0.85)
    assert count is not None and 150 < count < 400

    def at(images: int) -> Outcome:
        share = np.arange(images) < round(0.9 * images)
        return decide(proportion(share, None, confidence=0.95).interval, 0.85, "at-least")

    assert at(count) == Outcome.PASS and at(count // 2) == Outcome.INCONCLUSIVE


def test_every_check_is_asked_for_tested_and_on_the_page() -> None:
    spec = importlib.util.spec_from_file_location("audit_checks", ROOT / "benchmarks" / "audit_checks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    asked = [name for _, _, checks in module.NEEDS for name in checks]
    assert sorted(asked) == sorted(CHECKS)
    assert not [name for name, tests in module.tests_of().items() if not tests]
    assert (ROOT / "docs" / "audit-checks.md").read_text("utf-8") == module.page(), (
        "Run python -m benchmarks.audit_checks."
    )
