"""Recovery of stripped images, false recovery, and look-up time of the manifest repository.

    python benchmarks/repository.py --images FOLDER [--signed 200] [--unsigned 2000] [--entries 1000000]

FOLDER holds any pictures, at least as many as are signed and unsigned together. The pictures are
drawn with a seed; pictures that the folder holds twice are set aside first (mean difference below
8 grey levels at 128 x 128), since finding those would be right. Writes ``docs/recovery-figures.md``.
"""

from __future__ import annotations

import argparse
import platform
import sqlite3
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from countermark.core.errors import CountermarkError
from countermark.core.images import iter_image_paths, read_image
from countermark.core.perturb import perturb
from countermark.core.seeds import rng
from countermark.provenance.fingerprint import BYTES, REGIONS
from countermark.provenance.recovery import recover
from countermark.provenance.repository import Repository, open_repository, record_for

CONDITIONS = ("none", "jpeg:50", "resize:0.5", "crop:0.75", "screenshot")
WAYS = ("mark and looks", "looks only", "mark only")
SAME_PICTURE = 8.0


@dataclass
class Counts:
    """Right, wrong and missed recoveries of one condition and way, and the time they took."""

    right: int = 0
    wrong: int = 0
    missed: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.right + self.wrong + self.missed


def draw_pictures(folder: Path, count: int, seed: int) -> tuple[list[Path], int]:
    """``count`` readable pictures that differ from each other, and how many doubles were set aside."""
    paths = list(iter_image_paths([folder]))
    paths = [paths[k] for k in rng(seed, "pictures").permutation(len(paths))]
    chosen: list[Path] = []
    small = np.zeros((count, 128 * 128), np.uint8)
    doubles = 0
    for path in paths:
        try:
            pixels = read_image(path).pixels
        except CountermarkError:
            continue
        if min(pixels.shape[:2]) < 200:
            continue
        grey = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (128, 128), interpolation=cv2.INTER_AREA)
        seen = small[: len(chosen)].astype(np.int16)
        if len(chosen) and np.abs(seen - grey.ravel().astype(np.int16)).mean(1).min() < SAME_PICTURE:
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
        payload = rng(seed, "payload", k).bytes(8)
        if marked:
            from countermark.provenance import watermark

            pixels = watermark.embed(pixels, payload)
        record = record_for(
            pixels, manifest_id=f"urn:c2pa:{k}", store=b"x", sha256=f"{k:064x}", payload=payload
        )
        repository.add(record)
        pictures.append(pixels)
    return pictures


def look(
    repository: Repository, pixels: np.ndarray, expected: str | None, marked: bool, counts: dict[str, Counts]
) -> None:
    """Looks one picture up in every way and counts."""
    reading = None
    started = time.perf_counter()
    if marked:
        from countermark.provenance import watermark

        reading = watermark.read(pixels)
    read_seconds = time.perf_counter() - started
    for way in WAYS if marked else ("looks only",):
        started = time.perf_counter()
        mark = None if way == "looks only" else reading
        found = recover(pixels, repository, reading=mark)
        if way == "mark only" and found is not None and found.method != "mark":
            found = None
        seconds = time.perf_counter() - started + (0 if way == "looks only" else read_seconds)
        entry = counts.setdefault(way, Counts())
        entry.seconds.append(seconds)
        if found is None:
            entry.missed += 1
        elif found.record.manifest_id == expected:
            entry.right += 1
        else:
            entry.wrong += 1


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
                "VALUES (?, ?, '', ?, '2026', '', x'00')",
                [(k, f"urn:c2pa:{k}", h[:8].tobytes()) for k, h in zip(keys, hashes, strict=True)],
            )
            rows = [(k, h.tobytes()) for k, h in zip(keys, hashes, strict=True)]
            connection.executemany("INSERT INTO fingerprints VALUES (?, ?)", rows)
            rows = [(k, w.tobytes()) for k, w in zip(keys, windows, strict=True)]
            connection.executemany("INSERT INTO regions VALUES (?, ?)", rows)


