"""Commands on clips: scan with its options, sign, verify, folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from countermark.cli import run


def test_scan_sign_and_verify_a_clip(make_clip, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    source = make_clip(tmp_path / "in" / "a.mp4", count=20, g="5")
    signed = tmp_path / "out.mp4"
    assert (
        run(["sign", str(source), str(signed), "--generator", "maker/1", "--crf", "20", "--no-record"]) == 0
    )
    assert "watermark" in capsys.readouterr().out
    assert run(["sign", str(source), str(signed), "--no-record"]) == 2, "nothing is overwritten"
    capsys.readouterr()
    assert run(["verify", str(signed), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["state"] == "trusted"
    page = tmp_path / "report.html"
    command = ["scan", str(signed), "-d", "gan", "--every", "0.5", "--json", "-o", f"html={page}"]
    assert run(command) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert row["verdict"] == "declared-synthetic" and len(row["clip"]["timeline"]) == 4
    assert 'class="timeline"' in page.read_text()
    assert run(["scan", str(source.parent), "-d", "gan", "--max-frames", "2", "--no-marks", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert len(row["clip"]["timeline"]) == 2
    assert run(["scan", str(source), "--every", "0"]) == 2


def test_a_clip_of_another_kind_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.avi").write_bytes(b"RIFF....AVI LIST")
    assert run(["scan", str(tmp_path)]) == 3
    assert "1 videos of other kinds" in capsys.readouterr().err
