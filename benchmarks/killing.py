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
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from faults import make

from countermark.core.errors import CountermarkError

ROOT = Path(__file__).resolve().parents[1]
OUT, RAW = ROOT / "docs" / "benchmark-killing.md", ROOT / "runs" / "killing.json"
RECORDS = 1500
RECIPE = """
name = "tiny"
summary = "For kills."
images = 480
checkpoint_minutes = 0.005
[optimiser]
batch = 16
[network]
size = 16
channels = 1
latent = 8
width = 4
max_width = 8
critic_width = 4
critic_max_width = 8
[data]
mirror = false
classes = true
"""
POLICY = """
schema = "countermark.policy/1"
name = "Kills"
[subject]
kind = "pipeline"
name = "countermark sign"
[evidence.outputs]
make = "signed-samples"
count = 2
[[checks]]
id = "pipeline.signed"
evidence = "outputs"
"""


@dataclass
class Case:
    """A command that is killed.

    Attributes:
        command: Its arguments, from the folder of what it starts with, the folder that it writes into, and
            whether that is there already.
        damaged: Counts what is broken in a folder, and what was looked at.
        whole: Whether a folder that was finished is as it must be.
        goes_on: Whether it goes on in the folder of a killed run.
    """

    name: str
    command: Callable[[Path, Path, bool], list[str]]
    damaged: Callable[[Path], tuple[int, int]]
    whole: Callable[[Path], bool]
    goes_on: bool


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


def signed(folder: Path, kinds: tuple[str, ...]) -> tuple[int, int]:
    """Signed files that have no record or whose credential does not hold, and all of them."""
    from countermark.core.files import is_temporary, sha256_file
    from countermark.provenance.credentials.clips import verify_clip
    from countermark.provenance.credentials.verification import verify_image
    from countermark.provenance.repository import open_repository

    bad = looked = 0
    with open_repository() as records:
        for path in sorted(folder.rglob("*")):
            if path.suffix not in kinds or is_temporary(path.name):
                continue
            looked += 1
            verify = verify_image if path.suffix == ".png" else verify_clip
            holds = verify(path).state.value in ("trusted", "intact")
            bad += not holds or not records.by_sha256(sha256_file(path))
    return bad, looked


def corpus(folder: Path) -> tuple[int, int]:
    """Broken pictures, rows without their file, and how many of both were looked at."""
    from countermark.core.corpus import METADATA, read_corpus
    from countermark.core.files import is_temporary, sha256_file
    from countermark.core.images import read_image

    bad = looked = 0
    for path in folder.rglob("*.png"):
        if not is_temporary(path.name):
            looked += 1
            try:
                read_image(path)
            except Exception:
                bad += 1
    if (folder / METADATA).exists():
        for path, row in read_corpus(folder):
            looked += 1
            bad += not path.is_file() or sha256_file(path) != row.sha256
    return bad, looked


