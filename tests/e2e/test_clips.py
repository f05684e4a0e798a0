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
    assert run(["scan", str(source), "--every", "0"]) == 4


def test_a_clip_of_another_kind_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.avi").write_bytes(b"RIFF....AVI LIST")
    assert run(["scan", str(tmp_path)]) == 3
    assert "1 video of another kind" in capsys.readouterr().err


def test_a_folder_of_pictures_and_clips_is_signed(
    make_clip, drawn_frames, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from countermark.app.clips import sign
    from countermark.core.images import write_image

    folder, out = tmp_path / "in", tmp_path / "out"
    (folder / "deep").mkdir(parents=True)
    make_clip(folder / "deep" / "a.mp4", count=6)
    make_clip(folder / "b.webm", count=4, codec="libvpx", pixels="yuv420p")
    write_image(folder / "c.png", drawn_frames(1)[0])
    command = ["sign", str(folder), str(out), "--generator", "maker/1", "--no-record", "--json"]
    assert run(command) == 2, "WebM has no place for a credential, and that is said"
    report = json.loads(capsys.readouterr().out)
    assert report["signed"] == 2 and report["left_out"] == {}
    (failed,) = report["failed"]
    assert failed["source"].endswith("b.webm") and failed["error"]["code"] == "credential.format"
    for name in ("deep/a.mp4", "c.png"):
        assert run(["verify", str(out / name), "--json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)["results"]
        assert row["state"] == "trusted"
    assert run([*command, "--sidecar"]) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == 2, "what was signed is left as it is"

    monkeypatch.setattr(sign, "find_spec", lambda name: None)
    without = ["sign", str(folder), str(tmp_path / "out2"), "--generator", "maker/1", "--no-record"]
    assert run(without) == 0
    text = capsys.readouterr().out
    assert "Signed 1," in text and "Left out 2 clips: " in text and "countermark[video]" in text
    assert not (tmp_path / "out2" / "b.webm").exists()
