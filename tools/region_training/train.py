"""Trains the region network on cuttings; may be interrupted and called again.

python -m region_training.train CUTTINGS STATE --pieces FOLDER --minutes 18 [--last]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from countermark.core.errors import CountermarkError
from countermark.core.images import Pixels, read_image
from countermark.core.seeds import derive, rng
from countermark.detectors.regions.shape import BLOCK
from region_training.network import RegionNetwork
from region_training.pictures import Composer, load_cuttings

BATCH = 12
RATE = 2e-3
SEED = 5
#: From this step on the first filters stay as they are: a fifth less time for each step.
SETTLED = 1000


def load_pieces(folder: Path, most: int = 160, side: int = 512, *, apart: bool = False) -> list[Pixels]:
    """Generated pictures, their upper left ``side`` pixels; of the sources held out where ``apart``."""
    endings = {".png", ".jpg", ".jpeg", ".webp"}
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in endings]
    mine = [path for path in paths if held_out(path.parent.name) is apart]
    pictures = []
    for path in sorted(mine, key=lambda path: derive(SEED, "piece", path.name))[:most]:
        try:
            picture = read_image(path).pixels
        except CountermarkError:
            continue
        if min(picture.shape[:2]) >= 256:
            pictures.append(np.ascontiguousarray(picture[:side, :side]))
    return pictures


def held_out(source: str) -> bool:
    """Whether generated pictures of a source (a folder) are kept for measuring: one source of three."""
    return derive(SEED, "generator", source) % 3 == 0


def block_shares(mask: np.ndarray) -> np.ndarray:
    size = (mask.shape[1] // BLOCK, mask.shape[0] // BLOCK)
    return cv2.resize(mask, size, interpolation=cv2.INTER_AREA)


def batch(composer: Composer, step: int) -> tuple[Tensor, Tensor]:
    drawn = [composer.draw(rng(SEED, "draw", step, place)) for place in range(BATCH)]
    pixels = torch.from_numpy(np.stack([picture for picture, _ in drawn])).permute(0, 3, 1, 2)
    shares = torch.from_numpy(np.stack([block_shares(mask) for _, mask in drawn]))
    return pixels, shares


def loss_of(logits: Tensor, shares: Tensor) -> Tensor:
    """Cross entropy of blocks that are clearly inside or outside; both sides of a picture count alike."""
    inside, outside = (shares > 0.6).float(), (shares < 0.05).float()
    each = functional.binary_cross_entropy_with_logits(logits, inside, reduction="none")
    positive = (each * inside).sum(dim=(1, 2)) / inside.sum(dim=(1, 2)).clamp(min=8)
    negative = (each * outside).sum(dim=(1, 2)) / outside.sum(dim=(1, 2)).clamp(min=8)
    return (positive + 1.5 * negative).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cuttings", type=Path)
    parser.add_argument("state", type=Path)
    parser.add_argument("--pieces", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=18)
    parser.add_argument("--last", action="store_true", help="Let the rate fall to zero by the end.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    network = RegionNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-3)
    step, shown, started = 0, 0.0, time.monotonic()
    if options.state.exists():
        known = torch.load(options.state, weights_only=True)
        network.load_state_dict(known["network"])
        optimiser.load_state_dict(known["optimiser"])
        step = int(known["step"])
    cuttings = load_cuttings(options.cuttings)
    composer = Composer(cuttings, load_pieces(options.pieces))
    print(len(cuttings), "cuttings,", len(composer.pieces), "pieces, from step", step, flush=True)
    first = step
    while (spent := (time.monotonic() - started) / 60) < options.minutes:
        left = 1 - spent / options.minutes
        warm = min(1.0, (step + 1) / 100)
        for group in optimiser.param_groups:
            group["lr"] = RATE * warm * (left if options.last else 1.0)
        pixels, shares = batch(composer, step)
        network.train()
        network.residual.weight.requires_grad_(step < SETTLED)
        loss = loss_of(network(pixels.contiguous(memory_format=torch.channels_last)), shares)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        shown = float(loss.detach()) if step == first + 1 else 0.98 * shown + 0.02 * float(loss.detach())
        if step % 50 == 0:
            print(f"{step} {shown:.4f} {spent:.1f} min", flush=True)
        if step % 200 == 0:
            _save(options.state, network, optimiser, step)
    _save(options.state, network, optimiser, step)


def _save(path: Path, network: RegionNetwork, optimiser: torch.optim.Optimizer, step: int) -> None:
    part = path.with_suffix(".part")
    torch.save({"network": network.state_dict(), "optimiser": optimiser.state_dict(), "step": step}, part)
    part.replace(path)


if __name__ == "__main__":
    main()