def time_lookups(entries: int) -> list[tuple[str, float, float]]:
    """(what, median, 99th percentile) in milliseconds at ``entries`` records."""
    draw = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifests.db"
        fill(path, entries)
        with open_repository(f"sqlite:///{path}") as repository:
            started = time.perf_counter()
            repository.warm()
            rows = [("loading all hashes into memory, once", 1e3 * (time.perf_counter() - started), np.nan)]
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


def report(
    table: dict[str, dict[str, Counts]],
    lookups: list[tuple[str, float, float]],
    arguments: argparse.Namespace,
    doubles: int,
    sizes: str,
) -> str:
    """The figures as Markdown."""
    lines = ["# Recovery and look-up: measured figures", ""]
    lines.append(
        f"{arguments.signed} pictures ({sizes}) were recorded, copies of them were looked up, and so were "
        f"{arguments.unsigned:,} other pictures. {doubles} pictures that the collection holds twice were "
        f"set aside. Seed {arguments.seed}. Python {platform.python_version()}, {platform.machine()}, one thread."
    )
    lines += ["", "| pictures | way | right | wrong | not found | median ms |", "|---|---|---|---|---|---|"]
    for condition, ways in table.items():
        for way, counts in ways.items():
            share = f"{counts.right} ({100 * counts.right / counts.total:.1f} %)"
            right = "" if condition == "not signed" else share
            milliseconds = 1e3 * float(np.median(counts.seconds))
            lines.append(
                f"| {condition} | {way} | {right} | {counts.wrong} | {counts.missed} | {milliseconds:.0f} |"
            )
    lines += [
        "",
        "*looks*: fingerprint, then regions, re-checked by the sketch. *mark*: the watermark's payload, "
        "re-checked by the sketch. Times hold reading the mark and all look-ups, not decoding.",
        "",
    ]
    if lookups:
        lines += [f"Look-ups in a SQLite repository of {arguments.entries:,} records:", ""]
        lines += ["| look-up | median ms | 99 % ms |", "|---|---|---|"]
        for name, median, high in lookups:
            lines.append(f"| {name} | {median:.1f} | {'' if np.isnan(high) else f'{high:.1f}'} |")
        lines.append("")
    lines.append("Measured by `python benchmarks/repository.py --images FOLDER`.")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--signed", type=int, default=200)
    parser.add_argument("--unsigned", type=int, default=2000)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-watermark", action="store_true")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1] / "docs" / "recovery-figures.md"
    )
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    marked = not arguments.no_watermark
    paths, doubles = draw_pictures(arguments.images, arguments.signed + arguments.unsigned, arguments.seed)
    if len(paths) < arguments.signed + 1:
        parser.error(f"{arguments.images} holds {len(paths)} usable pictures")
    repository = open_repository("sqlite://")
    pictures = sign(repository, paths[: arguments.signed], arguments.seed, marked)
    sides = sorted(min(p.shape[:2]) for p in pictures)
    sizes = f"shorter side {sides[0]} to {sides[-1]} px, median {sides[len(sides) // 2]}"
    table: dict[str, dict[str, Counts]] = {}
    for condition in CONDITIONS:
        counts = table.setdefault(condition, {})
        for k, pixels in enumerate(pictures):
            copy = perturb(condition, pixels, rng(arguments.seed, condition, k))
            look(repository, copy, f"urn:c2pa:{k}", marked, counts)
        print(condition, {way: (c.right, c.wrong, c.missed) for way, c in counts.items()}, flush=True)
    counts = table.setdefault("not signed", {})
    for path in paths[arguments.signed :]:
        look(repository, read_image(path).pixels, None, marked, counts)
    arguments.unsigned = len(paths) - arguments.signed
    print("not signed", {way: (c.wrong, c.missed) for way, c in counts.items()}, flush=True)
    lookups = time_lookups(arguments.entries) if arguments.entries else []
    arguments.out.write_text(report(table, lookups, arguments, doubles, sizes))


if __name__ == "__main__":
    main()
