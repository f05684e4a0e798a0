"""The super-resolution network: a residual on top of bicubic enlargement, for twice the side.

>>> import torch
>>> network = SuperResolver(SuperresConfig(width=8, blocks=1))
>>> network(torch.zeros(1, 3, 16, 20)).shape
torch.Size([1, 3, 32, 40])

Convolutions without normalisation (Wang et al. 2018 found that normalisation makes artefacts) and
pixel shuffle (Shi et al. 2016); four times the side is two passes. The receptive field is finite
and known, so an image cut into tiles with that margin gives the same pixels as the whole.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.networks import maybe_spectral


class SuperresConfig(BaseModel):
    """Settings of the networks.

    Attributes:
        width: Channels throughout.
        blocks: Residual blocks of two convolutions.
        critic_width: Channels of the critic after its first level.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(default=32, ge=4, le=256)
    blocks: int = Field(default=4, ge=1, le=64)
    critic_width: int = Field(default=24, ge=4, le=256)

    @property
    def margin(self) -> int:
        """Input pixels around an output pixel that it depends on: convolutions and the bicubic."""
        return max(2 * self.blocks + 3, 3)


class SuperResolver(nn.Module):
    """``network(x)``: RGB float [N, 3, H, W] in [-1, 1] to [N, 3, 2H, 2W], not clamped."""

    def __init__(self, config: SuperresConfig) -> None:
        super().__init__()
        self.margin = config.margin
        self.head = nn.Conv2d(3, config.width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(config.width, config.width, 3, padding=1) for _ in range(2))
            for _ in range(config.blocks)
        )
        self.tail = nn.Conv2d(config.width, 12, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        h = self.head(x)
        for block in self.blocks:
            h = h + block[1](F.leaky_relu(block[0](h), 0.1))  # type: ignore[index]
        return bicubic(x, 2) + F.pixel_shuffle(self.tail(h), 2)


class DetailCritic(nn.Module):
    """Judges patches of an enlarged image; RGB [N, 3, H, W] to logits [N, 1, h, w]."""

    def __init__(self, config: SuperresConfig) -> None:
        super().__init__()
        width = config.critic_width
        self.layers = nn.Sequential(
            maybe_spectral(nn.Conv2d(3, width, 3, padding=1), True),
            nn.LeakyReLU(0.2),
            maybe_spectral(nn.Conv2d(width, width * 2, 4, stride=2, padding=1), True),
            nn.LeakyReLU(0.2),
            maybe_spectral(nn.Conv2d(width * 2, width * 2, 4, stride=2, padding=1), True),
            nn.LeakyReLU(0.2),
            maybe_spectral(nn.Conv2d(width * 2, 1, 3, padding=1), True),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


def bicubic(x: Tensor, scale: int) -> Tensor:
    """Bicubic enlargement of float [N, C, H, W] by a whole factor."""
    return F.interpolate(x, scale_factor=float(scale), mode="bicubic", align_corners=False)


@torch.no_grad()
def enlarge_once(network: SuperResolver, x: Tensor, *, tile: int = 128) -> Tensor:
    """Twice the side, tile by tile; [1, 3, H, W] to [1, 3, 2H, 2W].

    Every tile is computed with the network's margin around it and cut to its own part. At the
    image's border no margin is added, so the padding there is that of the whole image, and the
    result is the same, to rounding, as without tiles.
    """
    _, _, height, width = x.shape
    out = x.new_empty(1, 3, 2 * height, 2 * width)
    margin = network.margin
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            bottom, right = min(top + tile, height), min(left + tile, width)
            y0, x0 = max(top - margin, 0), max(left - margin, 0)
            part = x[:, :, y0 : min(bottom + margin, height), x0 : min(right + margin, width)]
            large = network(part)
            out[:, :, 2 * top : 2 * bottom, 2 * left : 2 * right] = large[
                :, :, 2 * (top - y0) : 2 * (bottom - y0), 2 * (left - x0) : 2 * (right - x0)
            ]
    return out
