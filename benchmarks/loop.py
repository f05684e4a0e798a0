"""The loop, closed with a figure: what a detector learns from the built-in generators alone.

    python benchmarks/loop.py --old NAME ... --new NAME ... --photos SOURCE ... --real CORPUS --judge CORPUS

Detectors are fitted on real pictures (``--photos``, the generators' own training sets, and the real side of
``--real``, which is of many sources) against pictures of a set of generators and twins of the real pictures
(through the shipped autoencoder); no picture of any other generator is seen. They are judged on ``--judge``,
whose sources, real and generated, are all others. Compared: twins alone, the old generators, the new ones,
and each with twins.

Both classes go through the same hands: a random crop, to 224 px, half of them through a smaller size
first, JPEG of random quality. Features are those of the CLIP tower (class token, mean and spread of the
patches after three blocks); the head is a logistic regression, every source with the same weight.
Intervals: bootstrap over pictures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from countermark.core.corpus import read_corpus
from countermark.core.errors import ImageError
from countermark.core.files import atomic_write
from countermark.core.images import Pixels, read_image
from countermark.core.intervals import bootstrap
from countermark.core.perturb import perturb
from countermark.core.results import Interval
from countermark.core.seeds import derive, rng
from countermark.core.stats import weighted_auroc
from countermark.detectors.towers.library import load_engine
from countermark.generators import load_generator
from countermark.generators.base import to_pixels, to_tensor
from countermark.generators.data.pictures import DataConfig, load_pictures
from countermark.generators.latents.autoencoder import decode, encode

SIDE = 224
BLOCKS = (6, 8, 10)


def view(pixels: Pixels, draw: np.random.Generator) -> Pixels:
    """One view of a picture, as both classes are seen: uint8 [224, 224, 3]."""
    short = min(pixels.shape[:2])
    side = min(short, SIDE) if short > SIDE and draw.random() < 0.7 else short
    top, left = (int(draw.integers(length - side + 1)) for length in pixels.shape[:2])
    crop = pixels[top : top + side, left : left + side]
    if draw.random() < 0.5:
        smaller = max(int(side * draw.uniform(0.6, 1.0)), 64)
        crop = cv2.resize(crop, (smaller, smaller), interpolation=cv2.INTER_AREA)
    way = cv2.INTER_AREA if crop.shape[0] > SIDE else cv2.INTER_CUBIC
    large = cv2.resize(np.ascontiguousarray(crop), (SIDE, SIDE), interpolation=way)
    return perturb(f"jpeg:{int(draw.integers(60, 97))}", large)


def features(images: Sequence[Pixels], seed: int, label: str, cache: Path) -> np.ndarray:
    """Float32 [N, D] of one view of each picture; kept in ``cache``."""
    path = cache / f"{derive(seed, label, len(images)):016x}.npy"
    if path.exists():
        found: np.ndarray = np.load(path, allow_pickle=False)
        return found
    views = np.stack([view(image, rng(seed, label, number)) for number, image in enumerate(images)])
    engine = load_engine("clip-vit-b16", max(BLOCKS))
    found = np.concatenate(
        [
            engine.pooled(views[i : i + 16], BLOCKS).reshape(len(views[i : i + 16]), -1)
            for i in range(0, len(views), 16)
        ]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, found)
    return found


def twins(images: Sequence[Pixels]) -> list[Pixels]:
    """Pictures through the shipped autoencoder; uint8 RGB, sides cut to multiples of 8."""
    made = []
    with torch.no_grad():
        for image in images:
            height, width = (length - length % 8 for length in image.shape[:2])
            picture = to_tensor(image[None, :height, :width])
            made.append(to_pixels(decode(encode(picture)))[0])
    return made


def photographs(source: str, count: int, seed: int, side: int) -> np.ndarray:
    pictures = load_pictures(source, size=side, options=DataConfig(holdout=0.0), seed=seed)
    picks = rng(seed, "photographs", source).permutation(len(pictures))[:count]
    return pictures.images[picks]


def real_side(corpus: Path, count: int, each: int, seed: int) -> list[Pixels]:
    """Crops of 256 px at most of real pictures of a corpus, ``each`` of one source at most; as they came."""
    by_source: dict[str, list[Path]] = {}
    for path, row in read_corpus(corpus):
        if not row.is_synthetic:
            by_source.setdefault(row.source, []).append(path)
    picks = []
    for source, paths in sorted(by_source.items()):
        order = rng(seed, "real", source).permutation(len(paths))[:each]
        picks += [paths[i] for i in order]
    found = []
    for number in rng(seed, "real", "all").permutation(len(picks)):
        try:
            pixels = read_image(picks[number]).pixels
        except ImageError:
            continue
        draw = rng(seed, "real", str(picks[number].name))
        side = min(*pixels.shape[:2], 256) // 8 * 8
        top, left = (int(draw.integers(length - side + 1)) for length in pixels.shape[:2])
        found.append(np.ascontiguousarray(pixels[top : top + side, left : left + side]))
        if len(found) == count:
            break
    return found


def judged(corpus: Path, seed: int, count: int, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of the corpus that no fitting sees."""
    rows = [(path, row) for path, row in read_corpus(corpus)]
    rows = [rows[i] for i in rng(seed, "judge").permutation(len(rows))[:count]]
    images, labels = [], []
    for path, row in rows:
        try:
            images.append(read_image(path).pixels)
        except ImageError:
            continue
        labels.append(int(row.is_synthetic))
    return features(images, seed, f"judge {corpus}", cache), np.array(labels)


