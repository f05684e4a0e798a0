"""Recovery of stripped images, false recovery, and look-up time of the manifest repository.

    python benchmarks/repository.py --images FOLDER [--part signed|unsigned|searched|lookups|report|all]

Searching 2,000 pictures that carry no mark for one takes long, so the parts can be run on their own;
each leaves its figures in ``--work`` and ``report`` puts them together. ``unsigned`` reads marks where
they would lie in an untouched copy, ``searched`` over all scales, turns and crops.

FOLDER holds any pictures, at least as many as are signed and unsigned together. The pictures are
drawn with a seed; pictures that the folder holds twice are set aside first (mean difference below
8 grey levels at 32 x 32), since finding those would be right. Writes ``docs/recovery-figures.md``.
"""

from __future__ import annotations

import argparse
import json
import platform
import sqlite3
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from countermark.core.errors import CountermarkError
from countermark.core.images import iter_image_paths, read_image
from countermark.core.perturb import perturb
from countermark.core.results import Problem
from countermark.core.seeds import rng
from countermark.provenance.fingerprint import BYTES, REGIONS
from countermark.provenance.repository import Repository, open_repository, record_for
from countermark.provenance.repository.recovery import recover

CONDITIONS = ("none", "jpeg:50", "resize:0.5", "crop:0.75", "screenshot")
WAYS = ("mark and looks", "looks only", "mark only")
SAME_PICTURE = 8.0
PARTS = ("signed", "unsigned", "searched", "lookups")


@dataclass
class Counts:
    """Recoveries of one condition and way: right, wrong, of those from the same folder, missed.

    ``similar``: of those missed, how many were said to look like a known picture.
    """

    right: int = 0
    wrong: int = 0
    related: int = 0
    missed: int = 0
    similar: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.right + self.wrong + self.missed


def draw_pictures(folder: Path, count: int, seed: int) -> tuple[list[Path], int]:
    """``count`` readable pictures that differ from each other, and how many doubles were set aside."""
    paths = list(iter_image_paths([folder]))
    paths = [paths[k] for k in rng(seed, "pictures").permutation(len(paths))]
    chosen: list[Path] = []
    small = np.zeros((count, 32 * 32), np.int16)
    doubles = 0
    for path in paths:
        try:
            pixels = read_image(path).pixels
        except CountermarkError:
            continue
        if min(pixels.shape[:2]) < 200:
            continue
        grey = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
        gaps = np.abs(small[: len(chosen)] - grey.ravel()).mean(1)
        if len(chosen) and gaps.min() < SAME_PICTURE:
            doubles += 1
            continue
        small[len(chosen)] = grey.ravel()
        chosen.append(path)
        if len(chosen) == count:
            break
    return chosen, doubles


def sign(repository: Repository, paths: list[Path], seed: int, marked: bool) -> list[np.ndarray]:
    """Watermarks the pictures and records them; returns the pixels that leave the house."""
    pictures = []
    for k, path in enumerate(paths):
        pixels = read_image(path).pixels
        payload: bytes | None = None
        if marked:
            from countermark.provenance import watermark

            try:
                payload = rng(seed, "payload", k).bytes(8)
                pixels = watermark.embed(pixels, payload)
            except CountermarkError:  # nearly blank: signed without a mark
                payload = None
        record = record_for(
            pixels,
            manifest_id=f"urn:c2pa:{k}",
            store=b"x",
            sha256=f"{k:064x}",
            payload=payload,
            signer=path.parent.name,
        )
        repository.add(record)
        pictures.append(pixels)
    return pictures


def look(
    repository: Repository,
    pixels: np.ndarray,
    expected: str | None,
    folder: str,
    budget: float | None,
    counts: dict[str, Counts],
) -> None:
    """Looks one picture up in every way and counts.

    ``budget``: seconds for the full search for a mark; 0: only where it would lie in an image that
    was not cropped or turned; None: no mark is read.
    """
    reading = None
    started = time.perf_counter()
    if budget is not None:
        from countermark.provenance import watermark

        reading = watermark.read(pixels, search=budget > 0, time_budget=budget)
    read_seconds = time.perf_counter() - started
    for way in WAYS if budget is not None else ("looks only",):
        started = time.perf_counter()
        notes: list[Problem] = []
        read = None if way == "looks only" else reading
        found = recover(pixels, repository, reading=read, problems=notes)
        if way == "mark only" and found is not None and found.method != "mark":
            found = None
        seconds = time.perf_counter() - started + (0 if way == "looks only" else read_seconds)
        entry = counts.setdefault(way, Counts())
        entry.seconds.append(seconds)
        if found is None:
            entry.missed += 1
            entry.similar += any(note.code == "recovery.similar" for note in notes)
        elif found.record.manifest_id == expected:
            entry.right += 1
        else:
            entry.wrong += 1
            entry.related += found.record.signer == folder
            print(f"wrong ({way}): {found.record.manifest_id} by {found.method}", flush=True)


