"""Trains the expert's trunk on samples, from the region network's; may be interrupted and called again.

    PYTHONPATH=tools python -m face_training.train SAMPLES STATE --start REGIONS --minutes 12 [--last]

REGIONS is the state that ``region_training.train`` keeps. Two losses: every block's, inside or outside of
what was put in, and the face's, whether the mean logit inside the face stands above that around it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from region_training.network import RegionNetwork
from region_training.train import loss_of
from torch import Tensor, nn
from torch.nn import functional

from countermark.core.seeds import rng
from countermark.detectors.faces.blocks import inside_and_around
from countermark.detectors.faces.find import Face
from countermark.detectors.regions.shape import BLOCK
from face_training.portraits import scaled
from face_training.samples import Sample, read_samples

SIDE, BATCH, RATE, SEED = 288, 8, 1e-3, 7


def window(sample: Sample, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Face]:
    """A square of ``SIDE`` around the face, shifted a little, mostly on the grid of 8; mirrored at times."""
    pixels, mask, face = sample.pixels, sample.mask, sample.face
    if mask is None:
        mask = np.zeros(pixels.shape[:2], np.float32)
    short = SIDE / min(pixels.shape[:2])
    if short > 1:  # small portraits are mirrored outwards
        high, wide = (max(0, SIDE - n) for n in pixels.shape[:2])
        pixels = cv2.copyMakeBorder(pixels, 0, high, 0, wide, cv2.BORDER_REFLECT_101)
        mask = cv2.copyMakeBorder(mask, 0, high, 0, wide, cv2.BORDER_REFLECT_101)
    x, y, wide, high = face.box
    left, top = (
        int(np.clip(middle + generator.normal(0, 0.15) * SIDE - SIDE / 2, 0, size - SIDE))
        for middle, size in ((x + wide / 2, pixels.shape[1]), (y + high / 2, pixels.shape[0]))
    )
    if generator.random() < 0.7:
        left, top = left // BLOCK * BLOCK, top // BLOCK * BLOCK
    part = (slice(top, top + SIDE), slice(left, left + SIDE))
    found, share, moved = pixels[part], mask[part], scaled(face, 1.0, left, top)
    if generator.random() < 0.5:
        found, share = found[:, ::-1], share[:, ::-1]
        a, b, c, d = moved.box
        moved = Face((SIDE - a - c, b, c, d), moved.score, moved.landmarks)
    return np.ascontiguousarray(found), np.ascontiguousarray(share), moved


def face_logits(logits: Tensor, faces: list[Face]) -> Tensor:
    """[n]: the mean logit inside of each face less that around it."""
    found = []
    for rows, face in zip(logits, faces, strict=True):
        inside, around = (torch.from_numpy(m) for m in inside_and_around(face, tuple(rows.shape)))
        if inside.sum() < 4 or around.sum() < 4:
            found.append(rows.mean() * 0)
        else:
            found.append(rows[inside].mean() - rows[around].mean())
    return torch.stack(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("samples", type=Path)
    parser.add_argument("state", type=Path)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--last", action="store_true", help="Let the rate fall to zero by the end.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    network = RegionNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    scale = nn.Parameter(torch.tensor([1.0, -1.0]))
    known = torch.load(options.state if options.state.exists() else options.start, weights_only=True)
    network.load_state_dict(known["network"])
    step = int(known["step"]) if options.state.exists() else 0
    if "scale" in known:
        scale.data.copy_(known["scale"])
    network.residual.weight.requires_grad_(False)
    weights = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW([*weights, scale], lr=RATE, weight_decay=1e-3)
    found = list(read_samples(options.samples, "train"))
    labels = np.array([sample.mask is not None for sample in found])
    pools = [np.flatnonzero(~labels), np.flatnonzero(labels)]
    print(len(found), "samples,", int(labels.sum()), "put in, from step", step, flush=True)
    started, shown = time.monotonic(), np.zeros(2)
    while (spent := (time.monotonic() - started) / 60) < options.minutes:
        generator = rng(SEED, "step", step)
        rate = RATE * min(1.0, (step + 1) / 50) * ((1 - spent / options.minutes) if options.last else 1.0)
        for group in optimiser.param_groups:
            group["lr"] = rate
        places = [int(generator.choice(pools[k % 2])) for k in range(BATCH)]
        drawn = [window(found[place], generator) for place in places]
        pixels = torch.from_numpy(np.stack([each[0] for each in drawn])).permute(0, 3, 1, 2)
        size = (SIDE // BLOCK, SIDE // BLOCK)
        shares = np.stack([cv2.resize(each[1], size, interpolation=cv2.INTER_AREA) for each in drawn])
        network.train()
        logits = network(pixels.contiguous(memory_format=torch.channels_last))
        blocks = loss_of(logits, torch.from_numpy(shares))
        scores = face_logits(logits, [each[2] for each in drawn]) * scale[0].abs() + scale[1]
        wanted = torch.from_numpy(labels[places].astype(np.float32))
        faces = functional.binary_cross_entropy_with_logits(scores, wanted)
        optimiser.zero_grad()
        (blocks + faces).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([*weights, scale], 1.0)
        optimiser.step()
        step += 1
        losses = np.array([float(blocks.detach()), float(faces.detach())])
        shown = losses if not shown.any() else 0.97 * shown + 0.03 * losses
        if step % 25 == 0:
            print(f"{step} blocks {shown[0]:.4f} faces {shown[1]:.4f} {spent:.1f} min", flush=True)
        if step % 100 == 0:
            _save(options.state, network, scale, step)
    _save(options.state, network, scale, step)


def _save(path: Path, network: nn.Module, scale: Tensor, step: int) -> None:
    part = path.with_suffix(".part")
    torch.save({"network": network.state_dict(), "scale": scale.detach(), "step": step}, part)
    part.replace(path)


if __name__ == "__main__":
    main()
