"""Runs whole policies with a small detector and small verifications in place of the rooms."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from countermark.app.audit import audit, combine
from countermark.app.rooms import Rooms
from countermark.core.corpus import CorpusRow, write_metadata
from countermark.core.errors import ConfigError, WeightsError
from countermark.core.images import write_image
from countermark.core.results import Outcome, Verification, VerificationState

POLICY = """
schema = "countermark.policy/1"
name = "Small gate"
[subject]
kind = "detector"
[statistics]
resamples = 400
{statistics}
[evidence.test]
corpus = "corpus"
minimum = {{ real = 20, synthetic = 20, clusters = 5 }}
[evidence.out]
folder = "signed"
{checks}
"""
AUROC = '[[checks]]\nid = "detector.auroc"\nevidence = "test"\nat_least = {}\n'
FPR = '[[checks]]\nid = "detector.fpr"\nevidence = "test"\nat_most = {}\nmax_fpr = 0.05\n'
SIGNED = '[[checks]]\nid = "pipeline.signed"\nevidence = "out"\n'


class Brightness:
    """Scores by mean brightness, so that pictures can be made to measure."""

    name = "brightness"
    card = SimpleNamespace(sha256="ab" * 32, licence="Apache-2.0", version="1")

    def __init__(self) -> None:
        self.calls = 0

    def score(self, images):
        self.calls += len(images)
        return np.array([image.mean() / 255 for image in images])

    def thresholds(self, max_fpr=0.01):
        return SimpleNamespace(likely=0.7, unsure=0.5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """60 real images in ten sources (brightness .3 ± .1) and 60 synthetic ones (.6 ± .1)."""
    random = np.random.default_rng(5)
    rows = []
    for number in range(120):
        synthetic = number % 2
        level = np.clip(random.normal(0.6 if synthetic else 0.3, 0.1), 0, 1)
        name = f"{number:03d}.png"
        picture = np.full((40, 40, 3), int(255 * level), np.uint8)
        picture[0, 0] = number, 0, 0  # no two files alike
        write_image(tmp_path / "corpus" / name, picture)
        label = "synthetic" if synthetic else "real"
        rows.append(CorpusRow(name, label, generator="g" * synthetic, source=f"s{number % 20 // 2}"))
    write_metadata(tmp_path / "corpus", rows)
    for number in range(4):
        write_image(tmp_path / "signed" / f"{number}.png", np.full((8, 8, 3), number, np.uint8))
    return tmp_path


def run(
    folder: Path, *checks: str, statistics: str = "", extra: str = "", rooms: Rooms | None = None, **options
):
    text = POLICY.format(statistics=statistics, checks="\n".join(checks)) + extra
    path = folder / "policy.toml"
    path.write_text(text)
    return audit(path, rooms=rooms or fake_rooms(), **options)


def fake_rooms(detector=None, states=("trusted",) * 4) -> Rooms:
    def verify(path: Path) -> Verification:
        return Verification(str(path), VerificationState(states[int(path.stem)]))

    return Rooms(load_detector=lambda name: detector or Brightness(), verify=verify)


def test_a_good_detector_passes(folder: Path) -> None:
    report = run(folder, AUROC.format(0.9), FPR.format(0.2), SIGNED)
    assert [c.outcome for c in report.checks] == [Outcome.PASS] * 3
    assert report.passed and report.exit_code == 0
    first = report.checks[0].interval
    assert first.low < first.value < first.high <= 1 and first.n == 120 and first.clusters == 70


def test_a_bad_detector_fails_by_the_right_check(folder: Path) -> None:
    class Inverted(Brightness):
        def score(self, images):
            return 1 - super().score(images)

    report = run(folder, AUROC.format(0.9), SIGNED, rooms=fake_rooms(Inverted()))
    assert report.exit_code == 1 and not report.passed
    assert [c.id for c in report.checks if c.outcome == Outcome.FAIL] == ["detector.auroc"]


def test_undecided_names_the_sample_that_would_decide(folder: Path) -> None:
    value = run(folder, AUROC.format(0.5)).checks[0].interval.value
    report = run(folder, AUROC.format(value - 0.005))
    assert (
        report.checks[0].outcome == Outcome.INCONCLUSIVE and "images like these" in report.checks[0].sentence
    )
    assert report.exit_code == 0
    strict = run(folder, AUROC.format(value - 0.005), statistics='inconclusive = "fail"')
    assert strict.exit_code == 1


def test_too_little_evidence_decides_nothing(folder: Path) -> None:
    text = POLICY.format(statistics="", checks=AUROC.format(0.5)).replace("real = 20", "real = 500")
    (folder / "p.toml").write_text(text)
    result = audit(folder / "p.toml", rooms=fake_rooms()).checks[0]
    assert result.outcome == Outcome.INCONCLUSIVE and "fewer than the 500" in result.sentence


def test_an_unsigned_file_fails_and_is_named(folder: Path) -> None:
    report = run(folder, SIGNED, rooms=fake_rooms(states=("trusted", "absent", "intact", "invalid")))
    check = report.checks[0]
    assert check.outcome == Outcome.FAIL and check.interval.value == 0.5
    assert [row["file"] for row in check.detail["first"]] == ["1.png", "3.png"]


def test_errors_are_exit_code_2_and_do_not_stop_other_checks(folder: Path) -> None:
    def broken(name: str):
        raise WeightsError("No such weights.", code="weights.missing")

    rooms = Rooms(load_detector=broken, verify=fake_rooms().verify)
    report = run(folder, AUROC.format(0.9), SIGNED, rooms=rooms)
    assert report.exit_code == 2
    assert [str(c.outcome) for c in report.checks] == ["error", "pass"]


def test_nothing_to_audit_is_exit_code_3(folder: Path) -> None:
    assert run(folder).exit_code == 3
    (folder / "empty").mkdir()
    assert run(folder, SIGNED, evidence={"out": folder / "empty"}).exit_code == 3


def test_a_waiver_holds_until_its_day(folder: Path) -> None:
    waiver = (
        '[[waivers]]\ncheck = "detector.auroc"\nreason = "Known; see the ticket."\nexpires = 2030-01-31\n'
    )
    checks = AUROC.format(0.9999)
    held = run(folder, checks, extra=waiver, today=date(2030, 1, 31))
    assert held.checks[0].outcome == Outcome.WAIVED and held.exit_code == 0
    expired = run(folder, checks, extra=waiver, statistics='inconclusive = "fail"', today=date(2030, 2, 1))
    assert expired.checks[0].outcome != Outcome.WAIVED and expired.exit_code == 1
    assert "expired on 2030-01-31" in expired.checks[0].sentence


def test_scores_are_made_once_and_cached(folder: Path) -> None:
    detector = Brightness()
    checks = (
        AUROC.format(0.9),
        FPR.format(0.2),
        AUROC.format(0.9).replace("at_least", 'label = "b"\nat_least'),
    )
    run(folder, *checks, rooms=fake_rooms(detector), cache=folder / "cache.sqlite")
    assert detector.calls == 120
    first = run(folder, *checks, rooms=fake_rooms(detector), cache=folder / "cache.sqlite")
    assert detector.calls == 120
    second = run(folder, *checks, rooms=fake_rooms(), cache=None)
    assert first == second
    (folder / "corpus" / "000.png").unlink()
    write_image(folder / "corpus" / "000.png", np.full((40, 40, 3), 255, np.uint8))
    run(folder, *checks, rooms=fake_rooms(detector), cache=folder / "cache.sqlite")
    assert detector.calls == 121


def test_unreadable_images_are_listed_not_fatal(folder: Path) -> None:
    (folder / "corpus" / "001.png").write_bytes(b"\x89PNG\r\n\x1a\n garbage")
    (folder / "corpus" / "003.png").unlink()
    report = run(folder, AUROC.format(0.9))
    skipped = report.detail["evidence"][0]["skipped"]
    assert {(s["file"], s["code"]) for s in skipped} == {
        ("001.png", "image.truncated"),
        ("003.png", "image.missing"),
    }
    assert report.checks[0].interval.n == 118 and report.exit_code == 0


def test_delivery_changes_the_scores(folder: Path) -> None:
    darker = AUROC.format(0.9).replace("at_least", 'label = "dark"\ndelivery = "brightness:0.5"\nat_least')
    report = run(
        folder,
        FPR.format(0.2),
        FPR.format(0.2).replace("at_most", 'label="x"\ndelivery="brightness:3"\nat_most'),
    )
    assert [str(c.outcome) for c in report.checks] == ["pass", "fail"]
    assert run(folder, darker).checks[0].id == "detector.auroc[dark]"


def test_combine_puts_errors_first(folder: Path) -> None:
    good, bad, none = run(folder, SIGNED), run(folder, FPR.format(0.2), AUROC.format(1.0)), run(folder)
    assert combine([good, none]) == 0 and combine([]) == 3
    assert combine([good, bad]) == bad.exit_code


def test_unknown_cluster_column_is_an_error(folder: Path) -> None:
    text = POLICY.format(statistics="", checks=AUROC.format(0.5)).replace(
        'corpus = "corpus"', 'corpus = "corpus"\ncluster = { real = "camera" }'
    )
    (folder / "p.toml").write_text(text)
    assert "camera" in audit(folder / "p.toml", rooms=fake_rooms()).checks[0].sentence


def test_the_digest_of_the_evidence_follows_its_content(folder: Path) -> None:
    first = run(folder, AUROC.format(0.9)).detail["evidence"][0]["sha256"]
    assert len(first) == 64
    (folder / "corpus" / "002.png").unlink()
    assert run(folder, AUROC.format(0.9)).detail["evidence"][0]["sha256"] != first


def test_config_errors_are_raised(folder: Path) -> None:
    with pytest.raises(ConfigError, match="at_least"):
        run(folder, AUROC.format(0.9).replace("at_least", "at_most"))
