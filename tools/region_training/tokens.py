"""Would patch tokens of the tower help? A linear head on them beside the region network, on the same crops.

    python -m region_training.tokens CUTTINGS STATE --pieces FOLDER

Crops of 224 x 224 with an exchanged part: 120 of the part ``train`` for the head, 60 of ``test`` to measure
on (pieces of held-out sources). Prints the mean AUROC of patches of 16 x 16 pixels; *together* is the sum of
both maps, each scaled to its own spread.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from countermark.core.images import Pixels
from countermark.core.perturb import perturb
from countermark.core.seeds import rng
from countermark.core.stats import auroc
from countermark.detectors.regions.engine import RegionEngine
from countermark.detectors.towers.engine import TowerEngine
from countermark.detectors.towers.library import load_tower
from countermark.detectors.towers.shape import GRID
from region_training.network import RegionNetwork, folded
from region_training.pictures import Composer, load_cuttings
from region_training.train import load_pieces

SIDE = 224
BLOCKS = {"6": (6,), "8": (8,), "6+8+10": (6, 8, 10)}


def drawn(folder: Path, count: int, pieces: list[Pixels], seed: int) -> list[tuple[Pixels, np.ndarray]]:
    """Crops and the share of every patch that was exchanged; nothing was done to them later."""
    composer = Composer(load_cuttings(folder), pieces, side=SIDE, untouched=0)
    found = []
    for number in range(count):
        picture, mask = composer.exchanged(number % len(composer.cuttings), rng(seed, "tokens", number))
        found.append((picture, cv2.resize(mask, (GRID, GRID), interpolation=cv2.INTER_AREA)))
    return found


def patches(logits: np.ndarray) -> np.ndarray:
    return cv2.resize(logits, (GRID, GRID), interpolation=cv2.INTER_AREA)


def mean_auc(maps: list[np.ndarray], shares: list[np.ndarray]) -> float:
    pairs = [(m, s > 0.5) for m, s in zip(maps, shares, strict=True)]
    return float(np.mean([auroc(s.ravel().astype(int), m.ravel()) for m, s in pairs if 0 < s.sum() < s.size]))


def scaled(field: np.ndarray) -> np.ndarray:
    smooth = cv2.blur(field.astype(np.float32), (3, 3))
    return (smooth - smooth.mean()) / (smooth.std() + 1e-6)


def token_maps(
    tower: TowerEngine, blocks: tuple[int, ...], learnt: list, measured: list, spec: str
) -> list[np.ndarray]:
    """A logistic regression on the tokens of ``learnt``, on those of ``measured``."""

    def tokens(pictures: list) -> np.ndarray:
        views = np.stack([perturb(spec, picture) for picture, _ in pictures])
        return np.concatenate([part[:, 1:] for part in tower.tokens(views, blocks)], axis=2)

    x, y = tokens(learnt), np.stack([share.ravel() for _, share in learnt])
    clear = (y > 0.6) | (y < 0.05)
    mean, spread = x.mean(axis=(0, 1)), x.std(axis=(0, 1)) + 1e-3
    model = LogisticRegression(C=1e-3, max_iter=150)
    model.fit(((x - mean) / spread)[clear][::2], (y[clear] > 0.6)[::2])
    z = (tokens(measured) - mean) / spread
    return [model.decision_function(each).reshape(GRID, GRID) for each in z]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cuttings", type=Path)
    parser.add_argument("state", type=Path)
    parser.add_argument("--pieces", type=Path, required=True)
    options = parser.parse_args()
    network = RegionNetwork()
    network.load_state_dict(torch.load(options.state, weights_only=True)["network"])
    engine, tower = RegionEngine(folded(network.eval())), load_tower("clip-vit-b16", 10).engine
    learnt = drawn(options.cuttings / "train", 120, load_pieces(options.pieces, most=60), 1)
    measured = drawn(options.cuttings / "test", 60, load_pieces(options.pieces, most=60, apart=True), 2)
    shares = [share for _, share in measured]
    for spec in ("none", "jpeg:75"):
        own = [patches(engine.logits(perturb(spec, picture))) for picture, _ in measured]
        print(spec, "network", round(mean_auc([scaled(m) for m in own], shares), 3), flush=True)
        for name, blocks in BLOCKS.items():
            maps = token_maps(tower, blocks, learnt, measured, spec)
            both = [scaled(one) + scaled(other) for one, other in zip(own, maps, strict=True)]
            alone = round(mean_auc([scaled(m) for m in maps], shares), 3)
            print(spec, "tokens", name, alone, "together", round(mean_auc(both, shares), 3), flush=True)


if __name__ == "__main__":
    main()
