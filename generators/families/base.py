"""What a family is: a typed config, a builder for the generator and one for its critic.

A generator network is called ``network(z, labels)`` with ``z`` float [N, latent] and ``labels``
int64 [N] or None, and returns float [N, C, size, size] in [-1, 1]. A critic is called
``critic(x, labels)`` and returns logits [N], higher meaning more real. Registering a ``Family``
is all it takes for the trainer, the sampler and the command line to know it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from countermark.core.errors import ConfigError
from countermark.core.networks import CriticTrunk, MinibatchStd, maybe_spectral
from countermark.core.registry import Registry


class NetworkConfig(BaseModel):
    """Settings that every family has.

    Attributes:
        size: Side of the square image in pixels.
        channels: 3 (RGB) or 1 (grey).
        latent: Length of z.
        classes: Number of classes; 0 for an unconditional network.
        critic_width: Channels of the critic after its first level.
        critic_max_width: Most channels of the critic at any level.
        padding: Of the generator; ``circular`` makes images that tile.
        critic_padding: ``circular`` only where real images tile too; it would see the seams of others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: Literal[16, 32, 64, 128, 256] = 64
    channels: Literal[1, 3] = 3
    latent: int = Field(default=128, ge=2, le=2048)
    classes: int = Field(default=0, ge=0, le=10_000)
    critic_width: int = Field(default=32, ge=4, le=512)
    critic_max_width: int = Field(default=256, ge=8, le=2048)
    padding: Literal["zeros", "circular"] = "zeros"
    critic_padding: Literal["zeros", "circular"] = "zeros"

    @property
    def levels(self) -> int:
        """Number of doublings from 4 x 4 to the image."""
        return self.size.bit_length() - 3


@dataclass(frozen=True)
class Family:
    """One family of networks.

    Attributes:
        defaults: Names of the loss, regularisers and optimiser settings it was designed with; a
            recipe may choose others.
    """

    name: str
    summary: str
    config: type[NetworkConfig]
    build_generator: Callable[[Any], nn.Module]
    build_critic: Callable[[Any], nn.Module]
    defaults: dict[str, Any] = field(default_factory=dict)

    def parse(self, values: dict[str, Any]) -> NetworkConfig:
        """The typed config; ConfigError names what is wrong with ``values``."""
        try:
            return self.config.model_validate(values)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise ConfigError(
                f"The {self.name} network cannot be built: {problems}.",
                hint=f"Known settings: {', '.join(self.config.model_fields)}.",
            ) from error


#: Every family of networks by name.
FAMILIES: Registry[Family] = Registry("generator family")


@runtime_checkable
class SelfSupervised(Protocol):
    """A critic with a loss of its own on real images, added to the adversarial one."""

    def extra_loss(self, real: Tensor) -> Tensor: ...


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

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:  # type: ignore[override]
        if labels is None:
            raise ConfigError("A class-conditional generator needs labels.")
        gain, shift = (self.strength * self.scale_shift(self.code(labels))).chunk(2, dim=1)
        return super().forward(x) * (1 + gain[:, :, None, None]) + shift[:, :, None, None]


class PixelNorm(nn.Module):
    """Divides every feature vector by its root mean square (Karras et al. 2018)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.float().square().mean(dim=1, keepdim=True) + 1e-8).to(x.dtype)
