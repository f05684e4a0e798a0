"""Does the learned laundering policy beat random search, the longer the sequences?

    python benchmarks/laundering_lengths.py --searches 200 --out docs

Pictures come from shipped generators and the detector is ``gan``, whose scores cost a millisecond, so that
hundreds of pairs of searches can be run, each pair on pictures of its own and judged on others that neither
search has seen. Both searches ask for the same number of scores. Writes ``laundering-lengths.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from countermark.app.adversaries.search import hidden, search
from countermark.core.perturb import perturb
from countermark.core.seeds import rng
from countermark.detectors import load_detector
from countermark.generators import load_generator

GENERATORS = ("clothing-64", "bloodcells-128")
KINDS = ("random", "learned")
SEEN, UNSEEN = 50, 100


def made(model, likely: float, each: int):
    """Generated pictures that the detector finds, ``each`` of either generator."""
    pictures = []
    for name in GENERATORS:
        generator, found, start = load_generator(name), [], 0
        while len(found) < each:
            batch = list(generator.sample(64, seed=start))
            found += [p for p, score in zip(batch, model.score(batch), strict=True) if score >= likely]
            start += 64
        pictures += found[:each]
    return pictures


def pair(model, pictures, likely: float, length: int, queries: int, seed: int) -> np.ndarray:
    """What stays found and the value on unseen pictures, [2 kinds, 2]."""
    order = rng(seed, "pair").permutation(len(pictures))
    seen, unseen = [pictures[i] for i in order[:SEEN]], [pictures[i] for i in order[SEEN:][:UNSEEN]]
    rows = []
    for kind in KINDS:
        result = search(
            seen, model.score, kind=kind, budget=queries // 8, per_trial=8, length=length, seed=seed,
            likely=likely,
        )  # fmt: skip
        spec = result.best(1)[0]
        scores = model.score([perturb(spec, p, rng(seed, spec, n)) for n, p in enumerate(unseen)])
        rows.append([np.mean(scores >= likely), hidden(scores, likely).mean()])
    return np.array(rows)


def summary(values: np.ndarray) -> dict:
    """Mean with a 95 % interval over searches (normal approximation)."""
    mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    return {"value": mean, "low": mean - 1.96 * error, "high": mean + 1.96 * error, "n": len(values)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--lengths", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--queries", type=int, nargs="+", default=[96, 192])
    parser.add_argument("--max-fpr", type=float, default=0.05, help="sets the threshold")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    options = parser.parse_args()
    model = load_detector("gan")
    likely = float(model.thresholds(options.max_fpr).likely)
    pictures = made(model, likely, 100)
    document = {
        "detector": model.name,
        "sha256": str(model.card.sha256),
        "generators": list(GENERATORS),
        "max_fpr": options.max_fpr,
        "threshold": likely,
        "pictures": {"seen": SEEN, "unseen": UNSEEN},
        "rows": [],
    }
    for length in options.lengths:
        for queries in options.queries:
            found = np.array(
                [pair(model, pictures, likely, length, queries, n) for n in range(options.searches)]
            )
            gap = found[:, 1] - found[:, 0]
            row = {
                "length": length,
                "queries": queries,
                "random": summary(found[:, 0, 0]),
                "learned": summary(found[:, 1, 0]),
                "learned less random": summary(gap[:, 0]),
                "learned less random, value": summary(gap[:, 1]),
            }
            document["rows"].append(row)
            print(length, queries, *(
                f"{name} {v['value']:+.3f} ({v['low']:+.3f} to {v['high']:+.3f})"
                for name, v in row.items() if isinstance(v, dict)
            ), flush=True)  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "laundering-lengths.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
