"""Trains the head of ``detectors.regions.cells``: what the tower's tokens say beside the region network.

    python -m region_training.cells gather STATE CUTTINGS ROWS --pieces FOLDER … --count 4000 [--seed 7]
    python -m region_training.cells fit ROWS HEAD.npz [--check ROWS2]

``gather`` draws pictures of 224 x 224 (``pictures.Composer``) and keeps what both networks say of them, in
files of 250 pictures; it may be interrupted and called again. ``fit`` trains the head on them and, with
``--check``, prints AUROC of cells and of pictures on rows of other sources after every pass; the pass with
the highest sum of both is kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from countermark.core.seeds import rng
from countermark.core.stats import auroc
from countermark.detectors.regions.cells import (
    CHANNELS,
    HIDDEN,
    JOINED,
    OWN,
    PROJECTED,
    SPREAD,
    TAKEN,
    TILE,
    TOWER,
    cell_means,
)
from countermark.detectors.regions.engine import RegionEngine
from countermark.detectors.regions.shape import EMBEDDED
from countermark.detectors.towers.library import load_engine
from countermark.detectors.towers.shape import GRID, WIDTH
from region_training.network import trained
from region_training.pictures import Composer, load_cuttings
from region_training.train import load_pieces, loss_of

EACH = 250
RATE, DECAY, DROPPED = 2e-3, 2e-2, 0.15
PASSES, BATCH = 7, 32


def gather(
    state: Path, cuttings: Path, rows: Path, pieces: list[Path], count: int, seed: int, untouched: float
) -> None:
    """Draws pictures and keeps tokens, embeddings and shares."""
    regions, tower = RegionEngine(trained(state)), load_engine(TOWER, TAKEN)
    composer = Composer(
        load_cuttings(cuttings),
        [piece for folder in pieces for piece in load_pieces(folder)],
        side=TILE,
        untouched=untouched,
    )
    print(len(composer.cuttings), "cuttings,", len(composer.pieces), "pieces", flush=True)
    rows.mkdir(parents=True, exist_ok=True)
    for first in range(0, count, EACH):
        target = rows / f"{first:06d}.npz"
        if target.exists():
            continue
        tokens, blocks, shares = [], [], []
        for number in range(first, min(count, first + EACH)):
            picture, mask = composer.draw(rng(seed, "cells", number))
            embedded = regions.embeddings(picture)
            own = np.concatenate([embedded, regions.compared(embedded)[..., None]], axis=2)
            blocks.append(cell_means(own).reshape(-1, EMBEDDED + 1).astype(np.float16))
            tokens.append(tower.tokens(picture[None], [TAKEN])[0][0, 1:].astype(np.float16))
            shares.append(cv2.resize(mask, (GRID, GRID), interpolation=cv2.INTER_AREA).ravel())
        part = target.with_suffix(".part.npz")
        np.savez(part, tokens=np.stack(tokens), blocks=np.stack(blocks), shares=np.stack(shares))
        part.replace(target)
        print(number + 1, flush=True)


def load_rows(folder: Path) -> dict[str, np.ndarray]:
    """Everything that ``gather`` kept."""
    parts = [np.load(path) for path in sorted(folder.glob("[0-9]*.npz")) if ".part" not in path.name]
    return {name: np.concatenate([part[name] for part in parts]) for name in ("tokens", "blocks", "shares")}


class CellNetwork(nn.Module):
    """The head, as ``CellEngine`` computes it, on whole tiles."""

    mean: Tensor
    spread: Tensor
    block_mean: Tensor
    block_spread: Tensor

    def __init__(self, tokens: np.ndarray, blocks: np.ndarray) -> None:
        super().__init__()
        for name, rows in (("", tokens), ("block_", blocks)):
            flat = rows[::8].reshape(-1, rows.shape[-1]).astype(np.float32)
            self.register_buffer(f"{name}mean", torch.from_numpy(flat.mean(axis=0)))
            self.register_buffer(f"{name}spread", torch.from_numpy(flat.std(axis=0) + 1e-3))
        self.project = nn.Linear(WIDTH, PROJECTED, bias=False)
        self.place = nn.Parameter(torch.zeros(GRID * GRID, PROJECTED))
        self.hidden = nn.Conv2d(JOINED, HIDDEN, 1)
        self.near = nn.Conv2d(HIDDEN, CHANNELS, 3, padding=1)
        self.wide = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=2, dilation=2)
        self.out = nn.Conv2d(CHANNELS, 1, 1)
        self.drop = nn.Dropout2d(DROPPED)

    def forward(self, tokens: Tensor, blocks: Tensor) -> Tensor:
        """[N, 196, 768] and [N, 196, 41] to logits [N, 14, 14]."""
        projected = self.project((tokens - self.mean) / self.spread) + self.place
        own = torch.cat([projected, (blocks - self.block_mean) / self.block_spread], dim=2)
        mean = own.mean(dim=1, keepdim=True)
        apart = (own - mean) / (own.std(dim=1, keepdim=True) + SPREAD)
        rows = torch.cat([own, apart, mean.expand_as(own)], dim=2)
        x = self.drop(rows.transpose(1, 2).reshape(-1, 3 * OWN, GRID, GRID))
        x = self.drop(torch.relu(self.hidden(x)))
        x = torch.relu(self.near(x))
        x = x + torch.relu(self.wide(x))
        found: Tensor = self.out(self.drop(x))[:, 0]
        return found


def fit(rows: dict[str, np.ndarray], check: dict[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    """The arrays of ``CellEngine``."""
    torch.set_num_threads(1)
    torch.manual_seed(3)
    network = CellNetwork(rows["tokens"], rows["blocks"])
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    draw, best, kept = np.random.default_rng(3), -1.0, state_of(network)
    steps = PASSES * (len(rows["shares"]) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for turn in range(PASSES):
        network.train()
        order, lost = draw.permutation(len(rows["shares"])), []
        for start in range(0, len(order) - BATCH + 1, BATCH):
            mine = np.sort(order[start : start + BATCH])
            given = [torch.from_numpy(rows[name][mine].astype(np.float32)) for name in ("tokens", "blocks")]
            shares = torch.from_numpy(rows["shares"][mine]).reshape(-1, GRID, GRID)
            loss = loss_of(network(*given), shares)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            lost.append(float(loss.detach()))
        if check is None:
            kept = state_of(network)
            continue
        cells, pictures = checked(network, check)
        print(f"{turn} loss {np.mean(lost):.4f} cells {cells:.3f} pictures {pictures:.3f}", flush=True)
        if cells + pictures > best:
            best, kept = cells + pictures, state_of(network)
    return kept


@torch.no_grad()
def checked(network: CellNetwork, rows: dict[str, np.ndarray]) -> tuple[float, float]:
    """Mean AUROC of a picture's cells, and that of pictures by their strongest cells."""
    network.eval()
    found = []
    for start in range(0, len(rows["shares"]), 64):
        given = [
            torch.from_numpy(rows[n][start : start + 64].astype(np.float32)) for n in ("tokens", "blocks")
        ]
        found.append(network(*given).numpy())
    logits, shares = np.concatenate(found), rows["shares"]
    pairs = [(one.ravel(), (share > 0.5).astype(int)) for one, share in zip(logits, shares, strict=True)]
    cells = [auroc(labels, one) for one, labels in pairs if 0 < labels.sum() < 160]
    tops = np.array([np.sort(cv2.blur(one, (3, 3)).ravel())[-8:].mean() for one in logits])
    return float(np.mean(cells)), auroc((shares.max(axis=1) > 0.5).astype(int), tops)


