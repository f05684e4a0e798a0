"""FastGAN (Liu et al. 2021): skip-layer excitation and a self-supervised critic, for small sets.

Written from the paper. Low-resolution features gate high-resolution channels (skip-layer
excitation), so that gradients reach the first layers; gated linear units and batch normalisation
in the generator. The critic also has to rebuild the image from its features, which keeps it from
learning a few hundred images by heart.

>>> config = FastGANConfig(size=64, width=8)
>>> Generator(config)(torch.zeros(2, 128)).shape
torch.Size([2, 3, 64, 64])
"""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.networks import CriticTrunk, initialise, maybe_spectral
from countermark.generators.families.base import GanFamily, NetworkConfig
from countermark.generators.families.layers import ProjectionHead


class FastGANConfig(NetworkConfig):
    """Settings of the family ``fastgan``.

    Attributes:
        width, max_width: Channels at the image's own size, and most at any level.
        rebuild: Weight of the critic's reconstruction loss on real images.
    """

    width: int = Field(default=24, ge=4, le=512)
    max_width: int = Field(default=256, ge=8, le=2048)
    rebuild: float = Field(default=1.0, ge=0, le=100)


class GatedUp(nn.Module):
    """Doubles the side: nearest upsampling, convolution, noise, batch norm, gated linear unit."""

    noise: Tensor

    def __init__(self, source: int, target: int, side: int, padding: Literal["zeros", "circular"]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(source, target * 2, 3, padding=1, padding_mode=padding, bias=False)
        self.norm = nn.BatchNorm2d(target * 2)
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(1, 1, side, side))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))
        noise = torch.randn(len(x), 1, *x.shape[2:], device=x.device) if self.training else self.noise
        return F.glu(self.norm(x + (self.strength * noise).to(x.dtype)), dim=1)


class Excitation(nn.Module):
    """Gates the channels of a high-resolution map by a low-resolution one (skip-layer excitation)."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(source, target, 4)
        self.gate = nn.Conv2d(target, target, 1)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        gate = F.leaky_relu(self.squeeze(F.adaptive_avg_pool2d(low, 4)), 0.1)
        return high * torch.sigmoid(self.gate(gate))


class Generator(nn.Module):
    """z [N, latent] (and labels) to images [N, channels, size, size] in [-1, 1]."""

    def __init__(self, config: FastGANConfig) -> None:
        super().__init__()
        widths = [min(config.width * 2**level, config.max_width) for level in range(config.levels, -1, -1)]
        self.code = nn.Embedding(config.classes, config.latent) if config.classes else None
        self.start = nn.Linear(config.latent * (2 if config.classes else 1), widths[0] * 2 * 16)
        self.norm = nn.BatchNorm2d(widths[0] * 2)
        self.blocks = nn.ModuleList(
            GatedUp(a, b, 8 * 2**i, config.padding) for i, (a, b) in enumerate(itertools.pairwise(widths))
        )
        # Level i gates level i + 3, as 8 px gates 64 px at the paper's sizes.
        self.gates = nn.ModuleList(Excitation(a, b) for a, b in zip(widths, widths[3:], strict=False))
        self.out = nn.Conv2d(widths[-1], config.channels, 3, padding=1, padding_mode=config.padding)
        initialise(self)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.code is not None and labels is not None:
            z = torch.cat([z, self.code(labels)], dim=1)
        x = F.glu(self.norm(self.start(z).unflatten(1, (-1, 4, 4))), dim=1)
        levels = [x]
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index >= 2:
                x = self.gates[index - 2](levels[index - 2], x)
            levels.append(x)
        return torch.tanh(self.out(x))


class Critic(nn.Module):
    """Logits [N]; ``extra_loss`` is the error of rebuilding a real image from its features."""

    def __init__(self, config: FastGANConfig) -> None:
        super().__init__()
        self.weight = config.rebuild
        self.trunk = CriticTrunk(
            channels=config.channels,
            width=config.critic_width,
            levels=config.levels,
            max_width=config.critic_max_width,
            spectral=True,
            padding=config.critic_padding,
        )
        last = self.trunk.out_channels
        self.head = ProjectionHead(last, 4, config.classes, minibatch=False)
        layers: list[nn.Module] = []
        for target in (64, 32, 16):
            layers += [
                nn.Upsample(scale_factor=2),
                maybe_spectral(nn.Conv2d(last, target, 3, padding=1), False),
                nn.LeakyReLU(0.2),
            ]
            last = target
        self.decoder = nn.Sequential(*layers, nn.Conv2d(last, config.channels, 3, padding=1), nn.Tanh())

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.head(self.trunk(x), labels)

    def extra_loss(self, real: Tensor) -> Tensor:
        """Mean absolute error of the image rebuilt at 32 px, times its weight."""
        rebuilt = self.decoder(self.trunk(real))
        return self.weight * F.l1_loss(rebuilt, F.adaptive_avg_pool2d(real, rebuilt.shape[-1]))


def build_critic(config: FastGANConfig) -> nn.Module:
    return initialise(Critic(config))


FAMILY = GanFamily(
    name="fastgan",
    summary="Skip-layer excitation and a critic that rebuilds its input; for a few hundred images.",
    config=FastGANConfig,
    build_generator=Generator,
    build_critic=build_critic,
)