def fill(path: Path, entries: int) -> None:
    """A repository with ``entries`` random fingerprints and region hashes, written directly."""
    open_repository(f"sqlite:///{path}").close()
    draw = np.random.default_rng(0)
    with sqlite3.connect(path) as connection:
        for start in range(0, entries, 20_000):
            count = min(20_000, entries - start)
            hashes = draw.integers(0, 256, (count, BYTES), dtype=np.uint8)
            windows = draw.integers(0, 256, (count, 8 * REGIONS), dtype=np.uint8)
            keys = range(start + 1, start + count + 1)
            connection.executemany(
                "INSERT INTO manifests (id, manifest_id, sha256, payload, created, signer, store) "
                "VALUES (?, ?, ?, ?, '2026', '', x'00')",
                [
                    (k, f"urn:c2pa:{k}", f"{k:064x}", h[:8].tobytes())
                    for k, h in zip(keys, hashes, strict=True)
                ],
            )
            rows = [(k, h.tobytes()) for k, h in zip(keys, hashes, strict=True)]
            connection.executemany("INSERT INTO fingerprints VALUES (?, ?)", rows)
            rows = [(k, w.tobytes()) for k, w in zip(keys, windows, strict=True)]
            connection.executemany("INSERT INTO regions VALUES (?, ?)", rows)


def time_lookups(entries: int) -> list[tuple[str, float, float | None]]:
    """(what, median, 99th percentile) in milliseconds at ``entries`` records."""
    draw = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifests.db"
        fill(path, entries)
        with open_repository(f"sqlite:///{path}") as repository:
            started = time.perf_counter()
            repository.warm()
            loading = 1e3 * (time.perf_counter() - started)
            rows: list[tuple[str, float, float | None]] = [("loading all hashes, once", loading, None)]
            looks = {
                "by fingerprint (256 bits)": lambda: repository.by_fingerprint(draw.bytes(BYTES)),
                "by region (29 hashes of 64 bits a record)": lambda: repository.by_region(
                    int.from_bytes(draw.bytes(8), "little")
                ),
                "by payload": lambda: repository.by_payload(draw.bytes(8)),
            }
            for name, once in looks.items():
                times = []
                for _ in range(100):
                    started = time.perf_counter()
                    once()
                    times.append(1e3 * (time.perf_counter() - started))
                rows.append((name, float(np.median(times)), float(np.quantile(times, 0.99))))
    return rows


def measure_signed(arguments: argparse.Namespace, paths: list[Path]) -> dict[str, Any]:
    """Copies of the signed pictures, under every condition."""
    repository = open_repository("sqlite://")
    pictures = sign(repository, paths[: arguments.signed], arguments.seed, not arguments.no_watermark)
    sides = sorted(min(p.shape[:2]) for p in pictures)
    table: dict[str, dict[str, Counts]] = {}
    for condition in CONDITIONS:
        counts = table.setdefault(condition, {})
        for k, pixels in enumerate(pictures):
            copy = perturb(condition, pixels, rng(arguments.seed, condition, k))
            name = f"urn:c2pa:{k}"
            look(repository, copy, name, paths[k].parent.name, arguments.budget, counts)
        print(condition, {way: (c.right, c.wrong, c.missed) for way, c in counts.items()}, flush=True)
    sizes = f"shorter side {sides[0]} to {sides[-1]} px, median {sides[len(sides) // 2]}"
    unmarked = sum(record.payload is None for record in repository)
    return {"sizes": sizes, "count": len(pictures), "unmarked": unmarked, "table": summary(table)}


def measure_unsigned(
    arguments: argparse.Namespace, paths: list[Path], budget: float | None
) -> dict[str, Any]:
    """Pictures that were never signed, looked up among those that were, until the time is over."""
    ends = time.monotonic() + 60 * arguments.minutes
    repository = open_repository("sqlite://")
    sign(repository, paths[: arguments.signed], arguments.seed, not arguments.no_watermark)
    counts: dict[str, Counts] = {}
    done = 0
    for path in paths[arguments.signed :]:
        if time.monotonic() > ends:
            break
        look(repository, read_image(path).pixels, None, path.parent.name, budget, counts)
        done += 1
        if done % 100 == 0:
            print(done, {way: (c.wrong, c.similar) for way, c in counts.items()}, flush=True)
    print("not signed", {way: (c.wrong, c.related, c.missed) for way, c in counts.items()}, flush=True)
    table = summary({"not signed": counts})
    return {"count": done, "table": table, "budget": budget}


def summary(table: dict[str, dict[str, Counts]]) -> list[dict[str, Any]]:
    """Rows for the report."""
    return [
        {
            "condition": condition,
            "way": way,
            "right": c.right,
            "wrong": c.wrong,
            "related": c.related,
            "missed": c.missed,
            "similar": c.similar,
            "ms": 1e3 * float(np.median(c.seconds)),
        }
        for condition, ways in table.items()
        for way, c in ways.items()
    ]


