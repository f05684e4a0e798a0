"""How much processor time and memory single commands take: a git revision against this working tree.

    python benchmarks/startup.py --revision c42e938          # writes docs/benchmark-startup.md

Both builds run in the same minutes, by turns, each command in a process of its own with one thread;
processor seconds (user and system) and peak memory are the operating system's (``wait4``). Medians.
The picture is made here. ``COUNTERMARK_HOME`` is an empty folder for each build.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "benchmark-startup.md"
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
CODE = "import sys; from countermark.cli import run; sys.exit(run(sys.argv[1:]))"


@dataclass(frozen=True)
class Build:
    """One build: the folder that holds ``countermark``, and the home that its commands use."""

    name: str
    folder: Path
    home: Path


@dataclass(frozen=True)
class Run:
    """One command: processor seconds, peak memory in MB, what it printed, and seconds on the clock."""

    seconds: float
    memory: float
    output: str
    wall: float = 0.0


def run(build: Build, arguments: list[str], threads: int = 1) -> Run:
    """Runs a command of a build in its own process; exit codes 0 and 1 are answers."""
    env = {
        **os.environ,
        **{name: str(threads) for name in ONE_THREAD},
        "PYTHONPATH": str(build.folder),
        "COUNTERMARK_HOME": str(build.home),
    }
    start = time.monotonic()
    with tempfile.TemporaryFile() as stream:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", CODE, *arguments],
            stdout=stream,
            stderr=subprocess.DEVNULL,
            env=env,
            cwd=build.home,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1):
            raise SystemExit(f"{build.name}: {' '.join(arguments)} ended with {process.returncode}.")
        stream.seek(0)
        output = stream.read().decode("utf-8", "replace")
    return Run(usage.ru_utime + usage.ru_stime, _megabytes(usage), output, wall)


def _megabytes(usage: resource.struct_rusage) -> float:
    """``ru_maxrss`` is in kB on Linux and in bytes on macOS."""
    return usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def builds(revision: str, work: Path) -> tuple[Build, Build]:
    """The revision, laid out under ``work``, and the working tree."""
    folder = work / "revision"
    folder.mkdir()
    archive = str(work / "revision.tar")
    subprocess.run(["git", "-C", str(ROOT), "archive", "--output", archive, revision], check=True)
    subprocess.run(["tar", "-x", "-C", str(folder), "-f", archive], check=True)
    found = []
    for name, place in ((revision, folder), ("working tree", ROOT)):
        home = work / f"home-{len(found)}"
        home.mkdir()
        found.append(Build(name, place, home))
    return found[0], found[1]


def make_pictures(folder: Path, count: int, pixels: int = 1_000_000) -> list[Path]:
    """Makes JPEGs of one size in another process: a command's peak memory counts its parent's."""
    folder.mkdir()
    command = [sys.executable, __file__, "--make", str(folder), str(count), "--pixels", str(pixels)]
    subprocess.run(command, check=True)
    return sorted(folder.glob("*.jpg"))


def picture(number: int, pixels: int = 1_000_000) -> Any:
    """A photograph-like picture, uint8 RGB: a part of one that comes with scikit-learn or scikit-image."""
    import cv2
    import numpy as np
    from skimage import data
    from sklearn.datasets import load_sample_images

    known = [
        *load_sample_images().images,
        *(
            getattr(data, name)()
            for name in ("astronaut", "coffee", "chelsea", "rocket", "immunohistochemistry")
        ),
    ]
    random = np.random.default_rng(number)
    source = known[number % len(known)]
    share = random.uniform(0.6, 1.0)
    height, width = (int(share * n) for n in source.shape[:2])
    top, left = (
        int(random.integers(0, n - m + 1)) for n, m in zip(source.shape, (height, width), strict=False)
    )
    part = source[top : top + height, left : left + width]
    scale = (pixels / (height * width)) ** 0.5
    size = (round(width * scale), round(height * scale))
    part = cv2.resize(part, size, interpolation=cv2.INTER_CUBIC)
    grain = random.normal(0, 2, part.shape)
    return np.clip(part[:, :: random.choice([-1, 1])] + grain, 0, 255).astype(np.uint8)


def save_pictures(folder: Path, count: int, pixels: int) -> None:
    """Writes JPEGs without any metadata."""
    from PIL import Image

    for number in range(count):
        image = Image.fromarray(picture(number, pixels))
        image.save(folder / f"{number:04d}.jpg", quality=80 + number % 16)


def scores(output: str) -> list[tuple[str, float]]:
    """Verdict and score of every picture in a scan's JSON."""
    return [(r["verdict"], r["score"]) for r in json.loads(output)["results"]]


def main() -> None:
    """Runs the benchmark and writes its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--revision", default="c42e938")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--make", nargs=2, metavar=("FOLDER", "COUNT"), help="Only make pictures.")
    parser.add_argument("--pixels", type=int, default=1_000_000, help="Of those.")
    options = parser.parse_args()
    if options.make:
        return save_pictures(Path(options.make[0]), int(options.make[1]), options.pixels)
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        both = builds(options.revision, work)
        one = make_pictures(work / "pictures", 1)[0]
        commands = {
            "--help": ["--help"],
            "verify, unsigned": ["verify", str(one)],
            "scan one.jpg": ["scan", str(one), "--json"],
        }
        rows, found = [], []
        for name, arguments in commands.items():
            runs: dict[str, list[Run]] = {build.name: [] for build in both}
            for repeat in range(options.repeats + 1):
                for build in both:
                    done = run(build, arguments)
                    if repeat:  # the first ones fill the disk cache and write byte code
                        runs[build.name].append(done)
            old, new = (
                (statistics.median(r.seconds for r in v), statistics.median(r.memory for r in v))
                for v in runs.values()
            )
            rows.append(
                f"| `{name}` | {old[0]:.2f} | {new[0]:.2f} | **{new[0] / old[0]:.2f}** "
                f"| {old[1]:.0f} | {new[1]:.0f} | **{new[1] / old[1]:.2f}** |"
            )
            print(rows[-1], flush=True)
            found = [v[-1].output for v in runs.values()]
        (verdict_old, score_old), (verdict_new, score_new) = (scores(output)[0] for output in found)
    revision = options.revision
    text = f"""# How soon a command is done

`python benchmarks/startup.py --revision {revision} --repeats {options.repeats}`:
revision {revision} against the working tree, by turns, one thread, medians of {options.repeats} runs.
Processor seconds (user and system) and peak memory (MB) as the operating system counts them; the
picture has one megapixel.

| command | s, {revision} | s, now | share | MB, {revision} | MB, now | share |
| --- | --- | --- | --- | --- | --- | --- |
{chr(10).join(rows)}

The scan's score: {score_old:.5f} ({verdict_old}), now {score_new:.5f} ({verdict_new}). What rounds where:
[detectors](detectors.md).
"""
    options.out.write_text(text, "utf-8")
    return None


if __name__ == "__main__":
    main()
