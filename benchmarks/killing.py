"""kill -9 at random moments of what makes, learns, imports and judges: is anything left broken, can it go on?

    python benchmarks/killing.py --rounds 200           # writes docs/benchmark-killing.md

What `benchmarks/faults.py` asks of ``sign``, ``scan`` and ``verify``, of eight more commands. A command is
run once to its end to see how long it takes, then it is killed again and again, at a moment drawn evenly
from that time. After every kill all that it wrote under a final name must be whole: a picture or clip that
was signed is intact and has its record, a ``metadata.csv`` names files that are there with the digests that
it says, weights load, a report parses, the database passes its own check. A command that can go on does so,
with what the last kill left; one that cannot starts in a new folder. Whenever it is not hit before its end,
and once after all kills, what came out must be as if nothing had happened (for a training: the very same
weights), and no half-written file may be left beside it. Every round is a fork of one process that has
loaded everything, so that the kill falls into the work and not into the start. One thread; pictures are
made here.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import random
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
from killing_cases import Case, cases
from kills import ROOT, at_home, killed

from countermark.core.errors import CountermarkError

OUT, RAW = ROOT / "docs" / "benchmark-killing.md", ROOT / "runs" / "killing.json"


@dataclass
class Tally:
    """What was found after the kills of one command."""

    command: str
    seconds: float = 0.0
    killed: int = 0
    moments: list[float] = field(default_factory=list)
    files: int = 0
    damaged: int = 0
    finished: int = 0
    unfinished: int = 0
    left: int = 0


def kill(case: Case, work: Path, given: argparse.Namespace, chance: random.Random) -> Tally:
    """Kills a command ``given.rounds`` times, as far as the time goes, and runs it to its end."""
    from countermark.core.files import is_temporary

    tally = Tally(case.name)
    number, stop = 0, time.monotonic() + 60 * given.minutes

    def folder(*, new: bool) -> Path:
        nonlocal number
        number += new
        out = work / f"out-{number}"
        out.mkdir(exist_ok=True)
        return out

    def once(out: Path, seconds: float) -> tuple[int | None, float]:
        return killed(case.command(work, out, any(out.iterdir())), seconds)

    def ended(out: Path, code: int | None) -> None:
        tally.finished += 1
        tally.unfinished += code != 0 or not case.whole(out)
        tally.left += sum(is_temporary(path.name) for path in out.rglob(".*"))
        shutil.rmtree(out)

    for _ in range(given.warm):  # the first one loads what only it needs
        out = folder(new=True)
        code, tally.seconds = once(out, 1e9)
        ended(out, code)
    out = folder(new=True)
    while tally.killed < given.rounds and (time.monotonic() < stop or not tally.killed):
        code, moment = once(out, chance.uniform(0, tally.seconds))
        bad, looked = case.damaged(out)
        tally.damaged += bad
        tally.files += looked
        if code is None:
            tally.killed += 1
            tally.moments.append(moment)
            if not case.goes_on:
                shutil.rmtree(out)
                out = folder(new=True)
        else:
            ended(out, code)
            out = folder(new=True)
    ended(out, once(out, 1e9)[0])
    return tally


def table(tallies: list[Tally]) -> str:
    lines = [
        "# Killed at random moments: what makes, learns, imports and judges",
        "",
        f"Made by `python benchmarks/killing.py`: {sum(t.killed for t in tallies)} kills (SIGKILL). "
        + " ".join((__doc__ or "").split("\n\n")[2].split()),
        "",
        "| command | whole run, s | kills | after (median; most), s | looked at | broken "
        "| run to the end | of these not as they must be | half-written ones left |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in tallies:
        middle, most = float(np.median(each.moments)), max(each.moments)
        lines.append(
            f"| `{each.command}` | {each.seconds:.1f} | {each.killed} | {middle:.2f}; {most:.2f} "
            f"| {each.files:,} | {each.damaged} | {each.finished} | {each.unfinished} | {each.left} |"
        )
    return "\n".join(lines) + "\n"


def load_everything() -> None:
    """Imports the whole package; running commands here would leave threads that no fork has."""
    import torch

    import countermark

    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])  # loads as much again
    for module in pkgutil.walk_packages(countermark.__path__, "countermark."):
        if "__main__" not in module.name and ".migrations" not in module.name:
            with suppress(ImportError, CountermarkError):
                importlib.import_module(module.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--only", action="append", metavar="COMMAND", help="By its first words; others stay.")
    parser.add_argument(
        "--warm", type=int, default=2, help="Whole runs before the kills; the last one counts."
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e9, help="For each command, at most about.")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--raw", type=Path, default=RAW)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    kept = json.loads(given.raw.read_text()) if given.raw.exists() else {}
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        os.environ["TMPDIR"] = str(work)
        tempfile.tempdir = None
        at_home(work)
        load_everything()
        for number, case in enumerate(cases(work)):
            if given.only and not any(case.name.startswith(name) for name in given.only):
                continue
            started = time.monotonic()
            kept[case.name] = asdict(kill(case, work, given, random.Random(given.seed + number)))
            print(f"{case.name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
            given.raw.parent.mkdir(parents=True, exist_ok=True)
            given.raw.write_text(json.dumps(kept))
    tallies = [Tally(**each) for each in kept.values()]
    given.out.write_text(table(tallies))
    print(given.out.read_text())


if __name__ == "__main__":
    main()
