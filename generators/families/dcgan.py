"""DCGAN (Radford et al. 2016) with the repairs that later work found, and its variants.

The default doubles the side with nearest-neighbour upsampling and a 3 x 3 convolution, which leaves
none of the checkerboard of transposed convolutions (Odena et al. 2016); ``transposed`` is kept as
a fingerprint that detectors should know. Critic: strided convolutions, spectral normalisation,
minibatch standard deviation.

>>> config = DCGANConfig(size=32, width=8)
>>> Generator(config)(torch.zeros(2, 128)).shape
torch.Size([2, 3, 32, 32])
"""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.networks import initialise
from countermark.generators.families.base import GanFamily, NetworkConfig
from countermark.generators.families.layers import ConditionalBatchNorm, ConvCritic, PixelNorm
from countermark.generators.families.upsampling import convolution, double, double_transposed


class DCGANConfig(NetworkConfig):
    """Settings of the family ``dcgan``.

    Attributes:
        width: Channels at the image's own size; doubled at each level towards 4 x 4.
        max_width: Most channels at any level.
        upsample: How the side is doubled.
        norm: Normalisation in the generator; ``batch`` is conditional when there are classes.
        kernel: Side of the convolution kernel after upsampling (``transposed`` always uses 4).
        spectral: Spectral normalisation of the critic.
        tail: ``tanh`` or ``sigmoid`` output.
    """

    width: int = Field(default=32, ge=4, le=512)
    max_width: int = Field(default=256, ge=8, le=2048)
    upsample: Literal["nearest", "bilinear", "transposed"] = "nearest"
    norm: Literal["batch", "instance", "pixel", "none"] = "batch"
    kernel: Literal[3, 5] = 3
    spectral: bool = True
    tail: Literal["tanh", "sigmoid"] = "tanh"


class UpBlock(nn.Module):
    """Doubles the side: upsample, convolve, normalise, ReLU."""

    def __init__(self, source: int, target: int, config: DCGANConfig) -> None:
        super().__init__()
        self.upsample, self.padding = config.upsample, config.padding
        self.conv: nn.Module
        if config.upsample == "transposed":
            self.conv = nn.ConvTranspose2d(source, target, 4, stride=2, padding=1)
        else:
            self.conv = convolution(source, target, config.kernel, config.padding)
        self.norm = _norm(target, config)

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        if self.upsample == "transposed":
            x = double_transposed(self.conv, x, self.padding)
        else:
            x = self.conv(double(x, self.upsample, self.padding))
        x = self.norm(x, labels) if isinstance(self.norm, ConditionalBatchNorm) else self.norm(x)
        return F.relu(x)


class Generator(nn.Module):
    """z [N, latent] (and labels [N]) to images [N, channels, size, size] in [-1, 1]."""

    def __init__(self, config: DCGANConfig) -> None:
        super().__init__()
        self.config = config
        widths = [min(config.width * 2**level, config.max_width) for level in range(config.levels, -1, -1)]
        self.start = nn.Linear(config.latent, widths[0] * 16)
        self.blocks = nn.ModuleList(
            UpBlock(source, target, config) for source, target in itertools.pairwise(widths)
        )
        self.out = convolution(widths[-1], config.channels, 3, config.padding)
        initialise(self)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        x = F.relu(self.start(z)).unflatten(1, (-1, 4, 4))
        for block in self.blocks:
            x = block(x, labels)
        x = self.out(x)
        return torch.tanh(x) if self.config.tail == "tanh" else torch.sigmoid(x) * 2 - 1


def _norm(width: int, config: DCGANConfig) -> nn.Module:
    if config.norm == "batch":
        return ConditionalBatchNorm(width, config.classes) if config.classes else nn.BatchNorm2d(width)
    if config.norm == "instance":
        return nn.InstanceNorm2d(width, affine=True)
    return PixelNorm() if config.norm == "pixel" else nn.Identity()


def build_critic(config: DCGANConfig) -> nn.Module:
    """The critic of a DCGAN: see ``countermark.core.networks.CriticTrunk``."""
    return initialise(ConvCritic(config, spectral=config.spectral))


FAMILY = GanFamily(
    name="dcgan",
    summary="Upsampling convolutions against a spectrally normalised critic; fast on a CPU.",
    config=DCGANConfig,
    build_generator=Generator,
    build_critic=build_critic,
)
