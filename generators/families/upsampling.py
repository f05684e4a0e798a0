"""Doubling the side of a feature map so that it still tiles when the network pads circularly.

>>> x = torch.arange(4.0).reshape(1, 1, 1, 4)
>>> double(x, "bilinear", "circular")[0, 0, 0].tolist()
[0.75, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 2.25]

Nearest-neighbour doubling tiles as it is. Bilinear doubling and transposed convolution look beyond
the edge, where they would find a copy of the edge or zeros: here they find the opposite side.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

Padding = Literal["zeros", "circular"]


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


def _wrap(x: Tensor) -> Tensor:
    return F.pad(x, (1, 1, 1, 1), mode="circular")


def _inner(x: Tensor) -> Tensor:
    return x[..., 2:-2, 2:-2]
