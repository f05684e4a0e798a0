"""How many pictures a second a scan does: a git revision against this working tree, in one run.

    python benchmarks/scan.py --revision c42e938 --pictures 200        # writes docs/benchmark-scan.md
    python benchmarks/scan.py --pictures 2000 --pixels 136640          # small ones, 320 x 427

``scan FOLDER`` with all its evidence (credentials, metadata, marks, detector), and the detector alone on
the same pictures, decoded before the clock starts. With ``--turns`` the pictures are dealt into so many
folders that are scanned by turns, so that both builds see the same machine; what a scan of one picture takes
counts once then. Processor seconds and peak memory as in
``benchmarks/startup.py``; the pictures are made here, all of the same size. Where other programs share the
processors, seconds of the clock are those of that machine at that time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from startup import ONE_THREAD, ROOT, Build, Run, builds, make_pictures, run, scores

OUT = ROOT / "docs" / "benchmark-scan.md"
SCORING = """
import sys, time, resource
from pathlib import Path
from countermark.core.images import read_image
from countermark.detectors import load_detector
pictures = [read_image(path).pixels for path in sorted(Path(sys.argv[2]).glob("*.jpg"))[:int(sys.argv[3])]]
detector = load_detector(sys.argv[1])
detector.score(pictures[:1])
start = time.process_time()
for first in range(0, len(pictures), 16):
    detector.score(pictures[first : first + 16])
print((time.process_time() - start) / len(pictures), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
"""


def scoring(build: Build, detector: str, folder: Path, count: int) -> tuple[float, float]:
    """Processor seconds a picture, and the process's peak memory in MB."""
    env = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(build.folder)}
    command = [sys.executable, "-P", "-c", SCORING, detector, str(folder), str(count)]
    done = subprocess.run(command, env=env, cwd=build.home, capture_output=True, text=True, check=True)
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def dealt(folder: Path, out: Path, turns: int) -> list[Path]:
    """The pictures of a folder in ``turns`` folders, as links; the folder itself for one turn."""
    if turns == 1:
        return [folder]
    for number, path in enumerate(sorted(folder.glob("*.jpg"))):
        place = out / str(number % turns)
        place.mkdir(parents=True, exist_ok=True)
        os.link(path, place / path.name)
    return sorted(out.iterdir())


def by_turns(both: tuple[Build, Build], folders: list[Path], workers: int) -> list[Run]:
    """Scans all folders with both builds by turns: one run for each, with one start in it."""
    given = ["--json", "--workers", str(workers)]
    found: list[list[Run]] = [[], []]
    starts: list[list[Run]] = [[], []]
    for folder in folders:
        one = min(folder.glob("*.jpg"))
        for place, build in enumerate(both):
            found[place].append(run(build, ["scan", str(folder), *given]))
            if len(folders) > 1:
                starts[place].append(run(build, ["scan", str(one), *given]))
    return [_summed(runs, start) for runs, start in zip(found, starts, strict=True)]


def _summed(runs: list[Run], starts: list[Run]) -> Run:
    if not starts:
        return runs[0]
    more = len(runs) - 1
    results = [result for each in runs for result in json.loads(each.output)["results"]]
    return Run(
        sum(each.seconds for each in runs) - more * statistics.median(each.seconds for each in starts),
        max(each.memory for each in runs),
        json.dumps({"results": results}),
        sum(each.wall for each in runs) - more * statistics.median(each.wall for each in starts),
    )


def main() -> None:
    """Runs the benchmark and writes its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--revision", default="c42e938")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--pixels", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--detectors", nargs="*", default=["default", "lite"])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    count = options.pictures
    rows = []
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        both = builds(options.revision, work)
        folder = work / "pictures"
        make_pictures(folder, count, options.pixels)
        runs: dict[str, list[Run]] = {build.name: [] for build in both}
        folders = dealt(folder, work / "turns", options.turns)
        for _ in range(options.repeats):
            for build, whole in zip(both, by_turns(both, folders, options.workers), strict=True):
                runs[build.name].append(whole)
        old, new = runs.values()
        a, b = (statistics.median(r.seconds for r in v) for v in (old, new))
        c, d = (statistics.median(r.memory for r in v) for v in (old, new))
        e, f = (count / statistics.median(r.wall for r in v) for v in (old, new))
        rows.append(
            f"| `scan FOLDER`, {count} pictures | {count / a:.2f} | {count / b:.2f} | **{a / b:.2f}** "
            f"| {c:.0f} | {d:.0f} |"
        )
        clock = f"On the clock: {e:.2f} and {f:.2f} pictures a second, {f / e:.2f} times as many."
        print(rows[-1], clock, flush=True)
        before, after = scores(old[0].output), scores(new[0].output)
        for detector in options.detectors:
            measured = [
                [scoring(build, detector, folder, min(count, 48)) for build in both]
                for _ in range(options.repeats)
            ]
            (a, c), (b, d) = (
                tuple(statistics.median(f[side][n] for f in measured) for n in (0, 1)) for side in (0, 1)
            )
            rows.append(
                f"| scoring with `{detector}` alone | {1 / a:.2f} | {1 / b:.2f} | **{a / b:.2f}** "
                f"| {c:.0f} | {d:.0f} |"
            )
            print(rows[-1], flush=True)
    other = sum(x[0] != y[0] for x, y in zip(before, after, strict=True))
    apart = sorted(abs(x[1] - y[1]) for x, y in zip(before, after, strict=True))
    revision = options.revision
    given = f"--revision {revision} --pictures {count} --pixels {options.pixels} --repeats {options.repeats}"
    given += f" --turns {options.turns}" * (options.turns > 1)
    text = f"""# How many pictures a second

`python benchmarks/scan.py {given}`:
revision {revision} against the working tree, by turns, one thread, medians.
Pictures a second of processor time (user and system); peak memory in MB.
The pictures have {options.pixels:,} pixels.

| what | {revision} | now | times | MB, {revision} | MB, now |
| --- | --- | --- | --- | --- | --- |
{chr(10).join(rows)}

{clock}

Verdicts that differ: {other} of {count}. Scores differ by {apart[len(apart) // 2]:.4f} in the median and by
{apart[-1]:.4f} at most. What rounds where: [detectors](detectors.md).
"""
    options.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
