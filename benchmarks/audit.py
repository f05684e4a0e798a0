"""Measures the audit itself: the gate's false failures and power, and a policy's time.

Run ``python -m benchmarks.audit`` from the repository; it writes ``docs/benchmark-audit.md``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy.stats import norm

from countermark.app.audit import audit
from countermark.app.audit.cache import ScoreCache
from countermark.app.audit.judging import decide
from countermark.app.rooms import Rooms
from countermark.core.corpus import CorpusRow, write_metadata
from countermark.core.images import write_image
from countermark.core.intervals import Resamples, estimate
from countermark.core.results import Outcome
from countermark.core.seeds import rng
from countermark.core.stats import weighted_auroc

IMAGES = 2000
SPECS = ("native", "q96", "320q90", "q75", "blur:1", "noise:6", "resize:0.5", "crop:0.75", "screenshot:0.7")


def false_failures(
    repeats: int, count: int, true: float, threshold: float, clusters: int
) -> dict[Outcome, float]:
    """Shares of outcomes of ``repeats`` audits of a detector with the true AUROC ``true``."""
    outcomes = []
    for number in range(repeats):
        generator = rng(5, "simulation", number, count, true, threshold, clusters)
        labels = np.repeat([0, 1], count)
        groups = np.arange(2 * count) // clusters
        shared = generator.normal(size=groups.max() + 1)[groups] if clusters > 1 else 0.0
        noise = generator.normal(size=2 * count)
        mixed = 0.6 * shared + 0.8 * noise if clusters > 1 else noise
        scores = mixed + norm.ppf(true) * np.sqrt(2) * labels
        draws = Resamples.draw(labels, groups if clusters > 1 else None, 1000, number)
        found = estimate(partial(weighted_auroc, labels, scores), draws, effective=count)
        outcomes.append(decide(found.interval, threshold, "at-least"))
    return {o: outcomes.count(o) / repeats for o in (Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.FAIL)}


class Blocks:
    """A cheap detector (mean absolute gradient), so that the audit's own work is what is timed."""

    name = "gradient"
    card = SimpleNamespace(sha256="00" * 32, licence="Apache-2.0", version="1", training_data=[])

    def score(self, images):
        return np.array([min(1.0, np.abs(np.diff(i.astype(np.float32), axis=0)).mean() / 40) for i in images])

    def thresholds(self, max_fpr=0.01):
        return SimpleNamespace(likely=0.9, unsure=0.7)


def policy_text() -> str:
    """Thirty checks on one corpus."""
    checks = [f'id = "detector.auroc"\nlabel = "{s}"\ndelivery = "{s}"\nat_least = 0.1' for s in SPECS]
    checks += [f'id = "detector.fpr"\nlabel = "{s}"\ndelivery = "{s}"\nat_most = 1.0' for s in SPECS]
    checks += [f'id = "detector.tpr"\nlabel = "{s}"\ndelivery = "{s}"\nat_least = 0.0' for s in SPECS[:4]]
    checks += ['id = "detector.ece"\nat_most = 1.0', 'id = "detector.brier"\nat_most = 1.0']
    checks += ['id = "detector.abstention"\nat_most = 1.0', 'id = "detector.worst-generator"\nat_least = 0.0']
    checks += ['id = "detector.worst-source"\nat_most = 1.0', 'id = "detector.drop"\nat_most = 1.0']
    checks += ['id = "detector.worst-delivery"\nat_least = 0.0', 'id = "detector.flips"\nat_most = 1.0']
    assert len(checks) == 30
    body = "".join(f'[[checks]]\n{c}\nevidence = "test"\n' for c in checks)
    head = (
        'schema = "countermark.policy/1"\nname = "Thirty"\n[subject]\nkind = "detector"\n'
        "[statistics]\ndelivered = 0\n"
    )
    return f'{head}[evidence.test]\ncorpus = "."\n{body}'


def corpus(folder: Path, count: int, side: int = 320) -> None:
    """Noise pictures of ten sources and four generators, PNG."""
    rows = []
    for number in range(count):
        generator = rng(1, number)
        small = generator.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
        picture = np.repeat(np.repeat(small, 8, 0), 8, 1)
        name = f"{number:05d}.jpg"
        write_image(folder / name, picture, quality=90)
        synthetic = number % 2
        rows.append(
            CorpusRow(
                name,
                "synthetic" if synthetic else "real",
                f"g{number // 2 % 4}" * synthetic,
                f"s{number // 2 % 10}",
            )
        )
    write_metadata(folder, rows)


def timed(count: int) -> dict[str, float]:
    """Seconds of a first and of a second (cached) audit of ``count`` images with thirty checks."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus(folder, count)
        (folder / "policy.toml").write_text(policy_text())
        found = {}
        for run in ("first", "cached"):
            start = time.perf_counter()
            report = audit(
                folder / "policy.toml",
                rooms=Rooms(load_detector=lambda name: Blocks()),
                cache=folder / "scores.sqlite",
            )
            found[run] = time.perf_counter() - start
            assert len(report.checks) == 30 and report.exit_code == 0, report.exit_code
        ScoreCache(folder / "scores.sqlite").close()
        return found


def main() -> None:
    """Runs all and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "benchmark-audit.md")
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--images", type=int, default=IMAGES)
    arguments = parser.parse_args()
    lines = ["# The audit, measured", "", "Made by `python -m benchmarks.audit`.", ""]
    lines += [
        "## The gate's decisions",
        "",
        f"{arguments.repeats} simulated audits a row; normal scores; threshold on AUROC 0.94; "
        "95 % intervals, 1,000 resamples.",
        "",
    ]
    lines += [
        "| True AUROC | Images a class | Cluster size | Pass | Inconclusive | Fail |",
        "|---|---|---|---|---|---|",
    ]
    for true in (0.95, 0.94, 0.92, 0.97):
        for count, clusters in ((200, 1), (1000, 1), (400, 8)):
            shares = false_failures(arguments.repeats, count, true, 0.94, clusters)
            cells = " | ".join(f"{100 * v:.1f} %" for v in shares.values())
            lines.append(f"| {true} | {count} | {clusters} | {cells} |")
            print(lines[-1], flush=True)
    seconds = timed(arguments.images)
    lines += [
        "",
        "## Time",
        "",
        f"A policy of 30 checks ({len(SPECS)} deliveries) over {arguments.images:,} images of 320 x 320, "
        "with a detector that costs next to nothing, one process:",
        "",
    ]
    lines += [
        f"- first run {seconds['first']:.0f} s, second run with the score cache {seconds['cached']:.0f} s.",
        "",
    ]
    lines += [
        "A real detector adds its time for every image and delivery; with the default one: "
        "[benchmark-audit-default.md](benchmark-audit-default.md)."
    ]
    arguments.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
