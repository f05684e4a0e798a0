"""From a trained state and its head to the weights that ship: score, thresholds, card.

    python -m region_training.ship STATE CORPUS CUTTINGS --heads HEAD.npz … --pieces FOLDER --out FOLDER

Heads are what ``region_training.cells fit`` left, in the order of ``cells.TAKEN``.

Everything is fitted on the sources of the part ``calibrate``: the score on edited pictures beside their
originals, its threshold on untouched photographs (every source counting alike, with room for sources that
lie higher, under the delivery that asks for the most), the threshold of masks on the edited pictures that are
found.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression

from countermark.core.corpus import read_corpus
from countermark.core.images import Pixels, read_image
from countermark.core.perturb import perturb
from countermark.core.weights import WeightsCard, save_weights
from countermark.detectors.regions.cells import HEAD_SHAPES, TAKEN, head_name, load_cell_tower
from countermark.detectors.regions.finder import (
    FEATURES,
    SCORE_NAMES,
    RegionFinder,
    chance_of_cells,
    described,
)
from countermark.detectors.regions.masks import mask_of, refined
from region_training.cases import made_cases
from region_training.network import trained
from region_training.pairs import chosen
from region_training.train import load_pieces

DELIVERIES = {"native": "none", "q90": "jpeg:90", "q75": "jpeg:75"}
#: Share of untouched photographs that may be called, half of what is promised: other sources differ.
MAX_SHARE = 0.01
#: Inverse of the penalty on the score's weights, features in spreads.
STRENGTH = 0.005
#: Candidates for the threshold of a mask.
CANDIDATES = np.linspace(0.2, 0.9, 15)
#: Photographs are cut to this side: their upper left, on the grid of their JPEG.
LARGEST_SIDE = 896

LIMITS = [
    "Finds parts whose fine detail differs from the rest: generated, super-resolved, denoised, filled or put "
    "in from another picture. It does not know which of these it is.",
    "A part that was put in before a picture was made smaller or saved again as a JPEG is mostly missed: its "
    "place often shows in the map, and the threshold hides it.",
    "Text, frames and bars were shown to it as harmless; retouching, strong local blur and screens in a "
    "picture can still stand out.",
    "Wholly generated pictures look alike everywhere and are not its subject.",
]
DATA = [
    "Photographs of public repositories (the part 'train' of region_training.pairs), licences mostly not "
    "stated; parts exchanged for copies by an autoencoder (TAEF2, MIT), by super-resolvers (Real-ESRGAN; "
    "waifu2x; this project's own), for pieces of generated pictures and of other photographs, and for "
    "classical inpainting.",
]


def photographs(corpus: Path, each: int) -> Iterator[tuple[str, Pixels]]:
    """Source and pixels of untouched photographs of the part ``calibrate``."""
    for row in chosen(list(read_corpus(corpus).rows), "calibrate", each):
        pixels = read_image(corpus / row.file_name).pixels
        yield row.source, np.ascontiguousarray(pixels[:LARGEST_SIDE, :LARGEST_SIDE])


def highest_share(scores: np.ndarray, sources: np.ndarray, share: float) -> float:
    """Just above the score that at most ``share`` of the weight exceeds, every source counting alike."""
    names, inverse, counts = np.unique(sources, return_inverse=True, return_counts=True)
    weights = 1 / (counts[inverse] * len(names))
    order = np.argsort(-scores, kind="stable")
    above = np.cumsum(weights[order])
    inside = int(np.searchsorted(above, share, side="right"))
    return float(np.nextafter(scores[order[min(inside, len(order) - 1)]], 2))


def above_sources(scores: np.ndarray, sources: np.ndarray, spreads: float = 2) -> float:
    """Two spreads above the mean of the sources' highest logits: a new source may lie higher than these."""
    logits = np.log(scores / (1 - scores))
    highest = [logits[sources == source].max() for source in np.unique(sources)]
    return float(1 / (1 + np.exp(-(np.mean(highest) + spreads * np.std(highest, ddof=1)))))


