"""A gate passes nothing that nobody has seen: unreadable files, stopped scans, what is not looked at."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from countermark.app.scan import run as scanning
from countermark.cli import run
from countermark.core.images import encode_image
from countermark.reports.documents import load_schema

QUICK = ("-d", "gan", "--no-marks", "--parts", "off")
GATE = ("--fail-on", "declared-synthetic")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pictures and two files that cannot be read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COUNTERMARK_ON_ERROR", raising=False)
    place = tmp_path / "in"
    place.mkdir()
    for number in range(2):
        picture = encode_image(np.full((64, 64, 3), 60 + number, np.uint8), "png")
        (place / f"good-{number}.png").write_bytes(picture)
        (place / f"bad-{number}.png").write_bytes(picture[:50])
    return place


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), 0),
        (GATE, 2),
        ((*GATE, "--on-error", "fail"), 2),
        ((*GATE, "--on-error", "warn"), 0),
        ((*GATE, "--on-error", "ignore"), 0),
        (("--on-error", "fail"), 2),
        (("--on-error", "quietly"), 4),
    ],
)
def test_what_becomes_of_unreadable_files(folder: Path, arguments, expected, capsys) -> None:
    assert run(["scan", *QUICK, str(folder), *arguments]) == expected
    told = capsys.readouterr().err
    assert ("2 of 4 files could not be scanned" in told) == (expected != 4 and "ignore" not in arguments)


def test_the_environment_and_a_finding_of_its_own(folder: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COUNTERMARK_ON_ERROR", "fail")
    names = ("r.json", "r.sarif", "r.xml", "r.html", "r.md", "r.csv")
    assert run(["scan", *QUICK, "in", *(part for name in names for part in ("-o", name))]) == 2
    document = json.loads(Path("r.json").read_text())
    assert document["counts"]["unreadable"] == 2 and document["settings"]["on_error"] == "fail"
    levels = {row["path"]: row["finding"]["severity"] for row in document["results"]}
    assert levels == {
        "in/bad-0.png": "error", "in/bad-1.png": "error", "in/good-0.png": "none", "in/good-1.png": "none",
    }  # fmt: skip
    for name in names[1:]:
        text = Path(name).read_text()
        assert "bad-0.png" in text and "bad-1.png" in text, name


def test_one_that_is_accepted_by_name_does_not_fail(folder: Path, capsys) -> None:
    Path("accepted.toml").write_text(
        '[[ignore]]\npath = "in/bad-*.png"\nreason = "Broken on purpose, for a test."\nexpires = 2999-01-01\n'
    )
    assert run(["scan", *QUICK, "in", *GATE, "--ignore", "accepted.toml", "-o", "r.xml"]) == 0
    suite = ElementTree.parse("r.xml").getroot()[0]
    assert (suite.get("errors"), suite.get("skipped")) == ("0", "2")


def test_too_small_for_the_detector_is_not_unreadable(folder: Path, capsys) -> None:
    for bad in folder.glob("bad-*"):
        bad.unlink()
    (folder / "icon.png").write_bytes(encode_image(np.full((16, 16, 3), 9, np.uint8), "png"))
    assert run(["scan", *QUICK, "in", *GATE]) == 0
    assert run(["scan", *QUICK, "in/icon.png", *GATE]) == 2, "nothing was scored at all"


def test_a_missing_file_is_forgiven_only_when_errors_are_ignored(folder: Path, capsys) -> None:
    files = ["in/good-0.png", "in/gone.png"]
    assert run(["scan", *QUICK, *files]) == 2
    assert run(["scan", *QUICK, *files, "--on-error", "ignore"]) == 0


def test_special_files_and_loops_are_rows(folder: Path, capsys) -> None:
    os.mkfifo(folder / "pipe.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "null.png").symlink_to("/dev/zero")
    named = [str(folder / name) for name in ("pipe.png", "loop.png", "null.png", "good-0.png")]
    assert run(["scan", *QUICK, *named, *GATE, "-o", "r.json"]) == 2
    rows = {Path(row["path"]).name: row for row in json.loads(Path("r.json").read_text())["results"]}
    assert rows["pipe.png"]["error"]["code"] == rows["null.png"]["error"]["code"] == "image.not-a-file"
    assert rows["loop.png"]["error"] and rows["good-0.png"]["verdict"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_scan_leaves_a_partial_report_that_says_so(folder, number, monkeypatch, capsys) -> None:
    whole = scanning.scan_stream

    def stopped(*arguments, **options):
        for result in whole(*arguments, **options):
            yield result
            os.kill(os.getpid(), number)
            threading.Event().wait(0.05)

    monkeypatch.setattr(scanning, "scan_stream", stopped)
    before = signal.getsignal(signal.SIGTERM)
    names = ("r.json", "r.sarif", "r.xml", "r.html", "r.md")
    outputs = [part for name in names for part in ("-o", name)]
    assert run(["scan", *QUICK, "in", *outputs]) == 128 + number
    assert signal.getsignal(signal.SIGTERM) is before
    document = json.loads(Path("r.json").read_text())
    assert document["partial"] == {"by": signal.Signals(number).name, "looked_at": 2, "of": 4}
    assert document["counts"]["total"] == 2
    assert load_schema("scan")["properties"]["partial"]
    sentence = f"{signal.Signals(number).name} stopped the scan after 2 of 4 files."
    assert sentence in " ".join(capsys.readouterr().out.split())
    for name in names[1:]:
        assert sentence in Path(name).read_text().replace("\\", ""), name
    sarif = json.loads(Path("r.sarif").read_text())
    assert sarif["runs"][0]["invocations"][0]["executionSuccessful"] is False


def test_verify_puts_unreadable_files_into_its_reports(folder: Path, capsys) -> None:
    names = ("r.json", "r.sarif", "r.xml", "r.html", "r.md", "r.csv", "r.txt")
    outputs = [part for name in names for part in ("-o", name)]
    assert run(["verify", "in", "--no-recover", *outputs]) == 0
    document = json.loads(Path("r.json").read_text())
    assert (document["counts"]["total"] == 4 and document["counts"]["absent"] == 4) or document["errors"]


def test_verify_lists_what_it_could_not_open(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.png")
    Path("good.png").write_bytes(encode_image(np.full((64, 64, 3), 60, np.uint8), "png"))
    names = ("r.json", "r.sarif", "r.xml", "r.html", "r.md", "r.csv", "r.txt")
    outputs = [part for name in names for part in ("-o", name)]
    assert run(["verify", "pipe.png", "good.png", "--no-recover", *outputs]) == 2
    document = json.loads(Path("r.json").read_text())
    assert [each["path"] for each in document["errors"]] == ["pipe.png"]
    assert document["counts"]["error"] == 1 and document["counts"]["total"] == 2
    for name in names:
        assert "pipe.png" in Path(name).read_text(), name
    assert run(["verify", "pipe.png", "--no-recover", "-o", "only.json"]) == 2
    assert json.loads(Path("only.json").read_text())["counts"]["total"] == 1
