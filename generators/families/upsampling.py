"""Doubling the side of a feature map so that it still tiles when the network pads circularly.

>>> x = torch.arange(4.0).reshape(1, 1, 1, 4)
>>> double(x, "bilinear", "circular")[0, 0, 0].tolist()
[0.75, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 2.25]

Nearest-neighbour doubling tiles as it is. Bilinear doubling and transposed convolution look beyond
the edge, where they would find a copy of the edge or zeros: here they find the opposite side.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.generators.families.base import Padding


def double(x: Tensor, mode: Literal["nearest", "bilinear"], padding: Padding = "zeros") -> Tensor:
    """[N, C, H, W] to [N, C, 2 H, 2 W]; with ``circular`` padding the result tiles if ``x`` does."""
    if mode == "nearest":
        return F.interpolate(x, scale_factor=2, mode="nearest")
    if padding == "zeros":
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    return _inner(F.interpolate(_wrap(x), scale_factor=2, mode="bilinear", align_corners=False))


def double_transposed(conv: nn.Module, x: Tensor, padding: Padding = "zeros") -> Tensor:
    """A transposed 4 x 4 convolution of stride 2 and padding 1, wrapped around the edges if asked."""
    return conv(x) if padding == "zeros" else _inner(conv(_wrap(x)))


class WrappedConv2d(nn.Conv2d):
    """A convolution with circular padding that keeps the side, for odd kernels.

    The same as ``padding_mode="circular"`` and a quarter faster on a CPU: the copies stay in the
    memory layout of the input.
    """

    def __init__(self, source: int, target: int, kernel: int) -> None:
        super().__init__(source, target, kernel)
        self.reach = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        n = self.reach
        x = torch.cat([x[:, :, -n:], x, x[:, :, :n]], dim=2)
        return super().forward(torch.cat([x[..., -n:], x, x[..., :n]], dim=3))


def convolution(source: int, target: int, kernel: int, padding: Padding) -> nn.Conv2d:
    """A convolution that keeps the side, padded with zeros or around the edges."""
    if padding == "circular":
        return WrappedConv2d(source, target, kernel)
    return nn.Conv2d(source, target, kernel, padding=kernel // 2)


def _wrap(x: Tensor) -> Tensor:
    return F.pad(x, (1, 1, 1, 1), mode="circular")


def _inner(x: Tensor) -> Tensor:
    return x[..., 2:-2, 2:-2]
