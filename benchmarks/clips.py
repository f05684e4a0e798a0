"""Recorded clips and generated ones, as others stored them: is the detector any good on them?

    python -m benchmarks.clips score MIRRORS [--frames 8]
    python -m benchmarks.clips table

``clips.tsv`` names every clip by repository, path and git blob id; ``MIRRORS`` holds bare clones under
``owner+name/repo``. Nothing was trained, chosen or tuned on them: neither the detector nor its thresholds,
nor the rule by which a clip is judged. ``score`` scans each as ``countermark scan`` does, without marks, and
appends a row to ``runs/clips.jsonl``; it may be interrupted and called again. ``table`` writes the figures
into docs/video.md. Faces are judged along the way, also in the clips of ``faces.tsv``: swapped, reenacted
and real.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from countermark.app.clips.scan import ClipSettings, scan_clip
from countermark.core.errors import CountermarkError
from countermark.core.intervals import bootstrap, rate
from countermark.core.stats import weighted_auroc
from countermark.core.video.sampling import Sampling

HERE = Path(__file__).resolve().parent
ROWS, PAGE = HERE.parent / "runs" / "clips.jsonl", HERE.parent / "docs" / "video.md"
BEGIN, END = "<!-- clips -->", "<!-- /clips -->"
MAX_FPR = 0.01
SUFFIXES = (".mp4", ".mov", ".mkv", ".webm")
#: Of ``faces.tsv``: what these clips are called here.
LABELS = {"swap": "swapped", "reenacted": "reenacted", "frame": "faces", "real": "faces"}


def listed() -> Iterator[dict[str, str]]:
    """The clips of both lists; ``set`` says from which."""
    with open(HERE / "clips.tsv", encoding="utf-8") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            yield {**row, "set": "clips"}
    with open(HERE / "faces.tsv", encoding="utf-8") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            if row["path"].lower().endswith(SUFFIXES):
                label = LABELS.get(row["label"], row["label"])
                yield {**row, "label": label, "generator": row["tool"], "set": "faces"}


def score(mirrors: Path, frames: int, most: int) -> None:
    """Scans what has no row yet, ``most`` clips at a time."""
    from countermark.detectors import load_detector

    model = load_detector()
    bounds = model.thresholds(MAX_FPR)
    settings = ClipSettings(Sampling(frames), marks=False, judge_faces=True, recover=False, keep_frames=0)
    ROWS.parent.mkdir(exist_ok=True)
    known = {row["blob"] for row in read_rows()}
    for row in listed():
        if row["blob"] in known:
            continue
        if most <= 0:
            return
        most -= 1
        place = mirrors / row["repo"].replace("/", "+") / "repo"
        asked = ["git", "-C", str(place), "cat-file", "blob", row["blob"]]
        found = subprocess.run(asked, capture_output=True, check=False)
        if found.returncode:
            print("missing", row["repo"], row["path"], flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"clip{Path(row['path']).suffix}")
            path.write_bytes(found.stdout)
            try:
                result, _ = scan_clip(str(path), model, bounds, settings)
            except CountermarkError as error:
                print(row["path"], error.code, flush=True)
                continue
        face = next((each.detail for each in result.evidence if each.kind == "face"), {})
        kept = {key: row[key] for key in ("set", "label", "source", "generator", "repo", "path", "blob")}
        kept |= {
            "score": result.score,
            "verdict": result.verdict and result.verdict.value,
            "size": [result.width, result.height],
            "frames": [moment.score for moment in result.clip.timeline] if result.clip else [],
            "likely": float(bounds.likely),
            "tracks": [each["score"] for each in face.get("tracks", ())],
            "put_in": bool(face.get("found")),
        }
        with open(ROWS, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(kept) + "\n")
        print(kept["label"], kept["source"], kept["generator"], kept["score"], kept["tracks"], flush=True)


def read_rows() -> list[dict[str, Any]]:
    if not ROWS.exists():
        return []
    return [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The figures as Markdown."""
    clips = [row for row in rows if row["set"] == "clips" and row["score"] is not None]
    real = [row for row in clips if row["label"] == "real"]
    made = [row for row in clips if row["label"] == "synthetic"]
    likely = clips[0]["likely"]
    labels = np.array([row["label"] == "synthetic" for row in clips], int)
    scores = np.array([row["score"] for row in clips])
    groups = np.array([row["generator"] or row["source"] for row in clips])
    area = bootstrap(partial(weighted_auroc, labels, scores), labels, groups, bounds=(0, 1))
    frames = [len(row["frames"]) for row in clips]
    lines = [
        f"{len(made)} clips of {len(_names(made, 'generator'))} generators and {len(real)} recorded ones of "
        f"{len(_names(real, 'source'))} sources, {min(frames)} to {max(frames)} frames each; AUROC "
        f"**{area.value:.3f}** ({area.low:.2f} to {area.high:.2f}, generators and sources resampled). "
        f"Flagged: at or above {likely:.3f}, the threshold for {MAX_FPR:.0%} of photographs.".replace(
            "%", " %"
        ),
        "",
        "| Clips | Number | Flagged | Unsure | Highest frame above the threshold | Mean score |",
        "|---|---|---|---|---|---|",
    ]
    for name, mine in (
        ("recorded, all", real),
        *((f"recorded: {source}", _of(real, "source", source)) for source in _names(real, "source")),
        ("generated, all", made),
        *((f"generated: {name}", _of(made, "generator", name)) for name in _names(made, "generator")),
    ):
        flagged = sum(row["verdict"] == "likely-synthetic" for row in mine)
        unsure = sum(row["verdict"] == "unsure" for row in mine)
        high = sum(max(f for f in row["frames"] if f is not None) >= likely for row in mine)
        shown = f"{flagged} of {len(mine)}"
        if name.endswith("all"):
            shown += f" ({_interval(flagged, len(mine))})"
        mean = float(np.mean([row["score"] for row in mine]))
        lines.append(f"| {name} | {len(mine)} | {shown} | {unsure} | {high} | {mean:.2f} |")
    faces = [row for row in rows if row["tracks"]]
    lines += [
        "",
        "Faces that were followed and judged (five looks at most, two at least):",
        "",
        "| Clips | Number | With a face said to be put in | Highest score of a face, mean |",
        "|---|---|---|---|",
    ]
    for name, label in (
        ("recorded, of the list above", "real"),
        ("real frames beside swaps", "faces"),
        ("swapped", "swapped"),
        ("reenacted", "reenacted"),
        ("generated, of the list above", "synthetic"),
    ):
        mine = _of(faces, "label", label)
        if mine:
            mean = float(np.mean([max(row["tracks"]) for row in mine]))
            lines.append(f"| {name} | {len(mine)} | {sum(row['put_in'] for row in mine)} | {mean:.2f} |")
    return "\n".join(lines) + "\n"


def _interval(count: int, total: int) -> str:
    found = rate(count, total)
    return f"{found.low * 100:.0f} to {found.high * 100:.0f} %"


def _of(rows: Sequence[dict[str, Any]], key: str, value: str) -> list[dict[str, Any]]:
    return [row for row in rows if row[key] == value]


def _names(rows: Sequence[dict[str, Any]], key: str) -> list[str]:
    return sorted({row[key] for row in rows})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("score")
    first.add_argument("mirrors", type=Path)
    first.add_argument("--frames", type=int, default=8)
    first.add_argument("--most", type=int, default=10_000)
    commands.add_parser("table")
    asked = parser.parse_args()
    if asked.command == "score":
        score(asked.mirrors, asked.frames, asked.most)
        return
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    PAGE.write_text(f"{head}{BEGIN}\n{table(read_rows())}{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
