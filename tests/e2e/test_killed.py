"""kill -9 at random moments: a short version of ``benchmarks/killing.py``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "killing.py"
COMMANDS = ("generate", "train generator", "audit", "sign FOLDER", "records import")


@pytest.mark.skipif(not SCRIPT.exists(), reason="benchmarks are in the repository only")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="every round is a fork")
def test_nothing_is_broken_by_a_kill_and_what_can_go_on_does(tmp_path: Path) -> None:
    pytest.importorskip("av")
    chosen = [part for name in COMMANDS for part in ("--only", name)]
    outputs = ["--out", str(tmp_path / "table.md"), "--raw", str(tmp_path / "raw.json")]
    command = [sys.executable, str(SCRIPT), "--rounds", "2", "--warm", "1", *chosen, *outputs]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "raw.json").read_text())
    assert len(found) == len(COMMANDS)
    for name, tally in found.items():
        assert tally["killed"] == 2 and tally["finished"] >= 2, name
        assert tally["damaged"] == tally["unfinished"] == tally["left"] == 0, (name, tally)