def report(arguments: argparse.Namespace) -> str:
    """The figures of all parts as Markdown."""
    parts = {p.stem: json.loads(p.read_text()) for p in sorted(arguments.work.glob("*.json"))}
    lines = ["# Recovery and look-up: measured figures", ""]
    where = f"Python {platform.python_version()}, {platform.machine()}, one thread."
    signed = parts.get("signed")
    if signed:
        lines += [
            f"{signed['count']} pictures ({signed['sizes']}) were recorded and copies of them looked up, "
            f"seed {signed['seed']}; {signed['unmarked']} could carry no mark. Marks were {_effort(signed)} "
            f"in each. {where}",
            "",
            "| copies | way | right | of | wrong | not found | median ms |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in signed["table"]:
            total = row["right"] + row["wrong"] + row["missed"]
            share = f"{row['right']} ({100 * row['right'] / total:.1f} %)"
            cells = (row["condition"], row["way"], share, total, row["wrong"], row["missed"])
            lines.append("| " + " | ".join(map(str, cells)) + f" | {row['ms']:.0f} |")
        lines.append("")
    for unsigned in (parts[name] for name in ("unsigned", "searched") if name in parts):
        lines += [
            f"{unsigned['count']:,} other pictures that were never signed were looked up among them. "
            f"Marks were {_effort(unsigned)} in each. {unsigned['doubles']} pictures that the collection "
            "holds twice were set aside.",
            "",
            "| way | recovered although not signed | of these from the same folder | not recovered | "
            "of these noted as similar |",
            "|---|---|---|---|---|",
        ]
        for row in unsigned["table"]:
            cells = (row["way"], row["wrong"], row["related"], row["missed"], row["similar"])
            lines.append("| " + " | ".join(map(str, cells)) + " |")
        lines.append("")
    if {"unsigned", "searched"} & set(parts):
        lines += [
            "Pictures from the same folder may be other frames, edits or variants of one picture. Such a "
            "picture is noted as similar, and its credential is not carried over, see service.md.",
            "",
        ]
    lines += [
        "*looks*: fingerprint, then regions, re-checked by the sketch. *mark*: the watermark's payload, "
        "re-checked by the sketch. Times hold reading the mark and all look-ups, not decoding.",
        "",
    ]
    if "lookups" in parts:
        lines += [f"Look-ups in a SQLite repository of {parts['lookups']['entries']:,} records:", ""]
        lines += ["| look-up | median ms | 99 % ms |", "|---|---|---|"]
        for name, median, high in parts["lookups"]["rows"]:
            lines.append(f"| {name} | {median:.1f} | {'' if high is None else f'{high:.1f}'} |")
        lines.append("")
    lines.append("Measured by `python benchmarks/repository.py --images FOLDER`.")
    return "\n".join(lines) + "\n"


def _effort(part: dict[str, Any]) -> str:
    if part["budget"] is None:
        return "not looked for"
    if part["budget"] == 0:
        return "looked for without the search over scales and turns"
    return f"looked for up to {part['budget']:g} s"


def main() -> None:
    docs = Path(__file__).parents[1] / "docs"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="folder of pictures")
    parser.add_argument("--part", choices=[*PARTS, "report", "all"], default="all")
    parser.add_argument("--signed", type=int, default=200)
    parser.add_argument("--unsigned", type=int, default=2000)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=float, default=5.0, help="seconds for reading one mark")
    parser.add_argument("--minutes", type=float, default=1e6, help="ends 'unsigned' and 'searched' early")
    parser.add_argument("--no-watermark", action="store_true")
    parser.add_argument("--work", type=Path, default=Path("recovery-benchmark"))
    parser.add_argument("--out", type=Path, default=docs / "recovery-figures.md")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    if arguments.no_watermark:
        arguments.budget = None
    arguments.work.mkdir(parents=True, exist_ok=True)
    chosen = {arguments.part} if arguments.part != "all" else set(PARTS)
    if chosen & {"signed", "unsigned", "searched"}:
        if arguments.images is None:
            parser.error("--images is needed for this part")
        total = arguments.signed + arguments.unsigned
        paths, doubles = draw_pictures(arguments.images, total, arguments.seed)
        if len(paths) <= arguments.signed:
            parser.error(f"{arguments.images} holds {len(paths)} usable pictures")
        facts = {"seed": arguments.seed, "budget": arguments.budget, "doubles": doubles}
        # Searching for marks takes most of the time; where they would lie untouched costs nothing.
        quick = None if arguments.no_watermark else 0.0
        measures: dict[str, Callable[[], dict[str, Any]]] = {
            "signed": lambda: measure_signed(arguments, paths),
            "unsigned": lambda: measure_unsigned(arguments, paths, quick),
            "searched": lambda: measure_unsigned(arguments, paths, arguments.budget),
        }
        for name, measure in measures.items():
            if name in chosen:
                (arguments.work / f"{name}.json").write_text(json.dumps(facts | measure(), indent=1))
    if "lookups" in chosen:
        rows = time_lookups(arguments.entries)
        found = json.dumps({"entries": arguments.entries, "rows": rows}, indent=1)
        (arguments.work / "lookups.json").write_text(found)
    arguments.out.write_text(report(arguments))


if __name__ == "__main__":
    main()
