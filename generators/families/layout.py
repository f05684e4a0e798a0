"""Layouts: pictures of a few cells a side, the first stage of the latent family, and their critic.

A layout is a picture shrunk until each cell is the mean colour of a square, 8 px for most pictures. A GAN
learns sixteen cells a side in minutes, where 128 px would take it days; ``families.detail`` paints the rest.

>>> config = LatentConfig(size=64, layout_width=8, layout_max_width=16, layout_critic_width=4)
>>> drawn = Layout(config)(torch.zeros(2, 128))
>>> drawn.shape, LayoutCritic(config)(drawn).shape
(torch.Size([2, 3, 8, 8]), torch.Size([2]))
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.networks import MinibatchStd, initialise, maybe_spectral
from countermark.generators.families.layers import ProjectionHead
from countermark.generators.families.upsampling import convolution
from countermark.generators.latents.config import LatentConfig


class ClassCode(nn.Module):
    """z [N, texture] to [N, texture + code] with the code of each label, or as it is without classes."""

    def __init__(self, config: LatentConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.classes, config.code) if config.classes else None
        self.length = config.texture + (config.code if config.classes else 0)

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        if self.embedding is None or labels is None:
            return z
        return torch.cat([z, self.embedding(labels).to(z.dtype)], dim=1)


class SteeredBatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose scale and shift are a linear map of a code [N, D]."""

    def __init__(self, features: int, code: int) -> None:
        super().__init__(features, affine=False)
        self.scale_shift = nn.Linear(code, 2 * features)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:  # type: ignore[override]
        gain, shift = (0.3 * self.scale_shift(code)).chunk(2, dim=1)
        return super().forward(x) * (1 + gain[:, :, None, None]) + shift[:, :, None, None]


class Layout(nn.Module):
    """z [N, latent] (and labels [N]) to layouts [N, 3, cells, cells] in [-1, 1]."""

    def __init__(self, config: LatentConfig) -> None:
        super().__init__()
        levels = config.layout.bit_length() - 3
        widths = [
            min(config.layout_width * 2**level, config.layout_max_width) for level in range(levels, -1, -1)
        ]
        self.code = ClassCode(config)
        self.start = nn.Linear(self.code.length, widths[0] * 16)
        self.norms = nn.ModuleList(SteeredBatchNorm(width, self.code.length) for width in widths)
        self.rises = nn.ModuleList(
            convolution(a, b, 3, config.padding) for a, b in itertools.pairwise(widths)
        )
        self.again = convolution(widths[-1], widths[-1], 3, config.padding)
        self.norm = SteeredBatchNorm(widths[-1], self.code.length)
        self.out = convolution(widths[-1], 3, 3, config.padding)
        initialise(self)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        code = self.code(z, labels)
        x = self.start(code).unflatten(1, (-1, 4, 4))
        x = x.contiguous(memory_format=torch.channels_last)
        for norm, rise in zip(self.norms[:-1], self.rises, strict=True):
            x = rise(F.interpolate(F.relu(norm(x, code)), scale_factor=2.0))
        x = x + self.again(F.relu(self.norms[-1](x, code)))
        return torch.tanh(self.out(F.relu(self.norm(x, code))))


class LayoutCritic(nn.Module):
    """Layouts [N, 3, cells, cells] (and labels) to logits [N].

    Squares of 2 x 2 become channels instead of strides: in bfloat16 on a CPU their gradient costs half.

    Args:
        source: Channels of what it sees.
    """

    def __init__(self, config: LatentConfig, source: int = 3) -> None:
        super().__init__()
        width, padding = config.layout_critic_width, config.critic_padding

        def conv(source: int, target: int, kernel: int) -> nn.Module:
            layer = nn.Conv2d(source, target, kernel, padding=kernel // 2, padding_mode=padding)
            return maybe_spectral(layer, True)

        channels = 2 * width
        self.enter, self.first = conv(4 * source, channels, 3), conv(channels, channels, 3)
        self.falls = nn.ModuleList()
        for _ in range(config.layout.bit_length() - 4):
            self.falls.append(conv(4 * channels, 4 * width, 1))
            channels = 4 * width
        self.second = conv(channels, channels, 3)
        self.statistics = MinibatchStd()
        self.last = conv(channels + 1, channels, 3)
        self.head = ProjectionHead(channels, 4, config.classes)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        x = _leaky(self.enter(F.pixel_unshuffle(x, 2)))
        x = _leaky(x + self.first(x))
        for fall in self.falls:
            x = _leaky(fall(F.pixel_unshuffle(x, 2)))
        x = _leaky(x + self.second(x))
        return self.head(_leaky(self.last(self.statistics(x))), labels)


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)