def fitted(real: list[np.ndarray], made: list[np.ndarray], test: np.ndarray, c: float) -> np.ndarray:
    """Scores of ``test`` by a head fitted on the sources given; every source and both classes count alike."""
    x = np.concatenate([*real, *made])
    y = np.repeat([0, 1], [sum(map(len, real)), sum(map(len, made))])
    weights = np.concatenate(
        [np.full(len(part), 1 / (len(part) * len(group))) for group in (real, made) for part in group]
    )
    scaler = StandardScaler().fit(x)
    head = LogisticRegression(C=c, max_iter=300).fit(scaler.transform(x), y, weights * len(x) / 2)
    scores: np.ndarray = head.decision_function(scaler.transform(test))
    return scores


def interval(labels: np.ndarray, scores: np.ndarray, seed: int) -> Interval:
    return bootstrap(lambda w: weighted_auroc(labels, scores, w), labels, seed=seed, bounds=(0.0, 1.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--old", nargs="+", required=True, help="names or weights of generators")
    parser.add_argument("--new", nargs="+", required=True)
    parser.add_argument("--photos", nargs="+", required=True, help="folders or archives")
    parser.add_argument("--real", type=Path, default=None, help="a labelled corpus, whose real side is taken")
    parser.add_argument("--real-count", type=int, default=400, help="most pictures of it")
    parser.add_argument("--judge", type=Path, required=True, help="a labelled corpus")
    parser.add_argument("--each", type=int, default=150, help="pictures of one source")
    parser.add_argument("--test", type=int, default=900, help="most pictures of the corpus")
    parser.add_argument("--side", type=int, default=128, help="of the photographs")
    parser.add_argument("--c", type=float, default=1e-3, help="inverse strength of the head's regularisation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs/loop"))
    parser.add_argument("--out", type=Path, default=Path("docs/benchmark-loop.md"))
    options = parser.parse_args()
    seed, cache = options.seed, options.work
    test, labels = judged(options.judge, seed, options.test, cache)
    real, copies = [], []
    for source in options.photos:
        images = photographs(source, options.each, seed, options.side)
        real.append(features(list(images), seed, f"real {source}", cache))
        copies.append(features(twins(list(images)), seed, f"twin {source}", cache))
    alike, twice = list(real), list(copies)  # at the side of what the generators draw
    if options.real is not None:
        crops = real_side(options.real, options.real_count, 6, seed)
        small = [cv2.resize(c, (options.side, options.side), interpolation=cv2.INTER_AREA) for c in crops]
        # They count as many sources, since they are: one for each hundred.
        parts = max(len(crops) // 100, 1)
        for label, images, to, of in (
            ("native", crops, real, copies), ("small", small, alike, twice),
        ):  # fmt: skip
            to += np.array_split(features(images, seed, f"real {options.real} {label}", cache), parts)
            of += np.array_split(features(twins(images), seed, f"twin {options.real} {label}", cache), parts)
        real, copies = real + alike[len(options.photos) :], copies + twice[len(options.photos) :]
    made = {
        name: features(
            list(load_generator(name).sample(options.each, seed=seed + 5000)), seed, f"made {name}", cache
        )
        for name in dict.fromkeys([*options.old, *options.new])
    }
    old, new = ([made[name] for name in names] for names in (options.old, options.new))
    # Generators alone are held against real pictures of their own side: or size would tell the classes apart.
    trials = {
        "twins alone": (real, copies), "old generators": (alike, old), "new generators": (alike, new),
        "old generators and twins": (real, old + copies), "new generators and twins": (real, new + copies),
    }  # fmt: skip
    lines = [
        "# What the built-in generators teach a detector\n",
        f"Judged on {len(labels)} pictures ({int(labels.sum())} generated, of sources that no fitting saw); "
        f"{options.each} pictures of each generator and training set in fitting"
        + (f", {options.real_count} of other real sources" if options.real else "")
        + ". AUROC, 95 % intervals over pictures.\n",
        "| fitted on photographs and | AUROC |", "|---|---|",
    ]  # fmt: skip
    record = {}
    for name, (shown, pictures) in trials.items():
        found = interval(labels, fitted(shown, pictures, test, options.c), seed)
        record[name] = [found.value, found.low, found.high]
        lines.append(f"| {name} | {found.value:.3f} ({found.low:.3f}–{found.high:.3f}) |")
        print(lines[-1], flush=True)
    note = (__doc__ or "").partition("Detectors are fitted")[2]
    named = [
        f"\nOld: {', '.join(options.old)}. New: {', '.join(options.new)}.\n",
        "Detectors are fitted" + note,
    ]
    atomic_write(cache / "figures.json", json.dumps(record, indent=1), overwrite=True)
    atomic_write(options.out, "\n".join([*lines, *named]), overwrite=True)


if __name__ == "__main__":
    main()
