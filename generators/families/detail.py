"""Detail: from a layout to latents of the autoencoder, the second stage of the latent family.

A U-Net over the grid of latents, steered by z and the class. Each cell of the layout lies on its latent,
so what is learnt is texture and outline, not where things are: good ones come after 20,000 pictures.

>>> config = LatentConfig(size=64, width=8, max_width=16)
>>> Detail(config)(torch.zeros(2, 128), torch.zeros(2, 3, 8, 8)).shape
torch.Size([2, 32, 8, 8])
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.autoencoder import CHANNELS
from countermark.core.networks import initialise
from countermark.core.seeds import torch_seeded
from countermark.generators.families.layout import ClassCode
from countermark.generators.families.upsampling import convolution, double
from countermark.generators.latents.config import LatentConfig

#: Length of the code that steers: few numbers, since every block has a linear map of it.
STEER = 48
#: Places by which z is moved on from block to block of noise.
_ROLL = 7


def groups(features: int) -> int:
    """Groups of 16 channels or a few more, so many that they go into ``features``.

    >>> groups(48), groups(56), groups(57)
    (3, 2, 3)
    """
    return next(count for count in range(max(features // 16, 1), 0, -1) if features % count == 0)


class SteeredNorm(nn.Module):
    """Group normalisation whose scale and shift are a linear map of a code [N, D]."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups(features), features, affine=False)
        self.scale_shift = nn.Linear(STEER, 2 * features)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        gain, shift = (0.3 * self.scale_shift(code)).chunk(2, dim=1)
        return self.norm(x) * (1 + gain[:, :, None, None]) + shift[:, :, None, None]


class SteeredBlock(nn.Module):
    """Residual block of two convolutions."""

    def __init__(self, source: int, target: int, config: LatentConfig) -> None:
        super().__init__()
        self.norms = nn.ModuleList((SteeredNorm(source), SteeredNorm(target)))
        self.first = convolution(source, target, 3, config.padding)
        self.second = convolution(target, target, 3, config.padding)
        self.skip = nn.Conv2d(source, target, 1) if source != target else nn.Identity()

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        h = self.first(F.silu(self.norms[0](x, code)))
        return self.skip(x) + self.second(F.silu(self.norms[1](h, code)))


class Noise(nn.Module):
    """z [N, latent] to maps [N, maps, side, side]: a fixed random mixture, so that z decides all.

    For a multiple of the side there are as many blocks, each of z in another order.
    """

    def __init__(self, latent: int, maps: int, side: int) -> None:
        super().__init__()
        self.shape = (maps, side, side)
        with torch_seeded(2014):
            mixture = torch.randn(latent, maps * side * side) / latent**0.5
        self.register_buffer("mixture", mixture, persistent=False)

    def forward(self, z: Tensor, times: int = 1) -> Tensor:
        mixture = self.get_buffer("mixture")
        blocks = [
            (z.float().roll(_ROLL * n, dims=1) @ mixture).unflatten(1, self.shape) for n in range(times**2)
        ]
        rows = [torch.cat(blocks[n : n + times], dim=3) for n in range(0, times**2, times)]
        return torch.cat(rows, dim=2)


class Detail(nn.Module):
    """z [N, texture] and layouts [N, 3, cells, cells] in [-1, 1] (and labels [N]) to standardised latents
    [N, 32, side, side].

    Layouts with more cells than the grid has, a whole multiple, give as many more latents: the network only
    looks around each place.

    Args:
        source, target: Channels of what takes the place of layouts, and of latents.
    """

    def __init__(self, config: LatentConfig, source: int = 3, target: int = CHANNELS) -> None:
        super().__init__()
        self.padding = config.padding
        levels = config.levels
        widths = [min(config.width * 2**level, config.max_width) for level in range(levels + 1)]
        self.code = ClassCode(config)
        self.steer = nn.Sequential(nn.Linear(self.code.length, STEER), nn.SiLU(), nn.Linear(STEER, STEER))
        self.noise = Noise(config.texture, config.noise, config.side)
        self.enter = convolution(source + config.noise, widths[0], 3, config.padding)
        pairs = list(zip([widths[0], *widths[:-1]], widths, strict=True))
        self.down = nn.ModuleList(SteeredBlock(a, b, config) for a, b in pairs)
        self.middle = SteeredBlock(widths[-1], widths[-1], config)
        self.up = nn.ModuleList(
            SteeredBlock(widths[n + 1] + widths[n], widths[n], config) for n in reversed(range(levels))
        )
        self.last = nn.ModuleList(SteeredBlock(widths[0], widths[0], config) for _ in range(config.depth))
        self.norm = SteeredNorm(widths[0])
        self.out = convolution(widths[0], target, 3, config.padding)
        initialise(self)

    def forward(self, z: Tensor, layouts: Tensor, labels: Tensor | None = None) -> Tensor:
        code = self.steer(self.code(z, labels))
        side = self.noise.shape[-1]
        while layouts.shape[-1] < side:
            layouts = double(layouts, "bilinear", self.padding)
        noise = self.noise(z, layouts.shape[-1] // side)
        x = self.enter(torch.cat([layouts, noise.to(layouts.dtype)], dim=1))
        kept: list[Tensor] = []
        for block in self.down:
            x = block(F.avg_pool2d(x, 2) if kept else x, code)
            kept.append(x)
        x = self.middle(kept.pop(), code)
        for block in self.up:
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0), kept.pop()], dim=1), code)
        for block in self.last:
            x = block(x, code)
        return self.out(F.silu(self.norm(x, code)))
