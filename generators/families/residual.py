"""WGAN-GP's and R3GAN's networks: residual blocks without normalisation, and with it.

``wgan-gp`` follows Gulrajani et al. 2017: residual blocks, batch normalisation in the generator
only, a gradient penalty. ``r3gan`` follows Huang et al. 2024, written from the paper: no
normalisation anywhere, grouped bottleneck blocks, bilinear resampling, weights scaled so that the
residual branch starts at zero (Zhang et al. 2019); trained with paired relativistic logits, R1 and R2.

>>> config = WGANConfig(size=32, width=8)
>>> WGANGenerator(config)(torch.zeros(2, 128)).shape
torch.Size([2, 3, 32, 32])
"""

from __future__ import annotations

import itertools

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.networks import initialise
from countermark.generators.families.base import GanFamily, NetworkConfig
from countermark.generators.families.layers import ConditionalBatchNorm, ProjectionHead
from countermark.generators.families.upsampling import double


class WGANConfig(NetworkConfig):
    """Settings of the family ``wgan-gp``: channels at the image's own size, and most at any level."""

    width: int = Field(default=32, ge=4, le=512)
    max_width: int = Field(default=128, ge=8, le=2048)


class R3GANConfig(NetworkConfig):
    """Settings of the family ``r3gan``.

    Attributes:
        width, max_width: Channels at the image's own size, and most at any level.
        group: Channels of one group of the grouped convolution.
        blocks: Residual blocks a level.
        expansion: Width of the bottleneck over that of the block.
    """

    width: int = Field(default=32, ge=8, le=512)
    max_width: int = Field(default=128, ge=8, le=2048)
    group: int = Field(default=16, ge=1, le=256)
    blocks: int = Field(default=1, ge=1, le=4)
    expansion: int = Field(default=2, ge=1, le=4)


def _widths(width: int, max_width: int, levels: int) -> list[int]:
    """Channels from 4 x 4 up to the image's own size."""
    return [min(width * 2**level, max_width) for level in range(levels, -1, -1)]


def _halve(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2)


class WGANBlock(nn.Module):
    """Residual block that doubles (generator) or halves (critic) the side."""

    def __init__(self, source: int, target: int, config: WGANConfig, *, up: bool) -> None:
        super().__init__()
        self.up = up
        pad = config.padding
        self.first = nn.Conv2d(source, target, 3, padding=1, padding_mode=pad)
        self.second = nn.Conv2d(target, target, 3, padding=1, padding_mode=pad)
        self.skip = nn.Conv2d(source, target, 1)
        if up and config.classes:
            self.norms = nn.ModuleList(ConditionalBatchNorm(c, config.classes) for c in (source, target))
        else:
            self.norms = nn.ModuleList(nn.BatchNorm2d(c) if up else nn.Identity() for c in (source, target))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        h = F.relu(self._normal(0, x, labels))
        if self.up:
            h, x = F.interpolate(h, scale_factor=2), F.interpolate(x, scale_factor=2)
        h = self.second(F.relu(self._normal(1, self.first(h), labels)))
        return self.skip(x) + h if self.up else _halve(h) + self.skip(_halve(x))

    def _normal(self, index: int, x: Tensor, labels: Tensor | None) -> Tensor:
        norm = self.norms[index]
        return norm(x, labels) if isinstance(norm, ConditionalBatchNorm) else norm(x)


class WGANGenerator(nn.Module):
    """z [N, latent] (and labels) to images [N, channels, size, size] in [-1, 1]."""

    def __init__(self, config: WGANConfig) -> None:
        super().__init__()
        widths = _widths(config.width, config.max_width, config.levels)
        self.start = nn.Linear(config.latent, widths[0] * 16)
        self.blocks = nn.ModuleList(WGANBlock(a, b, config, up=True) for a, b in itertools.pairwise(widths))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.out = nn.Conv2d(widths[-1], config.channels, 3, padding=1, padding_mode=config.padding)
        initialise(self)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        x = self.start(z).unflatten(1, (-1, 4, 4))
        for block in self.blocks:
            x = block(x, labels)
        return torch.tanh(self.out(F.relu(self.norm(x))))


