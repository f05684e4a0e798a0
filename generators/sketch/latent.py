"""Doodle to image in the latent space: the U-Net draws latents, and the shipped decoder paints them.

>>> network = LatentSketch(LatentSketchConfig(size=64, width=8, max_width=16))
>>> network(torch.zeros(2, 32), torch.zeros(2, 5, 64, 64)).shape
torch.Size([2, 3, 64, 64])

The same conditions as ``sketch.network``, but the network never works above a quarter of the side: an
eighth is what it draws. Two critics judge: one by the frozen features of photographs
(``families.projected``), whether it could be one at all, and a small one that sees doodle and drawing
together, whether it is that of this doodle.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.autoencoder import CHANNELS as LATENTS
from countermark.core.autoencoder import DOWN
from countermark.core.networks import maybe_spectral
from countermark.generators.base import Family
from countermark.generators.families.latent import bound_to_decoder
from countermark.generators.latents.autoencoder import decode
from countermark.generators.latents.space import LatentSpace
from countermark.generators.sketch.edges import CHANNELS
from countermark.generators.sketch.generator import SketchToImage
from countermark.generators.sketch.network import NoiseNorm

NAME = "sketch-latent"


class LatentSketchConfig(BaseModel):
    """Settings of the networks.

    Attributes:
        size: Side of the image in pixels.
        latent: Length of z.
        width: Channels at a quarter of the side; doubled at each level up to ``max_width``.
        critic_width: Channels of both critics.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: Literal[64, 128, 256] = 128
    latent: int = Field(default=32, ge=2, le=512)
    width: int = Field(default=64, ge=4, le=256)
    max_width: int = Field(default=192, ge=8, le=1024)
    critic_width: int = Field(default=64, ge=4, le=256)

    @property
    def side(self) -> int:
        """Of the grid of latents."""
        return self.size // DOWN


class Middle(nn.Module):
    """Residual block of two convolutions that noise enters."""

    def __init__(self, channels: int, code: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(NoiseNorm(channels, code) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        h = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            h = conv(F.leaky_relu(norm(h, code), 0.2))
        return x + h


class SketchDrawing(nn.Module):
    """z [N, latent] and condition [N, 5, size, size] to standardised latents [N, 32, size/8, size/8]."""

    def __init__(self, config: LatentSketchConfig) -> None:
        super().__init__()
        code = 64
        widths = [min(config.width * 2**i, config.max_width) for i in range(4)]
        self.mapping = nn.Sequential(
            nn.Linear(config.latent, code), nn.LeakyReLU(0.2), nn.Linear(code, code), nn.LeakyReLU(0.2)
        )
        # Four by four pixels become channels: strokes are thin, and a quarter of the side is enough.
        self.stem = nn.Conv2d(CHANNELS * 16, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1], 4, stride=2, padding=1) for i in range(3)
        )
        self.middle = nn.ModuleList(Middle(widths[3], code) for _ in range(2))
        self.join = nn.ModuleList(
            nn.Conv2d(widths[i + 1] + widths[i], widths[i], 3, padding=1) for i in (2, 1)
        )
        self.up = nn.ModuleList(Middle(widths[i], code) for i in (2, 1))
        self.out = nn.Conv2d(widths[1], LATENTS, 3, padding=1)

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        code = self.mapping(z)
        x = F.leaky_relu(self.stem(F.pixel_unshuffle(condition, 4)), 0.2)
        skips = []
        for conv in self.down:
            skips.append(x)
            x = F.leaky_relu(conv(x), 0.2)
        for block in self.middle:
            x = block(x, code)
        for join, block, skip in zip(self.join, self.up, (skips[2], skips[1]), strict=True):
            x = join(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
            x = block(x, code)
        return self.out(F.leaky_relu(x, 0.2))


class LatentSketch(nn.Module):
    """``network(z, condition)``: z float [N, latent], condition [N, 5, size, size]; RGB in [-1, 1]."""

    def __init__(self, config: LatentSketchConfig) -> None:
        super().__init__()
        self.drawing = SketchDrawing(config)
        self.space = LatentSpace()

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        return decode(self.space.back(self.drawing(z, condition)))


class PairCritic(nn.Module):
    """Standardised latents and condition together to logits [N, h, w]: does the drawing follow the doodle?"""

    def __init__(self, config: LatentSketchConfig) -> None:
        super().__init__()
        width = config.critic_width
        self.layers = nn.Sequential(
            maybe_spectral(nn.Conv2d(LATENTS + CHANNELS * DOWN**2, 2 * width, 1), True),
            nn.LeakyReLU(0.2),
            maybe_spectral(nn.Conv2d(2 * width, 2 * width, 3, padding=1), True),
            nn.LeakyReLU(0.2),
            maybe_spectral(nn.Conv2d(2 * width, 2 * width, 4, stride=2, padding=1), True),
            nn.LeakyReLU(0.2),
            maybe_spectral(nn.Conv2d(2 * width, 1, 3, padding=1), True),
        )

    def forward(self, drawn: Tensor, condition: Tensor) -> Tensor:
        return self.layers(torch.cat([drawn, F.pixel_unshuffle(condition, DOWN)], dim=1)).flatten(1)


FAMILY = Family(NAME, LatentSketchConfig, LatentSketch, bound_to_decoder(SketchToImage))