def state_of(network: CellNetwork) -> dict[str, np.ndarray]:
    """The network's arrays by the names of ``cells.SHAPES``."""
    names = {
        "mean": "token.mean",
        "spread": "token.spread",
        "block_mean": "block.mean",
        "block_spread": "block.spread",
    }
    state = network.state_dict()
    return {f"cells.{names.get(name, name)}": value.numpy().copy() for name, value in state.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("gather")
    first.add_argument("state", type=Path)
    first.add_argument("cuttings", type=Path)
    first.add_argument("rows", type=Path)
    first.add_argument("--pieces", type=Path, nargs="+", required=True)
    first.add_argument("--count", type=int, default=4000)
    first.add_argument("--seed", type=int, default=7)
    first.add_argument("--untouched", type=float, default=0.3)
    second = commands.add_parser("fit")
    second.add_argument("rows", type=Path)
    second.add_argument("head", type=Path)
    second.add_argument("--check", type=Path)
    asked = parser.parse_args()
    if asked.command == "gather":
        gather(
            asked.state, asked.cuttings, asked.rows, asked.pieces, asked.count, asked.seed, asked.untouched
        )
        return
    check = None if asked.check is None else load_rows(asked.check)
    np.savez(asked.head, **fit(load_rows(asked.rows), check))


if __name__ == "__main__":
    main()
