"""kill -9 at random moments: is a signed picture ever without its record, a report ever half written?

    python benchmarks/faults.py --rounds 200            # writes docs/benchmark-faults.md

``sign``: a folder of pictures is signed by a process that is killed, again and again, a quarter of the
times anywhere before its first new picture and else within a quarter of a second after that; when all are
signed the folder starts anew. After every kill each signed file must have its record, be whole
(its credential intact), and nothing may lie beside it under a picture's name. ``scan`` and ``verify``: a
folder is looked at with three reports, killed at a random moment, two times of three within 20 ms after it
has begun to write; a report that is there must be whole. Half-written files may lie there under names that no
walk takes and the next writer sweeps: none may be left when a folder was signed to the end.
Every round is a fork of one process that has loaded everything, so that the kill falls into the work and
not into the start. One thread. Pictures are made here; nothing is read from elsewhere.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
from kills import ROOT, at_home, killed, make, torn_reports

OUT, RAW = ROOT / "docs" / "benchmark-faults.md", ROOT / "runs" / "faults.json"
QUICK = ["scan", "-d", "gan", "--no-marks", "--parts", "off"]


@dataclass
class Tally:
    """What was found after the kills of one command."""

    command: str
    rounds: int = 0
    killed: int = 0
    moments: list[float] = field(default_factory=list)
    files: int = 0
    records: int = 0
    without: int = 0
    damaged: int = 0
    left: int = 0
    finished: int = 0


def signings(work: Path, rounds: int, pictures: int, chance: random.Random) -> Tally:
    """Signs ``pictures`` pictures, killed ``rounds`` times."""
    from countermark.core.files import is_temporary, sha256_file
    from countermark.provenance.credentials.verification import verify_image
    from countermark.provenance.repository import open_repository

    tally = Tally("sign FOLDER")
    made, out = work / "made", work / "signed"
    made.mkdir()
    make(made, pictures)
    with open_repository() as records:
        while tally.killed < rounds:
            tally.rounds += 1
            before = len(list(out.glob("*.png")))

            def begun(before: int = before) -> bool:
                return len(list(out.glob("*.png"))) > before

            # Three of four within some pictures after the first new one, the others anywhere before.
            early = chance.random() < 0.25
            pause = chance.uniform(0, 0.25)
            code, moment = killed(["sign", str(made), str(out)], pause, (lambda: True) if early else begun)
            tally.killed += code is None
            tally.moments.append(moment)
            present = [path for path in out.glob("*.png") if not is_temporary(path.name)]
            for path in present:
                tally.without += not records.by_sha256(sha256_file(path))
            for path in present[-3:]:
                tally.damaged += verify_image(path).state.value not in ("trusted", "intact")
            if len(present) == pictures:
                tally.files += pictures
                tally.finished += 1
                killed(["sign", str(made), str(out)], 1e9)  # sweeps, and finds nothing to do
                tally.left += sum(is_temporary(path.name) for path in out.rglob(".*"))
                shutil.rmtree(out)
        tally.files += len(list(out.glob("*.png"))) if out.exists() else 0
        tally.records = len(records)
    return tally


def reports(work: Path, command: list[str], rounds: int, chance: random.Random, most: float) -> Tally:
    """Looks at a folder and writes three reports, killed ``rounds`` times."""
    tally = Tally(" ".join(command[:1]))
    folder = work / "looked-at"
    if not folder.exists():
        folder.mkdir()
        make(folder, 12)
    while tally.killed < rounds:
        tally.rounds += 1
        out = Path(tempfile.mkdtemp(dir=work))
        outputs = [part for name in ("r.json", "r.sarif", "r.csv") for part in ("-o", str(out / name))]

        def begun(out: Path = out) -> bool:
            return any(out.iterdir())

        # Two of three just after it begins to write, the others anywhere before.
        early = chance.random() < 1 / 3
        pause = chance.uniform(0.02, most) if early else chance.uniform(0, 0.02)
        code, moment = killed([*command, str(folder), *outputs], pause, (lambda: True) if early else begun)
        tally.killed += code is None
        tally.finished += code is not None
        tally.moments.append(moment)
        tally.left += sum(each.name.startswith(".countermark-") for each in out.iterdir())
        bad, looked = torn_reports(out)
        tally.damaged += bad
        tally.files += looked
        shutil.rmtree(out)
    return tally


def table(tallies: list[Tally]) -> str:
    lines = [
        "# Killed at random moments",
        "",
        f"Made by `python benchmarks/faults.py`: {sum(t.killed for t in tallies)} kills (SIGKILL). "
        + " ".join((__doc__ or "").split("\n\n")[2].split()),
        "",
        "| command | kills | after (median; most), s | files looked at | without a record | damaged "
        "| half-written ones there |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in tallies:
        middle, most = float(np.median(each.moments)), max(each.moments)
        record = f"{each.without}" if each.command.startswith("sign") else "–"
        lines.append(
            f"| `{each.command}` | {each.killed} | {middle:.2f}; {most:.2f} | {each.files} | {record} | "
            f"{each.damaged} | {each.left} |"
        )
    sign = tallies[0]
    lines += [
        "",
        f"Signing: {sign.files} files were signed in all and {sign.records} records made; the "
        f"{sign.records - sign.files} more are of pictures whose process was killed between record and file. "
        "Nobody was given those, and nothing is found by them.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--others", type=int, default=50, help="Kills of scan and of verify, each.")
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument(
        "--only", action="append", choices=["sign", "scan", "verify"], help="Keep the others."
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        at_home(work)
        from countermark.cli import run

        make(work, 1)
        run(["sign", str(work / "000.png"), str(work / "warm.png")])
        run([*QUICK, str(work / "warm.png")])
        run(["verify", str(work / "warm.png")])
        (work / "000.png").unlink()
        made = json.loads(RAW.read_text()) if RAW.exists() else {}
        for name in given.only or ("sign", "scan", "verify"):
            if name == "sign":
                found = signings(work, given.rounds, given.pictures, chance)
            else:
                command, most = (QUICK, 1.2) if name == "scan" else (["verify", "--no-recover"], 0.6)
                found = reports(work, command, given.others, chance, most)
            made[name] = asdict(found)
    RAW.parent.mkdir(exist_ok=True)
    RAW.write_text(json.dumps(made))
    tallies = [Tally(**made[name]) for name in ("sign", "scan", "verify") if name in made]
    given.out.write_text(table(tallies))
    print(given.out.read_text())


if __name__ == "__main__":
    main()
