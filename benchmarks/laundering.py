"""Does the learned laundering policy beat random search? Hundreds of searches on one table of scores.

    python benchmarks/laundering.py default CORPUS --pictures 16 --searches 400 --out docs

Scores every sequence of two of the everyday edits on synthetic pictures that the detector finds, once. The
searches then ask that table and no longer the detector, so that many can be run: each is judged on a quarter
of the pictures, drawn anew, and searches on the others. With ``--scores FILE`` the table is kept, picture by
picture, and taken up again. Writes ``laundering-searches.json``.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path

import numpy as np

from countermark.app.adversaries.learned import learned_search
from countermark.app.adversaries.racing import Trials, random_search, trimmed
from countermark.app.adversaries.run import found_images
from countermark.app.adversaries.search import EDITS, hidden
from countermark.core.corpus import read_corpus
from countermark.core.perturb import perturb
from countermark.core.seeds import rng
from countermark.detectors import load_detector

PER_TRIAL = 8


def luckiest(trials: Trials, edits: int, length: int, generator: np.random.Generator):
    """Random search without a race: eight pictures a sequence, the lowest mean wins."""
    means = {}
    while trials.left >= PER_TRIAL:
        sequence = trimmed(generator.integers(edits, size=length).tolist())
        means[sequence] = np.mean([trials.round([sequence])[0] for _ in range(PER_TRIAL)])
    return sorted((s for s in means if s), key=means.get)


SEARCHES = {"random, no race": luckiest, "random": random_search, "learned": learned_search}


def scored(model, pictures, specs: list[str], file: Path | None) -> np.ndarray:
    """P(synthetic), float [pictures, specs]; rows already in ``file`` are not scored again."""
    rows = dict(np.load(file)) if file and file.exists() else {}
    for number, picture in enumerate(pictures):
        if str(number) not in rows:
            edited = [perturb(spec, picture, rng(0, spec, number)) for spec in specs]
            rows[str(number)] = np.asarray(model.score(edited))
            if file:
                np.savez(file, **rows)
        print(f"{number + 1} of {len(pictures)} pictures", flush=True)
    return np.array([rows[str(number)] for number in range(len(pictures))])


def simulate(scores: np.ndarray, place: dict, likely: float, queries: int, searches: int) -> dict:
    """By kind of search: what stays found and the value, on unseen and on seen pictures, [searches, 4]."""
    value = np.array([hidden(row, likely) for row in scores])
    results = {kind: [] for kind in SEARCHES}
    for number in range(searches):
        order = rng(number, "apart").permutation(len(scores))
        held, seen = order[: len(order) // 4], order[len(order) // 4 :]

        def ask(sequences, picture: int, seen=seen) -> np.ndarray:
            return value[seen[picture], [place[s] for s in sequences]]

        for kind, run in SEARCHES.items():
            generator = rng(number, kind)
            trials = Trials(ask, pictures=len(seen), queries=queries, generator=generator)
            best = place[run(trials, len(EDITS), 2, generator)[0]]
            assert trials.left == 0
            results[kind].append(
                [
                    figure
                    for own in (held, seen)
                    for figure in (np.mean(scores[own, best] >= likely), value[own, best].mean())
                ]
            )
    return {kind: np.array(rows) for kind, rows in results.items()}


def summary(values: np.ndarray) -> dict:
    """Mean with a 95 % interval over searches (normal approximation)."""
    mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    return {"value": mean, "low": mean - 1.96 * error, "high": mean + 1.96 * error, "n": len(values)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("detector")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--searches", type=int, default=400)
    parser.add_argument("--queries", type=int, nargs="+", default=[96, 192, 384])
    parser.add_argument("--scores", type=Path, default=None, help=".npz with the table; made if missing")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    options = parser.parse_args()
    model = load_detector(options.detector)
    likely = float(model.thresholds(0.01).likely)
    rows, pictures = found_images(model, read_corpus(options.corpus), likely, options.pictures, 0)
    sequences = list(dict.fromkeys(trimmed(pair) for pair in product(range(len(EDITS)), repeat=2)))
    specs = ["+".join(EDITS[edit] for edit in sequence) or "none" for sequence in sequences]
    scores = scored(model, pictures, specs, options.scores)
    place = {sequence: number for number, sequence in enumerate(sequences)}
    best = int(np.argmin((scores >= likely).mean(axis=0) + 1e-6 * scores.mean(axis=0)))
    document = {
        "detector": model.name,
        "sha256": str(model.card.sha256),
        "threshold": likely,
        "pictures": len(pictures),
        "sources": len({row.source or row.generator for row in rows}),
        "sequences": len(sequences),
        "best sequence": {"edits": specs[best], "stays found": float((scores[:, best] >= likely).mean())},
        "searches": options.searches,
        "budgets": {},
    }
    for queries in options.queries:
        found = simulate(scores, place, likely, queries, options.searches)
        entry = {}
        for column, name in enumerate(("found, unseen", "value, unseen", "found, seen", "value, seen")):
            for kind, values in found.items():
                entry[f"{name}: {kind}"] = summary(values[:, column])
                if kind != "learned":
                    gap = found["learned"][:, column] - values[:, column]
                    entry[f"{name}: learned less {kind}"] = summary(gap)
        document["budgets"][str(queries)] = entry
        for name, line in entry.items():
            print(f"{queries} {name:46} {line['value']:+.3f} ({line['low']:+.3f} to {line['high']:+.3f})")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "laundering-searches.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
