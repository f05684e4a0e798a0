"""What ``benchmarks/killing.py`` kills: commands, what they start from, and how their work is looked at."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from kills import killed, make, torn_reports

from countermark.core.errors import CountermarkError

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
                *("train", "detector", str(a / "corpus"), "-o", str(out), "--name", "mine", "--steps", "10"),
            ],
            weights,
            lambda out: bool(list(out.glob("*.safetensors"))),
            goes_on=False,
        ),
        Case(
            "augment",
            lambda a, out, there: [
                *("augment", "digits", "-o", str(out), "--model", str(a / "trained" / "tiny.safetensors")),
                *("--no-measure", "--add", "0.1", *(["--resume"] if there else [])),
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
            torn_reports,
            lambda out: torn_reports(out) == (0, 2),
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
    killed(
        [
            *("train", "generator", "digits", "-r", str(work / "tiny.toml")),
            *("-o", str(work / "trained"), "--name", "tiny"),
        ],
        1e9,
    )
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
