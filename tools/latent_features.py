"""Trains ``generators/latents/weights/lite0-from-latents``: latents to EfficientNet-Lite0's features.

    python tools/latent_features.py FOLDER_OR_ZIP ... --minutes 4 --out DIR

Pairs are made on the way: pictures at 128 px are encoded, and Lite0's features at an eighth of their side
(after its third stage) are what the adapter must give. Held out: every tenth picture.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.lite0 import load_lite0
from countermark.core.seeds import torch_rng, torch_seeded
from countermark.core.weights import WeightsCard, save_weights
from countermark.generators.base import to_tensor
from countermark.generators.data.pictures import DataConfig, load_pictures
from countermark.generators.latents import autoencoder
from countermark.generators.latents.features import NAME, Adapter, lite0_stages

SIDE, BATCH = 128, 32


@torch.no_grad()
def pairs(images: np.ndarray) -> tuple[Tensor, Tensor]:
    """Latents float16 [N, 32, 16, 16] of uint8 pictures, and the features to be had from them."""
    network = load_lite0()
    latents, wanted = [], []
    for start in range(0, len(images), BATCH):
        part = to_tensor(images[start : start + BATCH]).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            latents.append(autoencoder.encode(part).half())
        # Lite0 takes (RGB - 127) / 128; pictures here are RGB / 127.5 - 1.
        x = network.bn1(network.conv_stem(((part + 1) * 127.5 - 127) / 128))  # type: ignore[operator]
        for stage in list(network.blocks)[:3]:  # type: ignore[arg-type]
            x = stage(x)
        wanted.append(x.half())
    return torch.cat(latents), torch.cat(wanted)


def thinned(images: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the pictures, evenly picked."""
    return images[np.linspace(0, len(images) - 1, min(len(images), most)).astype(int)]


def explained(found: Tensor, wanted: Tensor) -> float:
    """Share of the variance that is explained."""
    spread = (wanted - wanted.mean(dim=(0, 2, 3), keepdim=True)).square().mean()
    return 1 - float((found - wanted).square().mean() / spread)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--minutes", type=float, default=4.0, help="of CPU time, after encoding")
    parser.add_argument("--most", type=int, default=1500, help="pictures of one source")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--describe", nargs="*", default=[], help="lines for the card: the training data")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    images = np.concatenate(
        [
            thinned(load_pictures(source, size=SIDE, options=DataConfig(holdout=0)).images, options.most)
            for source in options.data
        ]
    )
    latents, wanted = pairs(images)
    held = torch.arange(len(latents)) % 10 == 0
    with torch_seeded(options.seed):
        adapter = Adapter().to(memory_format=torch.channels_last)
    train_x, train_y = latents[~held], wanted[~held]
    flat = train_y.float()
    adapter.centre.copy_(flat.mean(dim=(0, 2, 3))[:, None, None])
    adapter.spread.copy_(flat.std(dim=(0, 2, 3))[:, None, None].clamp(min=1e-3))
    del flat
    optimiser = torch.optim.AdamW(adapter.parameters(), 2e-3, weight_decay=1e-4)
    source, begun, step = torch_rng(options.seed, "batches"), time.process_time(), 0
    while (share := (time.process_time() - begun) / (options.minutes * 60)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, 2 * (1 - share))
        index = torch.randint(len(train_x), (BATCH,), generator=source)
        aim = (train_y[index].float() - adapter.centre) / adapter.spread
        with torch.autocast("cpu", torch.bfloat16):
            value = F.mse_loss(adapter(train_x[index].float()), aim)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        step += 1
    figures = measure(adapter, latents[held].float(), wanted[held].float())
    print(figures, step)
    card = WeightsCard(
        name=NAME, kind="extractor", family=NAME, summary="Latents of taef2 to features of Lite0.",
        config={"width": 96},
        preprocessing={"input": f"latents of {autoencoder.NAME}", "encoder": autoencoder.digest("encoder")},
        training_data=options.describe or [f"{len(images)} pictures at {SIDE} px"],
        trained={"seed": options.seed, "steps": step, "batch": BATCH, "cpu_minutes": options.minutes,
                 "tool": "tools/latent_features.py"},
        metrics={"explained variance, held-out pictures": figures, "pictures": len(images)},
    )  # fmt: skip
    save_weights(options.out, {k: v.half() for k, v in adapter.state_dict().items()}, card)


@torch.no_grad()
def measure(adapter: Adapter, latents: Tensor, wanted: Tensor) -> dict[str, float]:
    """Explained variance of the three maps of features."""
    stages: nn.ModuleList = lite0_stages()
    adapter.eval()
    found, figures = adapter.features(latents), {}
    figures["1/8"] = round(explained(found, wanted), 3)
    spreads = [float(wanted.square().mean().sqrt())]
    for number, stage in enumerate(stages):
        found, wanted = stage(found), stage(wanted)
        if number in (1, 3):
            figures["1/16" if number == 1 else "1/32"] = round(explained(found, wanted), 3)
            spreads.append(float(wanted.square().mean().sqrt()))
    print("SPREADS of families.projected:", [round(s, 2) for s in spreads])
    return figures


if __name__ == "__main__":
    main()
