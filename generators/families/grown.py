"""A trained generator with a stage on top that doubles its side once or twice: growth to 256 px.

As in progressive growing (Karras et al. 2018) the small network is trained first and the new layers
are added on top; here they start as bicubic enlargement, so that nothing is lost at the first step.
A skip-layer excitation (Liu et al. 2021) lets the small image's layout gate the finest channels.

>>> config = GrownConfig(size=32, latent=8, base={"width": 4, "max_width": 8}, stage_width=8)
>>> GrownGenerator(config)(torch.zeros(2, 8)).shape
torch.Size([2, 3, 32, 32])
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.errors import ConfigError
from countermark.core.networks import initialise, maybe_spectral
from countermark.generators.families import FAMILIES
from countermark.generators.families.base import GanFamily, NetworkConfig
from countermark.generators.families.fastgan import Excitation

#: Families that are wrappers themselves.
WRAPPERS = ("tuned", "grown")


class GrownConfig(NetworkConfig):
    """Settings of the family ``grown``; ``size`` is ``factor`` times that of the small generator.

    Attributes:
        base_family, base: Family and further settings of the small generator.
        factor: 2 or 4 times its side.
        stage_width: Channels of the stage at the small side; halved with every doubling.
        stage_blocks: Residual blocks at the small side.
    """

    base_family: str = "dcgan"
    base: dict[str, Any] = Field(default_factory=dict)
    factor: Literal[2, 4] = 2
    stage_width: int = Field(default=32, ge=8, le=512)
    stage_blocks: int = Field(default=4, ge=1, le=64)

    def base_config(self) -> NetworkConfig:
        """The small generator's own config."""
        if self.base_family in WRAPPERS:
            raise ConfigError(f"A {self.base_family} generator cannot be grown.", code="generator.grown")
        own = {
            "size": self.size // self.factor,
            "channels": self.channels,
            "classes": self.classes,
            "latent": self.latent,
            "padding": self.padding,
        }
        return FAMILIES.get(self.base_family).parse({**self.base, **own})


class GrowthStage(nn.Module):
    """Small images [N, C, s, s] (and labels) to [N, C, factor * s, factor * s]; any s from 4 on."""

    def __init__(self, config: GrownConfig) -> None:
        super().__init__()
        self.factor, self.circular = config.factor, config.padding == "circular"
        width = config.stage_width

        def conv(source: int, target: int) -> nn.Conv2d:
            return nn.Conv2d(source, target, 3, padding=1, padding_mode=config.padding)

        self.head = conv(config.channels, width)
        self.code = nn.Embedding(config.classes, 2 * width) if config.classes else None
        self.blocks = nn.ModuleList(
            nn.ModuleList((conv(width, width), conv(width, width))) for _ in range(config.stage_blocks)
        )
        self.ups = nn.ModuleList()
        self.strengths = nn.ParameterList()
        last, side = width, config.size // config.factor
        for level in range(config.factor.bit_length() - 1):
            self.ups.append(nn.ModuleList((conv(last, last // 2), conv(last // 2, last // 2))))
            last, side = last // 2, side * 2
            self.strengths.append(nn.Parameter(torch.full((1, last, 1, 1), 0.2)))
            self.register_buffer(f"noise{level}", torch.randn(1, 1, side, side))
        self.gate = Excitation(width, last)
        self.out = conv(last, config.channels)
        initialise(self)
        nn.init.normal_(self.out.weight, std=1e-3)

    def forward(self, small: Tensor, labels: Tensor | None = None) -> Tensor:
        h = self.head(small)
        if self.code is not None:
            if labels is None:
                raise ConfigError("A class-conditional stage needs labels.")
            gain, shift = self.code(labels)[:, :, None, None].chunk(2, dim=1)
            h = h * (1 + gain) + shift
        for block in self.blocks:
            h = h + block[1](F.leaky_relu(block[0](h), 0.1))  # type: ignore[index]
        layout = h
        for level, (up, strength) in enumerate(zip(self.ups, self.strengths, strict=True)):
            h = up[0](F.interpolate(h, scale_factor=2, mode="nearest"))  # type: ignore[index]
            h = F.leaky_relu(h + (strength * self._noise(level, h)).to(h.dtype), 0.1)
            h = F.leaky_relu(up[1](h), 0.1)  # type: ignore[index]
        return smooth(small, self.factor, circular=self.circular) + self.out(2 * self.gate(layout, h))

    def _noise(self, level: int, like: Tensor) -> Tensor:
        """Grain for details that the small image does not decide: new in training, else always the same."""
        height, width = like.shape[2:]
        if self.training:
            return torch.randn(len(like), 1, height, width, device=like.device)
        fixed = self.get_buffer(f"noise{level}")
        times = (1, 1, -(-height // fixed.shape[2]), -(-width // fixed.shape[3]))
        return fixed.repeat(times)[:, :, :height, :width]


class GrownGenerator(nn.Module):
    """z [N, latent] (and labels) through the small generator and the stage."""

    def __init__(self, config: GrownConfig) -> None:
        super().__init__()
        self.base = FAMILIES.get(config.base_family).build_generator(config.base_config())
        self.stage = GrowthStage(config)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.stage(self.base(z, labels), labels)


class TextureCritic(nn.Module):
    """Judges patches of images of any size from 32 px on; the logits [N] are their mean."""

    def __init__(self, config: GrownConfig) -> None:
        super().__init__()
        last, layers = config.channels, []
        for level in range(4):
            width = min(config.critic_width * 2**level, config.critic_max_width)
            layers += [
                maybe_spectral(nn.Conv2d(last, width, 4, stride=2, padding=1), True),
                nn.LeakyReLU(0.2),
            ]
            last = width
        self.layers = nn.Sequential(*layers)
        self.head = maybe_spectral(nn.Conv2d(last, 1, 1), True)
        self.embedding = maybe_spectral(nn.Embedding(config.classes, last), True) if config.classes else None

    def patches(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """A logit for each patch, [N, h * w]; patches are 16 px apart and overlap."""
        features = self.layers(x)
        logits = self.head(features)
        if self.embedding is not None:
            if labels is None:
                raise ConfigError("A class-conditional critic needs labels.")
            logits = logits + (self.embedding(labels)[:, :, None, None] * features).sum(dim=1, keepdim=True)
        return logits.flatten(1)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.patches(x, labels).mean(dim=1)


def smooth(x: Tensor, scale: int, *, circular: bool = False) -> Tensor:
    """Bicubic enlargement of float [N, C, H, W]; ``circular`` goes around the edges."""
    if not circular:
        return F.interpolate(x, scale_factor=float(scale), mode="bicubic", align_corners=False)
    wrapped = F.pad(x, (3, 3, 3, 3), mode="circular")
    large = F.interpolate(wrapped, scale_factor=float(scale), mode="bicubic", align_corners=False)
    return large[:, :, 3 * scale : -3 * scale, 3 * scale : -3 * scale]


def build_critic(config: GrownConfig) -> nn.Module:
    return initialise(TextureCritic(config))


FAMILY = GanFamily(
    name="grown",
    summary="A trained generator and a stage on top that doubles its side once or twice.",
    config=GrownConfig,
    build_generator=GrownGenerator,
    build_critic=build_critic,
)
