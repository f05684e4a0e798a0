"""Network blocks that rooms share: the convolutional trunk of a GAN's critic.

Generators train it against their networks; detectors take the same trunk, with or without the
weights of a trained critic, and put a head of their own on it.

>>> import torch
>>> trunk = CriticTrunk(channels=3, width=16, levels=4, max_width=64)
>>> trunk(torch.zeros(2, 3, 64, 64)).shape
torch.Size([2, 64, 4, 4])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

M = TypeVar("M", bound=nn.Module)


def maybe_spectral(module: M, enabled: bool) -> M:
    """``module`` with spectral normalisation of its weight (Miyato et al. 2018) if ``enabled``."""
    return cast(M, spectral_norm(module)) if enabled else module


class MinibatchStd(nn.Module):
    """Adds one channel with the standard deviation over groups of the batch (Karras et al. 2018).

    Input float [N, C, H, W]; output [N, C + 1, H, W]. A critic sees by it that all fakes are alike.
    """

    def __init__(self, group: int = 8) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        count, _, height, width = x.shape
        group = self.group if count % self.group == 0 else count
        grouped = x.float().reshape(group, count // group, -1)
        spread = (grouped.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=1)
        extra = spread.repeat(group).to(x.dtype)[:, None, None, None].expand(count, 1, height, width)
        return torch.cat([x, extra], dim=1)


class CriticTrunk(nn.Module):
    """Strided convolutions from pixels to features, each halving the side (Radford et al. 2016).

    Args:
        channels: Of the input: 3 (RGB) or 1 (grey).
        width: Channels after the first level; doubled at each level up to ``max_width``.
        levels: Number of halvings; a 64 px image has 4 x 4 positions after 4 levels.
        spectral: Spectral normalisation of every weight.
        padding: ``zeros`` or ``circular`` (for tiling textures).

    Input float [N, channels, H, W] in [-1, 1]; output [N, out_channels, H / 2**levels, W / 2**levels].
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        width: int = 32,
        levels: int = 4,
        max_width: int = 256,
        spectral: bool = True,
        padding: Literal["zeros", "circular"] = "zeros",
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        last = channels
        for level in range(levels):
            out = min(width * 2**level, max_width)
            conv = nn.Conv2d(last, out, 4, stride=2, padding=1, padding_mode=padding)
            blocks.append(nn.Sequential(maybe_spectral(conv, spectral), nn.LeakyReLU(0.2)))
            last = out
        self.blocks = nn.ModuleList(blocks)
        self.out_channels = last

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class TrunkClassifier(nn.Module):
    """A critic trunk with average pooling and a linear head: a small CNN discriminator.

    Takes any image of at least 2**levels pixels a side; returns logits [N, outputs].
    """

    def __init__(self, trunk: CriticTrunk, outputs: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(trunk.out_channels, outputs))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.trunk(x).mean(dim=(2, 3)))
        return found


def initialise(module: nn.Module, scale: float = 1.0) -> nn.Module:
    """Orthogonal weights, zero biases, in place; draws from torch's global generator."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            weight = getattr(part, "parametrizations", None)
            target = weight.weight.original if weight is not None and "weight" in weight else part.weight
            nn.init.orthogonal_(target, scale)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return module


def count_parameters(module: nn.Module, keep: Callable[[nn.Parameter], bool] = lambda p: True) -> int:
    """Number of scalars in the parameters that ``keep`` accepts."""
    return sum(p.numel() for p in module.parameters() if keep(p))
