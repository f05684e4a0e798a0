"""The region network in PyTorch, as it is trained; ``detectors.regions.engine`` computes the same.

>>> import torch
>>> RegionNetwork()(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)).shape
torch.Size([1, 8, 8])
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from countermark.detectors.regions.shape import (
    BANDS,
    BLOCK,
    DILATIONS,
    EMBEDDED,
    HIDDEN,
    LIMIT,
    LUMA,
    SPREAD,
    WIDTHS,
    dct_filters,
)


class RegionNetwork(nn.Module):
    """From pixels to one logit for every 8 x 8 block."""

    dct: Tensor

    def __init__(self) -> None:
        super().__init__()
        first, second, third, last = WIDTHS
        self.residual = nn.Conv2d(3, first, 5, padding=2, bias=False)
        self.down1 = nn.Conv2d(first, second, 3, stride=2, padding=1)
        self.down2 = nn.Conv2d(second, third, 3, stride=2, padding=1)
        self.same2 = nn.Conv2d(third, third, 3, padding=1)
        self.down3 = nn.Conv2d(third, last, 3, stride=2, padding=1)
        self.bands = nn.Conv2d(2 * BANDS, last, 1)
        self.join = nn.Conv2d(2 * last, last, 1)
        self.wide = nn.ModuleList(nn.Conv2d(last, last, 3, padding=d, dilation=d) for d in DILATIONS)
        self.embed = nn.Conv2d(last, EMBEDDED, 1)
        self.hidden = nn.Linear(3 * EMBEDDED, HIDDEN)
        self.out = nn.Linear(HIDDEN, 1)
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(n) for n in (second, third, third, last, last, last, last, last, last)
        )
        self.register_buffer("dct", torch.from_numpy(dct_filters()), persistent=False)
        with torch.no_grad():
            self.residual.weight.copy_(torch.from_numpy(first_filters(first)))

    def trunk(self, pixels: Tensor) -> Tensor:
        """uint8 [N, 3, H, W] RGB (sides multiples of 8) to embeddings [N, EMBEDDED, H/8, W/8]."""
        n = iter(self.norms)
        x = pixels.float()
        # Filters without a mean see no brightness: only what is fine in the picture is left.
        weight = self.residual.weight - self.residual.weight.mean(dim=(2, 3), keepdim=True)
        r = torch.clamp(functional.conv2d(x, weight, padding=2), -LIMIT, LIMIT) / LIMIT
        r = torch.relu(next(n)(self.down1(r)))
        r = torch.relu(next(n)(self.down2(r)))
        r = torch.relu(next(n)(self.same2(r)))
        r = torch.relu(next(n)(self.down3(r)))
        luma = (x * x.new_tensor(LUMA)[None, :, None, None]).sum(1, keepdim=True) - 128
        bands = functional.conv2d(luma, self.dct, stride=BLOCK)
        bands = torch.cat([torch.log1p(bands.abs()), torch.exp(-(bands**2))], dim=1)
        b = torch.relu(next(n)(self.bands(bands)))
        y = torch.relu(next(n)(self.join(torch.cat([r, b], dim=1))))
        for conv in self.wide:
            y = y + torch.relu(next(n)(conv(y)))
        return self.embed(y)

    def logits(self, embedded: Tensor) -> Tensor:
        """[N, EMBEDDED, h, w] to [N, h, w]: a block against the picture's own mean and spread."""
        rows = embedded.permute(0, 2, 3, 1)
        mean = rows.mean(dim=(1, 2), keepdim=True)
        spread = rows.std(dim=(1, 2), keepdim=True) + SPREAD
        apart = (rows - mean) / spread
        joined = torch.cat([rows, apart, mean.expand_as(rows)], dim=-1)
        return self.out(torch.relu(self.hidden(joined)))[..., 0]

    def forward(self, pixels: Tensor) -> Tensor:
        return self.logits(self.trunk(pixels))


def folded(network: RegionNetwork) -> dict[str, np.ndarray]:
    """The arrays of ``countermark.detectors.regions.engine``: every norm is part of its convolution."""
    state = {name: value.detach().double().numpy() for name, value in network.state_dict().items()}
    names = ("down1", "down2", "same2", "down3", "bands", "join", "wide.0", "wide.1", "wide.2")
    found = {}
    for place, name in enumerate(names):
        norm = {
            part: state[f"norms.{place}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        }
        gain = norm["weight"] / np.sqrt(norm["running_var"] + network.norms[place].eps)
        found[f"{name}.weight"] = state[f"{name}.weight"] * gain[:, None, None, None]
        found[f"{name}.bias"] = (state[f"{name}.bias"] - norm["running_mean"]) * gain + norm["bias"]
    for name in ("residual.weight", "embed.weight", "embed.bias"):
        found[name] = state[name]
    for name in ("hidden.weight", "hidden.bias", "out.weight", "out.bias"):
        found[name] = state[name]
    return {name: value.astype(np.float32) for name, value in found.items()}


def trained(state: Path) -> dict[str, np.ndarray]:
    """The folded arrays of a state that ``region_training.train`` left, rounded as they ship."""
    network = RegionNetwork()
    network.load_state_dict(torch.load(state, weights_only=True)["network"])
    arrays = folded(network.eval())
    return {name: value.astype(np.float16).astype(np.float32) for name, value in arrays.items()}


def first_filters(count: int) -> np.ndarray:
    """float32 [count, 3, 5, 5]: second differences and such, on green, on luma and on colour differences."""
    basic = []
    for kernel in (
        [[-1, 2, -1], [2, -4, 2], [-1, 2, -1]],
        [[0, 0, 0], [1, -2, 1], [0, 0, 0]],
        [[0, 1, 0], [0, -2, 0], [0, 1, 0]],
        [[0, 0, 0], [0, -1, 1], [0, 0, 0]],
        [[0, 0, 0], [0, -1, 0], [0, 1, 0]],
        [[1, 0, 0], [0, -2, 0], [0, 0, 1]],
    ):
        padded = np.zeros((5, 5), np.float32)
        padded[1:4, 1:4] = kernel
        basic.append(padded)
    colours = ([0, 1, 0], [0.3, 0.6, 0.1], [1, -1, 0], [0, -1, 1])
    filters = [np.asarray(c, np.float32)[:, None, None] * k[None] for c in colours for k in basic]
    return np.stack(filters[:count])