def both(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    """Sums."""
    return one[0] + other[0], one[1] + other[1]


def weights(folder: Path) -> tuple[int, int]:
    """Checkpoints that are torn, weights with a card that do not load, and all of both.

    A checkpoint has no card. Weights whose card is still to be written are refused by name, not broken.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    from countermark.core.weights import load_arrays

    bad = looked = 0
    for path in folder.rglob("*.safetensors"):
        checkpoint = path.name == "checkpoint.safetensors"
        if path.name.startswith(".") or not (checkpoint or path.with_suffix(".card.json").exists()):
            continue
        looked += 1
        try:
            _ = load_file(path) if checkpoint else load_arrays(path)
        except (CountermarkError, SafetensorError, OSError, ValueError):
            bad += 1
    return bad, looked


def reports(folder: Path) -> tuple[int, int]:
    """Reports that do not parse, and all of them."""
    bad = looked = 0
    for name in ("r.json", "r.sarif"):
        if (folder / name).exists():
            looked += 1
            try:
                json.loads((folder / name).read_text())
            except ValueError:
                bad += 1
    return bad, looked


def database(folder: Path) -> tuple[int, int]:
    """Whether the database is broken or holds a record twice; records."""
    path = folder / "m.db"
    if not path.exists():
        return 0, 0
    with sqlite3.connect(path) as connection:
        sound = connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        try:
            count, different = connection.execute(
                "SELECT count(*), count(DISTINCT manifest_id) FROM manifests"
            ).fetchone()
        except sqlite3.OperationalError:  # killed before its tables were there
            return int(not sound), 0
    return int(not sound) + count - different, count


def cases(work: Path) -> list[Case]:
    """All commands, with what they start from laid out under ``work``."""
    from countermark.core.corpus import METADATA, read_corpus
    from countermark.core.files import sha256_file

    lay_out(work)
    same: list[str] = []

    def same_weights(folder: Path) -> bool:
        same.append(sha256_file(folder / "tiny.safetensors"))
        return same[-1] == same[0]

    def begun(name: str) -> Callable[[Path, bool], list[str]]:
        return lambda out, there: ["--resume"] if there and (out / name).exists() else []

    trained = begun("checkpoint.safetensors")
    return [
        Case(
            "generate --sign",
            lambda a, out, _: [
                *("generate", "digits-32", "-n", "6", "--scale", "8", "--sign", "-o", str(out)),
            ],
            lambda out: both(signed(out, (".png",)), corpus(out)),
            lambda out: len(read_corpus(out)) == 6,
            goes_on=False,
        ),
        Case(
            "train generator",
            lambda a, out, there: [
                *("train", "generator", "digits", "-r", str(a / "tiny.toml"), "-o", str(out)),
                *("--name", "tiny", *trained(out, there)),
            ],
            weights,
            same_weights,
            goes_on=True,
        ),
        Case(
            "train detector",
            lambda a, out, _: [
                *("train", "detector", str(a / "corpus"), "-o", str(out), "--name", "mine", "--steps", "30"),
            ],
            weights,
            lambda out: bool(list(out.glob("*.safetensors"))),
            goes_on=False,
        ),
        Case(
            "augment",
            lambda a, out, there: [
                *("augment", "digits", "-o", str(out), "--model", "digits-32", "--no-measure"),
                *("--add", "0.1", *(["--resume"] if there else [])),
            ],
            corpus,
            lambda out: (out / METADATA).exists(),
            goes_on=True,
        ),
        Case(
            "audit",
            lambda a, out, _: [
                *("audit", str(a / "policy.toml"), "-o", f"json={out}/r.json", "-o", f"sarif={out}/r.sarif"),
            ],
            reports,
            lambda out: reports(out) == (0, 2),
            goes_on=False,
        ),
        Case(
            "sign FOLDER, of clips",
            lambda a, out, _: ["sign", str(a / "clips"), str(out)],
            lambda out: signed(out, (".mp4", ".mov")),
            lambda out: len(list(out.glob("*.m*"))) == 3,
            goes_on=True,
        ),
        Case(
            "records import",
            lambda a, out, _: [
                *("records", "import", str(a / "records.jsonl"), "--repository", f"sqlite:///{out}/m.db"),
            ],
            database,
            lambda out: database(out) == (0, RECORDS),
            goes_on=True,
        ),
        Case(
            "records export",
            lambda a, out, _: [
                *("records", "export", str(out / "r.jsonl"), "--repository", f"sqlite:///{a}/all.db"),
            ],
            lambda out: lines(out / "r.jsonl"),
            lambda out: lines(out / "r.jsonl") == (0, RECORDS + 1),
            goes_on=False,
        ),
    ]


def lines(path: Path) -> tuple[int, int]:
    """Lines that are no JSON or missing, and lines."""
    if not path.exists():
        return 0, 0
    found = path.read_text().splitlines()
    bad = 0 if len(found) == RECORDS + 1 else 1
    for line in found:
        try:
            json.loads(line)
        except ValueError:
            bad += 1
    return bad, len(found)


def lay_out(work: Path) -> None:
    """What the commands start from."""
    import av

    from countermark.provenance.repository import ManifestRecord, open_repository
    from countermark.provenance.repository.exchange import export

    (work / "tiny.toml").write_text(RECIPE)
    (work / "policy.toml").write_text(POLICY)
    for label in ("real", "synthetic"):
        for source in ("a", "b", "c"):
            folder = work / "corpus" / label / source
            folder.mkdir(parents=True)
            make(folder, 8)
    (work / "clips").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.mp4", "b.mov", "c.mp4"):
        with av.open(str(work / "clips" / name), "w") as target:
            stream = target.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = 256, 208, "yuv420p"
            for _ in range(6):
                noise = rng.integers(0, 255, (12, 12, 3), np.uint8)
                pixels = cv2.resize(noise, (256, 208), interpolation=cv2.INTER_CUBIC)
                target.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            target.mux(stream.encode(None))
    with open_repository(f"sqlite:///{work}/all.db") as records:
        records.add_all(
            ManifestRecord(f"urn:c2pa:{n:032x}", b"m" * 400, sha256=f"{n:064x}") for n in range(RECORDS)
        )
        export(records, work / "records.jsonl")


def run_for(arguments: list[str], seconds: float) -> tuple[int | None, float]:
    """Runs a command in a fork and kills it after ``seconds``: its exit code, None if it was killed."""
    from countermark.cli import run

    child = os.fork()
    if child == 0:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        os._exit(run(arguments))
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), time.monotonic() - started
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return None if code == -signal.SIGKILL else code, time.monotonic() - started


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
        return run_for(case.command(work, out, any(out.iterdir())), seconds)

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
    import countermark

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
        os.environ["COUNTERMARK_HOME"] = str(work / "home")
        os.environ["TMPDIR"] = str(work)
        tempfile.tempdir = None
        load_everything()
        from countermark.provenance.identities.store import get_identity

        get_identity("default")
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