class WGANCritic(nn.Module):
    """Images (and labels) to logits [N]; no normalisation, as the gradient penalty requires."""

    def __init__(self, config: WGANConfig) -> None:
        super().__init__()
        config = config.model_copy(update={"padding": config.critic_padding})
        widths = _widths(config.critic_width // 2 or 1, config.critic_max_width, config.levels)[::-1]
        self.colour = nn.Conv2d(config.channels, widths[0], 3, padding=1, padding_mode=config.padding)
        self.blocks = nn.ModuleList(WGANBlock(a, b, config, up=False) for a, b in itertools.pairwise(widths))
        self.head = ProjectionHead(widths[-1], 4, config.classes, spectral=False, minibatch=False)
        initialise(self)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        x = self.colour(x)
        for block in self.blocks:
            x = block(x)
        return self.head(F.relu(x), labels)


class R3Block(nn.Module):
    """1 x 1, grouped 3 x 3, 1 x 1 with leaky ReLUs; the last weight starts at zero."""

    def __init__(self, width: int, config: R3GANConfig, branches: int) -> None:
        super().__init__()
        inner = width * config.expansion
        groups = max(inner // config.group, 1) if inner % config.group == 0 else 1
        self.enter = nn.Conv2d(width, inner, 1, bias=False)
        self.middle = nn.Conv2d(
            inner, inner, 3, padding=1, padding_mode=config.padding, groups=groups, bias=False
        )
        self.leave = nn.Conv2d(inner, width, 1, bias=False)
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(inner, 1, 1)) for _ in range(2))
        # Fix-up: with L branches of three layers, the inner ones start L^(-1/4) as large.
        for layer in (self.enter, self.middle):
            nn.init.kaiming_normal_(layer.weight, a=0.2)
            layer.weight.data.mul_(branches**-0.25)
        nn.init.zeros_(self.leave.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.enter(x) + self.biases[0], 0.2)
        h = F.leaky_relu(self.middle(h) + self.biases[1], 0.2)
        return x + self.leave(h)


class R3Generator(nn.Module):
    """z [N, latent] (and labels) to images [N, channels, size, size], about [-1, 1]."""

    def __init__(self, config: R3GANConfig) -> None:
        super().__init__()
        widths = _widths(config.width, config.max_width, config.levels)
        branches = config.blocks * len(widths)
        self.padding = config.padding
        self.code = nn.Embedding(config.classes, config.latent) if config.classes else None
        self.start = nn.Parameter(torch.randn(widths[0], 4, 4))
        self.gate = nn.Linear(config.latent * (2 if config.classes else 1), widths[0])
        self.levels = nn.ModuleList(
            nn.Sequential(*(R3Block(width, config, branches) for _ in range(config.blocks)))
            for width in widths
        )
        self.changes = nn.ModuleList(nn.Conv2d(a, b, 1, bias=False) for a, b in itertools.pairwise(widths))
        self.out = nn.Conv2d(widths[-1], config.channels, 1)
        for layer in self.changes:
            nn.init.orthogonal_(layer.weight)  # type: ignore[arg-type]

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.code is not None and labels is not None:
            z = torch.cat([z, self.code(labels)], dim=1)
        x = self.gate(z)[:, :, None, None] * self.start
        for index, level in enumerate(self.levels):
            x = level(x)
            if index < len(self.changes):
                x = double(self.changes[index](x), "bilinear", self.padding)
        return self.out(x)


class R3Critic(nn.Module):
    """Images (and labels) to logits [N]: the generator's blocks the other way round."""

    def __init__(self, config: R3GANConfig) -> None:
        super().__init__()
        config = config.model_copy(update={"padding": config.critic_padding})
        widths = _widths(config.critic_width, config.critic_max_width, config.levels)[::-1]
        branches = config.blocks * len(widths)
        self.colour = nn.Conv2d(config.channels, widths[0], 1)
        self.levels = nn.ModuleList(
            nn.Sequential(*(R3Block(width, config, branches) for _ in range(config.blocks)))
            for width in widths
        )
        self.changes = nn.ModuleList(nn.Conv2d(a, b, 1, bias=False) for a, b in itertools.pairwise(widths))
        self.head = ProjectionHead(widths[-1], 4, config.classes, spectral=False, minibatch=False)
        for layer in self.changes:
            nn.init.orthogonal_(layer.weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        x = self.colour(x)
        for index, level in enumerate(self.levels):
            x = level(x)
            if index < len(self.changes):
                x = self.changes[index](_halve(x))
        return self.head(x, labels)


WGAN = GanFamily(
    name="wgan-gp",
    summary="Residual networks with Wasserstein loss and gradient penalty; steady and slow.",
    config=WGANConfig,
    build_generator=WGANGenerator,
    build_critic=WGANCritic,
)
R3GAN = GanFamily(
    name="r3gan",
    summary="Grouped residual networks without normalisation, paired relativistic loss, R1 and R2.",
    config=R3GANConfig,
    build_generator=R3Generator,
    build_critic=R3Critic,
)
