"""The two halves of TAEF2 (MIT; madebyollin/taesd), a small autoencoder of pictures: structure only.

Generators draw in its latents; detectors learn from the copies that it makes of photographs. Whoever builds
a half loads its weights.

>>> z = build_encoder()(torch.zeros(1, 3, 64, 64))
>>> z.shape, build_decoder()(z).shape
(torch.Size([1, 32, 8, 8]), torch.Size([1, 3, 64, 64]))
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Of latents.
CHANNELS = 32
#: Pixels of a picture's side for one of its latents.
DOWN = 8
_WIDTH = 64
Padding = Literal["zeros", "circular"]


class Block(nn.Module):
    """Three convolutions and the identity; at the lowest resolution with a look at the whole picture."""

    def __init__(self, *, pool: bool, padding: Padding) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _conv(_WIDTH, _WIDTH, padding), nn.ReLU(),
            _conv(_WIDTH, _WIDTH, padding), nn.ReLU(),
            _conv(_WIDTH, _WIDTH, padding),
        )  # fmt: skip
        self.pool = None
        if pool:
            self.pool = nn.Sequential(
                nn.Conv2d(_WIDTH, 4 * _WIDTH, 1, bias=False),
                nn.GroupNorm(4, 4 * _WIDTH),
                nn.ReLU(),
                nn.Conv2d(4 * _WIDTH, _WIDTH, 1, bias=False),
            )

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return F.relu(self.conv(x) + x)


class _Limit(nn.Module):
    """Latents far outside of what the encoder makes are drawn in, as in training."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


def build_encoder(padding: Padding = "zeros") -> nn.Sequential:
    """Pictures float [N, 3, H, W] in [0, 1] to latents [N, 32, H / 8, W / 8]."""
    layers: list[nn.Module] = [_conv(3, _WIDTH, padding), Block(pool=False, padding=padding)]
    for level in range(3):
        layers.append(_conv(_WIDTH, _WIDTH, padding, bias=False, stride=2))
        layers += [Block(pool=level == 2, padding=padding) for _ in range(3)]
    return nn.Sequential(*layers, _conv(_WIDTH, CHANNELS, padding))


def build_decoder(padding: Padding = "zeros") -> nn.Sequential:
    """Latents [N, 32, h, w] to pictures [N, 3, 8 h, 8 w], about [0, 1]."""
    layers: list[nn.Module] = [_Limit(), _conv(CHANNELS, _WIDTH, padding), nn.ReLU()]
    for level in range(3):
        layers += [Block(pool=level == 0, padding=padding) for _ in range(3)]
        layers += [nn.Upsample(scale_factor=2), _conv(_WIDTH, _WIDTH, padding, bias=False)]
    layers += [Block(pool=False, padding=padding), _conv(_WIDTH, 3, padding)]
    return nn.Sequential(*layers)


def _conv(source: int, target: int, padding: Padding, *, bias: bool = True, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(source, target, 3, stride, padding=1, padding_mode=padding, bias=bias)
