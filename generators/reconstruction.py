"""Reconstruction fakes: photographs passed through an autoencoder, content kept, traces added.

A detector that tells an image from its own reconstruction looks at what the decoder leaves and not
at what is shown. The autoencoder here is small, is trained on the photographs themselves in a
minute or two, and comes in variants of the zoo's upsamplers.

>>> network = Autoencoder(width=8, upsample="nearest")
>>> network(torch.zeros(1, 3, 64, 48)).shape
torch.Size([1, 3, 64, 48])
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.corpus import METADATA, Corpus, CorpusRow, write_metadata
from countermark.core.errors import OutputError, TrainingError
from countermark.core.files import atomic_write, sha256_bytes
from countermark.core.images import encode_image
from countermark.core.networks import initialise
from countermark.core.seeds import derive, torch_rng
from countermark.generators.data import Pictures, load_pictures
from countermark.generators.models import to_pixels, to_tensor

Upsample = Literal["nearest", "bilinear", "transposed"]


class Autoencoder(nn.Module):
    """Three strided convolutions down to ``latent`` channels at an eighth of the side, and back up.

    Float [N, 3, H, W] in [-1, 1] in and out; H and W divisible by 8.
    """

    def __init__(self, *, width: int = 16, latent: int = 8, upsample: Upsample = "nearest") -> None:
        super().__init__()
        self.upsample = upsample
        widths = (width, width * 2, width * 4)
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in zip((3, *widths), widths, strict=False)
        )
        self.squeeze = nn.Conv2d(widths[-1], latent, 1)
        self.widen = nn.Conv2d(latent, widths[-1], 3, padding=1)
        pairs = list(zip(widths[::-1], (*widths[-2::-1], width), strict=True))
        if upsample == "transposed":
            self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, stride=2, padding=1) for a, b in pairs)
        else:
            self.up = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairs)
        self.out = nn.Conv2d(width, 3, 3, padding=1)
        initialise(self, 2**0.5)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.down:
            x = F.leaky_relu(layer(x), 0.1)
        x = F.leaky_relu(self.widen(self.squeeze(x)), 0.1)
        for layer in self.up:
            if self.upsample != "transposed":
                x = F.interpolate(x, scale_factor=2, mode=self.upsample)
            x = F.leaky_relu(layer(x), 0.1)
        return self.out(x)


def train_autoencoder(
    pictures: Pictures,
    *,
    upsample: Upsample = "nearest",
    width: int = 16,
    steps: int = 600,
    batch: int = 16,
    rate: float = 2e-3,
    seed: int = 0,
) -> Autoencoder:
    """Trains on ``pictures.images`` (RGB) by mean absolute error of pixels and of their gradients.

    Raises:
        TrainingError: ``training.diverged``; lower ``rate``.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "autoencoder", upsample))
        network = Autoencoder(width=width, upsample=upsample)
    optimiser = torch.optim.Adam(network.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(steps, 1), rate / 20)
    for step in range(steps):
        index = torch.randint(len(pictures), (batch,), generator=torch_rng(seed, "batch", step))
        real = to_tensor(pictures.images[index.numpy()])
        made = network(real)
        loss = F.l1_loss(made, real)
        for axis in (2, 3):
            loss = loss + F.l1_loss(made.diff(dim=axis), real.diff(dim=axis))
        if not math.isfinite(loss.item()):
            raise TrainingError(
                f"The autoencoder's loss is not a number at step {step}.",
                code="training.diverged",
                hint=f"Lower the rate (now {rate:g}).",
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval().requires_grad_(False)


def reconstruct(network: Autoencoder, images: np.ndarray) -> np.ndarray:
    """Reconstructions of uint8 RGB [N, H, W, 3]; H and W divisible by 8."""
    with torch.no_grad():
        parts = [to_pixels(network(to_tensor(images[i : i + 32]))) for i in range(0, len(images), 32)]
    return np.concatenate(parts)


def write_reconstructions(
    data: Path | str,
    out: Path | str,
    *,
    size: int = 64,
    count: int = 200,
    upsample: Upsample = "nearest",
    steps: int = 600,
    seed: int = 0,
) -> Corpus:
    """Writes pairs: ``real/`` crops as the network saw them, ``synthetic/`` their reconstructions.

    Both are PNG of the same size, so that neither format nor content tells them apart. Rows of a
    pair share ``source``; ``psnr`` is the reconstruction's, in dB.

    Raises:
        OutputError: ``out`` already holds a corpus.
    """
    root = Path(out)
    if (root / METADATA).exists():
        raise OutputError(
            f"{root} already holds a corpus.", code="output.exists", hint="Choose another folder."
        )
    pictures = load_pictures(data, size=size, seed=seed)
    network = train_autoencoder(pictures, upsample=upsample, steps=steps, seed=seed)
    real = pictures.images[:count]
    rows: list[CorpusRow] = []
    for index, (before, after) in enumerate(zip(real, reconstruct(network, real), strict=True)):
        error = float(np.mean((before.astype(np.float64) - after) ** 2))
        psnr = f"{10 * math.log10(255**2 / error):.2f}" if error else ""
        for label, pixels in (("real", before), ("synthetic", after)):
            encoded = encode_image(pixels, "png")
            name = f"{label}/{index:06d}.png"
            atomic_write(root / name, encoded)
            made = label == "synthetic"
            rows.append(
                CorpusRow(
                    file_name=name,
                    label=label,
                    generator=f"autoencoder-{upsample}" if made else "",
                    source=f"{pictures.name}-{index:06d}",
                    seed=str(seed),
                    sha256=sha256_bytes(encoded),
                    extra={"psnr": psnr if made else ""},
                )
            )
    return write_metadata(root, rows)
