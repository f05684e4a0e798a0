"""Trains the heads of ``detectors.regions.cells``: what the tower's tokens say beside the region network.

    python -m region_training.cells gather STATE CUTTINGS ROWS --pieces FOLDER … --count 4000 [--pairs]
    python -m region_training.cells fit ROWS HEAD.npz --block 6 [--passes 6] [--check ROWS2]

``gather`` draws pictures of 224 x 224 (``pictures.Composer``) and keeps what both networks say of them, in
files of 250 pictures; it may be interrupted and called again. With ``--pairs`` every picture with an
exchanged part stands beside the same without it. ``fit`` trains one head on them and, with ``--check``,
prints AUROC of cells and of pictures on rows of other sources after every pass; the pass with the highest
sum of both is kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from countermark.core.images import Pixels
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


def drawn(
    composer: Composer, seed: int, first: int, count: int, *, pairs: bool
) -> Iterator[tuple[Pixels, np.ndarray]]:
    """Pictures and shares; of pairs, every second one is the picture before it without its part."""
    for number in range(first, first + count):
        if not pairs:
            yield composer.draw(rng(seed, "cells", number))
        elif number % 2 == 0:
            yield from composer.pair(rng(seed, "pair", number // 2))


def gather(
    state: Path,
    cuttings: Path,
    rows: Path,
    pieces: list[Path],
    count: int,
    seed: int,
    untouched: float,
    *,
    pairs: bool = False,
) -> None:
    """Draws pictures and keeps tokens, embeddings and shares."""
    regions, tower = RegionEngine(trained(state)), load_engine(TOWER, max(TAKEN))
    taken = sorted(set(TAKEN))
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
        tokens: dict[str, list[np.ndarray]] = {f"tokens{block}": [] for block in taken}
        blocks, shares = [], []
        for picture, mask in drawn(composer, seed, first, min(EACH, count - first), pairs=pairs):
            embedded = regions.embeddings(picture)
            own = np.concatenate([embedded, regions.compared(embedded)[..., None]], axis=2)
            blocks.append(cell_means(own).reshape(-1, EMBEDDED + 1).astype(np.float16))
            for kept, found in zip(tokens.values(), tower.tokens(picture[None], taken), strict=True):
                kept.append(found[0, 1:].astype(np.float16))
            shares.append(cv2.resize(mask, (GRID, GRID), interpolation=cv2.INTER_AREA).ravel())
        part = target.with_suffix(".part.npz")
        stacked = {name: np.stack(kept) for name, kept in tokens.items()}
        np.savez(part, blocks=np.stack(blocks), shares=np.stack(shares), **stacked)
        part.replace(target)
        print(first + len(shares), flush=True)


def load_rows(folder: Path, block: int) -> dict[str, np.ndarray]:
    """What ``gather`` kept, with the tokens of one block of the tower."""
    parts = [np.load(path) for path in sorted(folder.glob("[0-9]*.npz")) if ".part" not in path.name]
    names = {"tokens": f"tokens{block}", "blocks": "blocks", "shares": "shares"}
    return {name: np.concatenate([part[kept] for part in parts]) for name, kept in names.items()}


class CellNetwork(nn.Module):
    """One head, as ``CellHead`` computes it, on whole tiles."""

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


def fit(
    rows: dict[str, np.ndarray], check: dict[str, np.ndarray] | None, passes: int = PASSES
) -> dict[str, np.ndarray]:
    """The arrays of ``CellHead``."""
    torch.set_num_threads(1)
    torch.manual_seed(3)
    network = CellNetwork(rows["tokens"], rows["blocks"])
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    draw, best, kept = np.random.default_rng(3), -1.0, state_of(network)
    steps = passes * (len(rows["shares"]) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for turn in range(passes):
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
    """The network's arrays by the names of ``cells.HEAD_SHAPES``."""
    names = {
        "mean": "token.mean",
        "spread": "token.spread",
        "block_mean": "block.mean",
        "block_spread": "block.spread",
    }
    state = network.state_dict()
    return {names.get(name, name): value.numpy().copy() for name, value in state.items()}


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
    first.add_argument("--pairs", action="store_true")
    second = commands.add_parser("fit")
    second.add_argument("rows", type=Path)
    second.add_argument("head", type=Path)
    second.add_argument("--block", type=int, choices=sorted(set(TAKEN)), required=True)
    second.add_argument("--passes", type=int, default=PASSES)
    second.add_argument("--check", type=Path)
    asked = parser.parse_args()
    if asked.command == "gather":
        folders = asked.state, asked.cuttings, asked.rows, asked.pieces
        gather(*folders, asked.count, asked.seed, asked.untouched, pairs=asked.pairs)
        return
    check = None if asked.check is None else load_rows(asked.check, asked.block)
    np.savez(asked.head, **fit(load_rows(asked.rows, asked.block), check, asked.passes))


if __name__ == "__main__":
    main()
