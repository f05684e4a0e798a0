"""A command starts at once: what it does not use is not imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from countermark.core.images import write_image

HEAVY = (
    "torch",
    "timm",
    "lightning_fabric",
    "matplotlib",
    "scipy.stats",
    "scipy.fft",
    "sklearn",
    "sqlalchemy",
)

RUN = """
import json, sys
from countermark.cli import run
code = run(sys.argv[2:])
print(json.dumps([code, [name for name in sys.argv[1].split() if name in sys.modules]]))
"""


@pytest.mark.parametrize("command", ["scan", "verify"])
def test_one_picture_needs_no_heavy_library(command: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    picture = np.kron(random.integers(0, 256, (25, 30, 3)), np.ones((10, 10, 1))).astype(np.uint8)
    write_image(tmp_path / "one.png", picture)
    done = subprocess.run(
        [sys.executable, "-c", RUN, " ".join(HEAVY), command, str(tmp_path / "one.png")],
        env={**os.environ, "COUNTERMARK_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=True,
    )
    code, imported = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert imported == []
