"""Layers that several families are made of: the head and the trunk of critics, normalisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from countermark.core.errors import ConfigError
from countermark.core.networks import CriticTrunk, MinibatchStd, maybe_spectral
from countermark.generators.families.base import NetworkConfig


class ProjectionHead(nn.Module):
    """Features to one logit, plus an inner product with the class (Miyato & Koyama 2018).

    Input float [N, C, h, w] and labels int64 [N] or None; output [N].
    """

    def __init__(
        self, channels: int, side: int, classes: int = 0, *, spectral: bool = True, minibatch: bool = True
    ) -> None:
        super().__init__()
        self.statistics = MinibatchStd() if minibatch else nn.Identity()
        self.linear = maybe_spectral(nn.Linear((channels + int(minibatch)) * side * side, 1), spectral)
        self.embedding = maybe_spectral(nn.Embedding(classes, channels), spectral) if classes else None

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        logits = self.linear(self.statistics(features).flatten(1)).squeeze(1)
        if self.embedding is not None:
            if labels is None:
                raise ConfigError("A class-conditional critic needs labels.")
            logits = logits + (self.embedding(labels) * features.sum(dim=(2, 3))).sum(dim=1)
        return logits


class ConvCritic(nn.Module):
    """Critic trunk and projection head; the default critic of most families."""

    def __init__(self, config: NetworkConfig, *, spectral: bool = True, minibatch: bool = True) -> None:
        super().__init__()
        self.trunk = CriticTrunk(
            channels=config.channels,
            width=config.critic_width,
            levels=config.levels,
            max_width=config.critic_max_width,
            spectral=spectral,
            padding=config.critic_padding,
        )
        self.head = ProjectionHead(
            self.trunk.out_channels, 4, config.classes, spectral=spectral, minibatch=minibatch
        )

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.head(self.trunk(x), labels)


class ConditionalBatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose scale and shift depend on the class (de Vries et al. 2017).

    They come from a class code through a linear map (Brock et al. 2019): classes differ from the
    first step on, and many weights move each of them, which matters when steps are few.
    """

    def __init__(self, features: int, classes: int, code: int = 64, strength: float = 0.3) -> None:
        super().__init__(features, affine=False)
        self.code = nn.Embedding(classes, code)
        self.scale_shift = nn.Linear(code, 2 * features)
        self.strength = strength

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is None:
            raise ConfigError("A class-conditional generator needs labels.")
        gain, shift = (self.strength * self.scale_shift(self.code(labels))).chunk(2, dim=1)
        return super().forward(x) * (1 + gain[:, :, None, None]) + shift[:, :, None, None]


class PixelNorm(nn.Module):
    """Divides every feature vector by its root mean square (Karras et al. 2018)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.float().square().mean(dim=1, keepdim=True) + 1e-8).to(x.dtype)
