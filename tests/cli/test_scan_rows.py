"""``scan`` into rows, and of what comes over standard input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from countermark.app.scan.intake import Summary
from countermark.cli import app
from countermark.core.images import encode_image
from countermark.core.seeds import rng

RUN = CliRunner()


@pytest.fixture
def picture() -> bytes:
    return encode_image(rng(3, "rows").integers(0, 256, (64, 80, 3)).astype(np.uint8), "png")


def test_a_picture_on_standard_input_is_scanned(picture: bytes) -> None:
    done = RUN.invoke(app, ["scan", "-", "-d", "lite", "--no-marks", "--json"], input=picture)
    (row,) = json.loads(done.stdout)["results"]
    assert (row["path"], row["format"], row["error"]) == ("standard input", "png", None)
    assert row["verdict"] is not None


def test_what_is_neither_picture_nor_list_prints_no_bytes() -> None:
    done = RUN.invoke(app, ["scan", "-", "-d", "lite"], input=b"\x1b[31m\xff\x00\x01" * 50)
    assert "\x1b[31m" not in done.output and "Traceback" not in done.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["--resume"],
        ["--retry-failed"],
        ["--cluster", "local"],
        ["-o", "parquet=rows", "-o", "json=x.json"],
        ["-o", "parquet="],
        ["-o", "parquet=rows", "--second-opinion", "one-class"],
        ["-o", "parquet=rows", "--baseline", "x.json"],
        ["-o", "parquet=rows", "--parts", "on"],
        ["-o", "parquet=rows", "--mask", "masks"],
        ["-o", "parquet=rows", "--faces", "on"],
        ["-o", "parquet=rows", "--format", "markdown"],
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert RUN.invoke(app, ["scan", ".", *arguments]).exit_code == 4
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("verdicts", "errors", "options", "code"),
    [
        ({"no-evidence": 3}, {}, [], 0),
        ({"likely-synthetic": 1}, {}, ["--fail-on", "likely-synthetic"], 1),
        ({"no-evidence": 3}, {"image.empty": 1}, [], 0),
        ({"no-evidence": 3}, {"image.empty": 1}, ["--fail-on", "unsure"], 1),
        ({"no-evidence": 3}, {"image.empty": 1}, ["--fail-on", "unsure", "--on-error", "warn"], 0),
        ({}, {"image.empty": 1}, [], 2),
        ({}, {}, [], 3),
    ],
)
def test_exit_codes(
    verdicts: dict[str, int],
    errors: dict[str, int],
    options: list[str],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    summary = Summary()
    summary.verdicts.update(verdicts)
    summary.errors.update(errors)
    monkeypatch.setattr("countermark.app.scan.intake.scan_into", lambda *_, **__: summary)
    arguments = ["scan", str(tmp_path), "-o", f"parquet={tmp_path}/rows", "--json", *options]
    done = RUN.invoke(app, arguments, standalone_mode=False)
    assert done.return_value == code
    assert json.loads(done.stdout)["schema"] == "countermark.scan-summary/1"


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file sizes there")
def test_rows_that_cannot_be_written_end_the_scan_in_a_sentence(picture: bytes, tmp_path: Path) -> None:
    """A limit of file sizes stands in for a quota: no rights are needed to set it."""
    pytest.importorskip("pyarrow")
    (tmp_path / "a.png").write_bytes(picture)
    scan = "countermark scan a.png -d gan --no-marks -o parquet=rows"
    command = f"ulimit -f 2; exec {sys.executable} -m {scan}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Cannot write" in done.stderr and "Traceback" not in done.stderr
    left = {path.name for path in (tmp_path / "rows").iterdir()}
    assert not [name for name in left if name.startswith("part-")]
    again = [sys.executable, "-m", "countermark", *scan.split()[1:], "--resume"]
    done = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and (tmp_path / "rows" / "part-000001.parquet").exists(), done.stderr
    assert not list((tmp_path / "rows").glob(".*"))
