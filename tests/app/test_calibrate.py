"""``countermark calibrate``: thresholds from one's own photographs, and what stands in the way."""

from __future__ import annotations

import json

import numpy as np
import pytest

from countermark.cli import run
from countermark.core.errors import ConfigError, OutputError
from countermark.core.images import write_image
from countermark.core.seeds import rng


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for index in range(12):
        write_image(root / f"{index}.jpg", rng(index).integers(0, 256, (70, 90, 3)).astype(np.uint8))
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    return root


def calibrate(photos, out, *more: str) -> int:
    return run(["calibrate", "--photos", str(photos), "--out", str(out), "-d", "gan", *more])


def test_thresholds_hold_for_the_photographs_and_scan_takes_them(photos, tmp_path, capsys) -> None:
    mine = tmp_path / "mine.json"
    assert calibrate(photos, mine, "--max-fpr", "0.1", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert 0 < record["unsure"] <= record["likely"] <= 1
    told = json.loads(mine.read_text())
    assert told["photographs"] == 12 and told["detector"] == "gan", "the broken file is not counted"
    arguments = [
        "scan",
        str(photos),
        "-d",
        "gan",
        "--thresholds",
        str(mine),
        "--max-fpr",
        "0.1",
        "--no-marks",
    ]
    assert run([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = [row for row in document["results"] if row["error"] is None]
    assert all(row["thresholds"]["likely"] == pytest.approx(record["likely"]) for row in rows)
    flagged = sum(row["verdict"] == "likely-synthetic" for row in rows)
    assert len(rows) == 12 and flagged <= 1, "at most a tenth of twelve"
    assert document["counts"]["error"] == 1


def test_the_rate_of_the_file_counts_and_lower_ones_are_refused(photos, tmp_path, capsys) -> None:
    """Twelve photographs, calibrated for a tenth: a scan neither claims one per cent nor applies it."""
    mine = tmp_path / "mine.json"
    assert calibrate(photos, mine, "--max-fpr", "0.1", "--json") == 0
    likely = json.loads(capsys.readouterr().out)["likely"]
    scan = ["scan", str(photos), "-d", "gan", "--thresholds", str(mine), "--no-marks", "--json"]
    assert run(scan) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["settings"]["max_fpr"] == 0.1
    (applied,) = {row["thresholds"]["likely"] for row in document["results"] if not row["error"]}
    assert applied == pytest.approx(likely)
    assert run([*scan, "--max-fpr", "0.01"]) == 2
    out, err = capsys.readouterr()
    assert not out and "12 photographs cannot support a false-positive rate of 0.01" in err
    assert run([*scan, "--max-fpr", "0.2"]) == 0


def test_a_rate_that_the_detector_cannot_show_is_said(photos, capsys) -> None:
    assert run(["scan", str(photos), "-d", "gan", "--no-marks", "--max-fpr", "0.0000001"]) == 0
    assert "Warning: " in (err := capsys.readouterr().err) and "cannot show a false-positive rate" in err


def test_refusals_come_before_the_work(photos, tmp_path, monkeypatch) -> None:
    from countermark.detectors.recalibration import recalibrate

    class Never:
        name, card = "never", None

        def score(self, images):
            raise AssertionError("scored")

    with pytest.raises(ConfigError, match="at least 99"):
        recalibrate(Never(), [photos], 0.01, out=tmp_path / "new.json")
    (tmp_path / "old.json").write_text("{}")
    with pytest.raises(OutputError, match="not overwritten"):
        recalibrate(Never(), [photos], 0.1, out=tmp_path / "old.json")


def test_what_stands_in_the_way(photos, tmp_path, capsys) -> None:
    out = tmp_path / "mine.json"
    assert calibrate(photos, out) == 2, "twelve photographs cannot show one per cent"
    assert "at least 99" in capsys.readouterr().err and not out.exists()
    assert calibrate(tmp_path / "nowhere", out, "--max-fpr", "0.1") == 2
    assert "could be read" in capsys.readouterr().err
    out.write_text("precious")
    assert calibrate(photos, out, "--max-fpr", "0.1") == 2
    assert out.read_text() == "precious" and "not overwritten" in capsys.readouterr().err
    assert run(["scan", str(photos), "-d", "gan", "--thresholds", str(out)]) == 2
    assert "threshold file" in capsys.readouterr().err


def test_thresholds_of_another_detector_are_refused(photos, tmp_path, capsys) -> None:
    mine = tmp_path / "mine.json"
    assert calibrate(photos, mine, "--max-fpr", "0.1") == 0
    told = json.loads(mine.read_text())
    mine.write_text(json.dumps({**told, "detector_sha256": "0" * 64}))
    assert run(["scan", str(photos), "-d", "gan", "--thresholds", str(mine)]) == 2
    assert "other weights" in capsys.readouterr().err