def f1(found: np.ndarray, mask: np.ndarray) -> float:
    both = float((found & mask).sum())
    return 2 * both / max(1.0, float(found.sum() + mask.sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("cuttings", type=Path)
    parser.add_argument("--heads", type=Path, nargs=len(TAKEN), required=True)
    parser.add_argument("--pieces", type=Path, required=True)
    parser.add_argument("--each", type=int, default=25)
    parser.add_argument("--one-of", type=int, default=1, help="Edited pictures: one of so many.")
    parser.add_argument("--keep", type=Path, help="Keep what the score is fitted on (.npz).")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    arrays = trained(options.state)
    for head, path in enumerate(options.heads):
        arrays |= {head_name(head, name): np.load(path)[name] for name in HEAD_SHAPES}
    nothing = (np.zeros(FEATURES), 0, 1, 0.5)
    scored = dict(zip(SCORE_NAMES, map(np.asarray, nothing), strict=True))
    blank = WeightsCard(name="regions", kind="detector", family="region-network")
    finder = RegionFinder(arrays | scored, blank, load_cell_tower())
    rows, labels, fields = [], [], []
    originals: dict[tuple[int, str], np.ndarray] = {}
    before: dict[str, list[tuple[np.ndarray, str]]] = {spec: [] for spec in DELIVERIES.values()}
    cases = list(made_cases(options.cuttings, load_pieces(options.pieces, most=60)))[:: options.one_of]
    for case in cases:
        assert case.edited is not None and case.original is not None and case.mask is not None
        for spec in DELIVERIES.values():
            edited = perturb(spec, case.edited)
            logits, cells = finder.maps(edited)
            key = (id(case.original), spec)
            if key not in originals:
                originals[key] = described(*finder.maps(perturb(spec, case.original)))
                before[spec].append((originals[key], case.source))
            rows += [described(logits, cells), originals[key]]
            labels += [1, 0]
            small = (case.mask.shape[1] // 2, case.mask.shape[0] // 2)
            field = cv2.resize(refined(chance_of_cells(cells, logits.shape), edited), small)
            fields.append((field, cv2.resize(case.mask.astype(np.uint8), small) > 0))
    print(len(cases), "edited pictures", flush=True)
    table = np.stack(rows)
    middle, spread = table.mean(axis=0), table.std(axis=0) + 1e-6
    model = LogisticRegression(C=STRENGTH, max_iter=2000).fit((table - middle) / spread, labels)
    weight = model.coef_[0] / spread
    bias = float(model.intercept_[0] - weight @ middle)

    def score(values: np.ndarray) -> np.ndarray:
        return 0.5 * (1 + np.tanh(0.5 * (values @ weight + bias)))

    thresholds, flagged = {}, {}
    # The originals of the edits are untouched pictures too, and smaller ones than photographs are.
    found: dict[str, tuple[list, list]] = {}
    for name, spec in DELIVERIES.items():
        found[name] = ([one for one, _ in before[spec]], [source for _, source in before[spec]])
    for source, pixels in photographs(options.corpus, options.each):
        for name, spec in DELIVERIES.items():
            found[name][0].append(described(*finder.maps(perturb(spec, pixels))))
            found[name][1].append(source)
    if options.keep is not None:
        kept = {name: np.stack(values) for name, (values, _) in found.items()}
        np.savez(options.keep, rows=table, labels=labels, sources=found["native"][1], **kept)
    for name, (scores, sources) in found.items():
        values, names = score(np.stack(scores)), np.array(sources)
        thresholds[name] = max(highest_share(values, names, MAX_SHARE), above_sources(values, names))
    threshold = max(thresholds.values())
    edited = score(np.stack(rows[::2]))
    for place, name in enumerate(DELIVERIES):
        flagged[name] = round(float((edited[place :: len(DELIVERIES)] >= threshold).mean()), 3)
    called = [pair for pair, value in zip(fields, edited, strict=True) if value >= threshold] or fields
    means = [np.mean([f1(mask_of(field, t), mask) for field, mask in called]) for t in CANDIDATES]
    best = float(CANDIDATES[int(np.argmax(means))])
    print("weight", weight, bias, "thresholds", thresholds, "found", flagged, "mask", best, max(means))
    numbers = (weight, bias, threshold, best)
    arrays |= {name: np.asarray(value, np.float32) for name, value in zip(SCORE_NAMES, numbers, strict=True)}
    count = len(found["native"][0])
    card = WeightsCard(
        name="regions",
        kind="detector",
        family="region-network",
        summary="Finds a part of a picture that does not fit the rest.",
        preprocessing={
            "input": "uint8 RGB at its own scale; blocks of 8 x 8 pixels on the picture's own grid"
        },
        training_data=DATA,
        trained={"command": "tools/region_training"},
        metrics={
            "calibrate": {
                "photographs": count,
                "sources": len(set(found["native"][1])),
                "share_called_at_most": MAX_SHARE,
                "threshold_by_delivery": {name: round(value, 4) for name, value in thresholds.items()},
                "edited_found": flagged,
                "mask_f1_of_found": round(float(max(means)), 3),
            }
        },
        limits=LIMITS,
    )
    small = {name: value.astype(np.float16) if value.size > 64 else value for name, value in arrays.items()}
    print(save_weights(options.out, small, card))


if __name__ == "__main__":
    main()
