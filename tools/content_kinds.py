"""Fits the estimator of a picture's kind on real pictures of the shipped list, out of clones.

    python tools/content_kinds.py MIRRORS --work CACHE.npz --out detectors/content

At most 12 photographs and 40 pictures of any other kind are taken of a source. What is measured is on whole
sources that the head has not met (five folds); the shipped head is fitted on all.
"""

from __future__ import annotations

import argparse
import collections
import io
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from countermark.core.seeds import rng
from countermark.core.weights import WeightsCard, save_weights
from countermark.detectors import load_detector
from countermark.detectors.content.estimate import WEIGHTS, KindHead
from countermark.detectors.recipes.corpora import Listed, read_list
from countermark.detectors.scoring.kinds import KINDS, kind_of
from countermark.detectors.scoring.views import ViewPlan, make_views

PHOTOGRAPHS, OTHERS = 12, 40
MAX_PIXELS = 30_000_000


def chosen(mirrors: Path, seed: int) -> list[Listed]:
    """Real pictures whose kind is known and whose repository is there, few of each source."""
    rows = [
        row for row in read_list() if row.label == "real" and kind_of(row.kind) and clone(mirrors, row.repo)
    ]
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    found = []
    for index in rng(seed, "kinds").permutation(len(rows)):
        row = rows[index]
        kind = kind_of(row.kind)
        if counts[row.source, kind] < (PHOTOGRAPHS if kind == "photograph" else OTHERS):
            counts[row.source, kind] += 1
            found.append(row)
    return found


def clone(mirrors: Path, repo: str) -> Path | None:
    """The folder of a repository's clone, or None."""
    folder = mirrors / repo.replace("/", "+")
    inside = [folder / "repo" / ".git", folder / "repo", folder / ".git", folder]
    return next((each for each in inside if (each / "objects").is_dir()), None)


def extract(rows: list[Listed], mirrors: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of the whole view, float16 [N, D], kinds and sources."""
    network = load_detector().network
    features, kinds, sources = [], [], []
    for row in rows:
        git = clone(mirrors, row.repo)
        data = subprocess.run(
            ["git", "-C", str(git), "cat-file", "blob", row.blob], capture_output=True
        ).stdout
        try:
            picture = Image.open(io.BytesIO(data))
            if picture.size[0] * picture.size[1] > MAX_PIXELS:
                continue
            picture.draft("RGB", (640, 640))
            pixels = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
        except (OSError, ValueError):
            continue
        view = make_views(pixels, ViewPlan(1, 0, 0))[0]
        features.append(network.view_features(view[None])[0].reshape(-1).astype(np.float16))  # type: ignore[attr-defined]
        kinds.append(kind_of(row.kind))
        sources.append(row.source)
    return np.stack(features), np.array(kinds), np.array(sources)


def fit(features: np.ndarray, kinds: np.ndarray) -> KindHead:
    """Logistic regression on standardised features, folded back into plain weights."""
    from sklearn.linear_model import LogisticRegression

    x = features.astype(np.float32)
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-3
    model = LogisticRegression(C=0.001, class_weight="balanced", max_iter=300).fit((x - mean) / scale, kinds)
    weight = (model.coef_ / scale).astype(np.float32)
    bias = (model.intercept_ - weight @ mean).astype(np.float32)
    return KindHead(weight, bias, tuple(str(name) for name in model.classes_))


def measure(features: np.ndarray, kinds: np.ndarray, sources: np.ndarray, seed: int) -> dict[str, object]:
    """Recall of every kind on whole sources held out, and what it is taken for."""
    names = np.unique(sources)
    fold_of = dict(zip(names, rng(seed, "folds").permutation(len(names)) % 5, strict=True))
    folds = np.array([fold_of[source] for source in sources])
    guessed = np.empty(len(kinds), dtype=kinds.dtype)
    sure = np.zeros(len(kinds))
    for fold in range(5):
        inside = folds == fold
        found = fit(features[~inside], kinds[~inside]).kinds(features[inside])
        guessed[inside] = [each.name for each in found]
        sure[inside] = [each.probability for each in found]
    table = {
        name: {other: int(((kinds == name) & (guessed == other)).sum()) for other in KINDS} for name in KINDS
    }
    named = sure >= 0.8
    return {
        "pictures": len(kinds),
        "sources": len(names),
        "right": round(float((guessed == kinds).mean()), 4),
        "named_at_0.8": round(float(named.mean()), 4),
        "right_when_named": round(float((guessed == kinds)[named].mean()), 4),
        "taken_for": table,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mirrors", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=WEIGHTS.parent)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not options.work.exists():
        features, kinds, sources = extract(chosen(options.mirrors, options.seed), options.mirrors)
        np.savez(options.work, features=features, kinds=kinds, sources=sources)
    stored = np.load(options.work)
    features, kinds, sources = (stored[name] for name in ("features", "kinds", "sources"))
    figures = measure(features, kinds, sources, options.seed)
    print(figures)
    arrays, config = fit(features, kinds).state()
    card = WeightsCard(
        name="kinds",
        kind="extractor",
        family="kinds",
        summary="The kind of a picture from the default detector's features of the whole view.",
        config=config,
        training_data=[
            f"{len(kinds)} real pictures of {len(set(sources))} sources of detectors/recipes/corpora.tsv"
        ],
        trained={"seed": options.seed, "command": "python tools/content_kinds.py"},
        metrics={"five folds over whole sources": figures},
        limits=["Real pictures only were learnt from; generated ones are named by what they look like."],
        licence="Apache-2.0",
    )
    save_weights(options.out, arrays, card)


if __name__ == "__main__":
    main()
