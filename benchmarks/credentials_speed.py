"""Verifying in two builds, in turns in one run: CPU time an image, for signed and for unsigned files.

    python benchmarks/credentials_speed.py OTHER_CHECKOUT [ROUNDS]

Each round starts a process for each build, verifies the same files 200 times after a warm-up, and takes the
CPU time (user and system). The figures are medians over the rounds, the ratio the median of pairs.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
WORK = """
import json, sys, time
from pathlib import Path
try:
    from countermark.provenance.credentials.verification import verify_image
except ImportError:
    from countermark.provenance.verification import verify_image
found = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    data = path.read_bytes()
    for _ in range(20):
        verify_image(data)
    start = time.process_time()
    for _ in range(200):
        verify_image(data)
    found[path.name] = (time.process_time() - start) / 200 * 1000
print(json.dumps(found))
"""
MAKE = """
import sys, numpy as np
from pathlib import Path
from countermark.core.images import encode_image
from countermark.provenance.credentials.signing import sign_bytes
small = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
pixels = np.kron(small, np.ones((16, 16, 1), np.uint8))
for format in ("jpeg", "png", "webp"):
    plain = encode_image(pixels, format)
    made = sign_bytes(plain, generator="model/1").data
    Path(sys.argv[1], f"unsigned.{format}").write_bytes(plain)
    Path(sys.argv[1], f"signed.{format}").write_bytes(made)
    Path(sys.argv[1], f"signed twice.{format}").write_bytes(sign_bytes(made).data)
"""


def run(build: Path, code: str, folder: str, home: str) -> str:
    """Runs code against a build and returns what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(build), "COUNTERMARK_HOME": home, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, folder], env=environment, cwd=home, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def main(other: str, rounds: str = "5") -> None:
    """Prints a table."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as home:
        run(HERE, MAKE, folder, home)
        pairs = [
            tuple(json.loads(run(build, WORK, folder, home)) for build in (Path(other), HERE))
            for _ in range(int(rounds))
        ]
    print("| file, 1 MP | before, ms of CPU | now | now / before |\n|---|---|---|---|")
    for name in pairs[0][0]:
        before, now = ([pair[side][name] for pair in pairs] for side in (0, 1))
        ratio = statistics.median(b / a for a, b in zip(before, now, strict=True))
        print(f"| {name} | {statistics.median(before):.2f} | {statistics.median(now):.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
