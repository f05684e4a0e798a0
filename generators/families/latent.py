"""Latent GANs: networks that draw latents of the shipped autoencoder, whose decoder paints the picture.

The generator doubles a 4 x 4 grid up to an eighth of the picture's side in residual blocks whose
normalisation is steered by z and the class (Chen et al. 2019, Brock et al. 2019); what it draws is
standardised and rotated, see ``latents.space``. Training runs on such latents alone (``gan.latent``);
called as every generator is, the network returns pictures.

>>> config = LatentConfig(size=64, width=8, max_width=16)
>>> LatentGenerator(config)(torch.zeros(2, 128)).shape
torch.Size([2, 3, 64, 64])
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.errors import WeightsError
from countermark.core.networks import initialise, maybe_spectral
from countermark.core.weights import WeightsCard
from countermark.generators.base import LoadedGenerator
from countermark.generators.families.base import GanFamily
from countermark.generators.families.layers import ProjectionHead
from countermark.generators.families.projected import ProjectedCritic
from countermark.generators.families.upsampling import convolution
from countermark.generators.latents.autoencoder import CHANNELS, decode, digest
from countermark.generators.latents.config import LatentConfig
from countermark.generators.latents.space import LatentSpace


class SteeredNorm(nn.BatchNorm2d):
    """Batch normalisation whose scale and shift are a linear map of a code [N, D]."""

    def __init__(self, features: int, code: int) -> None:
        super().__init__(features, affine=False)
        self.scale_shift = nn.Linear(code, 2 * features)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:  # type: ignore[override]
        gain, shift = (0.3 * self.scale_shift(code)).chunk(2, dim=1)
        return super().forward(x) * (1 + gain[:, :, None, None]) + shift[:, :, None, None]


class DrawBlock(nn.Module):
    """Residual block of two convolutions that may double the side."""

    def __init__(self, source: int, target: int, code: int, config: LatentConfig, *, up: bool) -> None:
        super().__init__()
        self.up = up
        self.norms = nn.ModuleList(SteeredNorm(width, code) for width in (source, target))
        self.first = convolution(source, target, 3, config.padding)
        self.second = convolution(target, target, 3, config.padding)
        self.skip = nn.Conv2d(source, target, 1) if source != target else nn.Identity()

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        h = F.relu(self.norms[0](x, code))
        if self.up:
            h, x = F.interpolate(h, scale_factor=2.0), F.interpolate(x, scale_factor=2.0)
        h = self.second(F.relu(self.norms[1](self.first(h), code)))
        return self.skip(x) + h


class Drawing(nn.Module):
    """z [N, latent] (and labels [N]) to standardised latents [N, 32, side, side]: what is trained."""

    def __init__(self, config: LatentConfig) -> None:
        super().__init__()
        widths = [min(config.width * 2**level, config.max_width) for level in range(config.levels, -1, -1)]
        code = config.latent + (config.code if config.classes else 0)
        self.embedding = nn.Embedding(config.classes, config.code) if config.classes else None
        self.start = nn.Linear(code, widths[0] * 16)
        blocks = [DrawBlock(a, b, code, config, up=True) for a, b in itertools.pairwise(widths)]
        blocks += [DrawBlock(widths[-1], widths[-1], code, config, up=False) for _ in range(config.depth)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = SteeredNorm(widths[-1], code)
        self.out = convolution(widths[-1], CHANNELS, 3, config.padding)
        initialise(self)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        code = z
        if self.embedding is not None and labels is not None:
            code = torch.cat([z, self.embedding(labels)], dim=1)
        x = self.start(code).unflatten(1, (-1, 4, 4))
        for block in self.blocks:
            x = block(x, code)
        return self.out(F.relu(self.norm(x, code)))


class LatentGenerator(nn.Module):
    """z [N, latent] (and labels [N]) to pictures [N, 3, size, size] in [-1, 1]."""

    def __init__(self, config: LatentConfig) -> None:
        super().__init__()
        self.config, self.padding = config, config.padding
        self.drawing = Drawing(config)
        self.space = LatentSpace()

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return decode(self.space.back(self.drawing(z, labels)), self.padding)


class CriticBlock(nn.Module):
    """Residual block with spectral normalisation that may halve the side."""

    def __init__(self, source: int, target: int, config: LatentConfig, *, down: bool) -> None:
        super().__init__()
        self.down = down

        def conv(a: int, b: int, kernel: int) -> nn.Module:
            return maybe_spectral(
                nn.Conv2d(a, b, kernel, padding=kernel // 2, padding_mode=config.critic_padding), True
            )

        self.first, self.second = conv(source, target, 3), conv(target, target, 3)
        self.skip = conv(source, target, 1) if source != target or down else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.second(F.relu(self.first(F.relu(x))))
        if self.down:
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        return h + self.skip(x)


class LatentCritic(nn.Module):
    """Standardised latents [N, 32, side, side] (and labels) to logits [N]."""

    def __init__(self, config: LatentConfig) -> None:
        super().__init__()
        widths = [min(config.critic_width * 2**n, config.critic_max_width) for n in range(config.levels + 1)]
        self.enter = maybe_spectral(
            nn.Conv2d(CHANNELS, widths[0], 3, padding=1, padding_mode=config.critic_padding), True
        )
        blocks = [CriticBlock(widths[0], widths[0], config, down=False)]
        blocks += [CriticBlock(a, b, config, down=True) for a, b in itertools.pairwise(widths)]
        self.blocks = nn.Sequential(*blocks)
        self.head = ProjectionHead(widths[-1], 4, config.classes)
        initialise(self)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.head(F.relu(self.blocks(self.enter(x))), labels)


def build_critic(config: LatentConfig) -> nn.Module:
    return ProjectedCritic(config) if config.eyes == "projected" else LatentCritic(config)


def bound_to_decoder(
    kind: Callable[[Any, WeightsCard, torch.device], LoadedGenerator],
) -> Callable[[Any, WeightsCard, torch.device], LoadedGenerator]:
    """``kind``, but a generator whose latents are for another decoder than the one here is refused."""

    def wrap(network: Any, card: WeightsCard, device: torch.device) -> LoadedGenerator:
        made_for = str(card.preprocessing.get("decoder", "not said"))
        if made_for != digest("decoder"):
            raise WeightsError(
                f"{card.name} draws latents for another decoder ({made_for[:12]}) than the one that comes "
                f"with this version ({digest('decoder')[:12]}).",
                code="weights.family",
                hint="Use the version of Countermark that it was trained with, or train it anew.",
            )
        return kind(network, card, device)

    return wrap


FAMILY = GanFamily(
    name="latent",
    summary="Draws latents of a small autoencoder, whose decoder paints the picture.",
    config=LatentConfig,
    build_generator=LatentGenerator,
    build_critic=build_critic,
    wrap=bound_to_decoder(LoadedGenerator),
)
