"""Latent GANs in two stages: a layout, then latents of the shipped autoencoder, whose decoder paints them.

One network draws a layout of 16 x 16 colours (``families.layout``, or ``families.flow``), another adds
detail to it (``families.detail``); what it draws is standardised and rotated, see ``latents.space``. Each
stage is trained alone, on layouts or latents (``gan.latent``); called as every generator is, the network
returns pictures. The idea of a small picture first is that of Denton et al. 2015 and Ho et al. 2021.

>>> config = LatentConfig(size=64, width=8, max_width=16, layout_width=8, layout_max_width=16)
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

from countermark.core.autoencoder import CHANNELS
from countermark.core.errors import WeightsError
from countermark.core.networks import initialise, maybe_spectral
from countermark.core.weights import WeightsCard
from countermark.generators.base import LoadedGenerator
from countermark.generators.families.base import GanFamily
from countermark.generators.families.detail import Detail
from countermark.generators.families.flow import LayoutFlow
from countermark.generators.families.layers import ProjectionHead
from countermark.generators.families.layout import Layout
from countermark.generators.families.painter import Painter
from countermark.generators.families.projected import ProjectedCritic
from countermark.generators.latents.autoencoder import decode, digest
from countermark.generators.latents.config import LatentConfig
from countermark.generators.latents.sharpening import sharpened
from countermark.generators.latents.space import LatentSpace


class LatentGenerator(nn.Module):
    """z [N, latent] (and labels [N]) to pictures [N, 3, size, size] in [-1, 1]."""

    def __init__(self, config: LatentConfig) -> None:
        super().__init__()
        self.config, self.padding = config, config.padding
        self.layout = LayoutFlow(config) if config.layouts == "flow" else Layout(config)
        self.detail = Detail(config)
        self.space = LatentSpace()

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.paint(z, self.layout(z, labels), labels)

    def paint(self, z: Tensor, layouts: Tensor, labels: Tensor | None = None) -> Tensor:
        """Pictures of layouts float [N, 3, cells, cells] in [-1, 1]; z decides how each is painted."""
        texture = z[:, : self.config.texture]
        painted = decode(self.space.back(self.detail(texture, layouts, labels)), self.padding)
        return sharpened(painted, self.config.sharpness, circular=self.padding == "circular")


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
    summary="Draws a layout, then latents of a small autoencoder, whose decoder paints the picture.",
    config=LatentConfig,
    build_generator=LatentGenerator,
    build_critic=build_critic,
    wrap=bound_to_decoder(Painter),
)
