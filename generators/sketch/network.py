"""The networks of ``sketch2image``: a U-Net that noise enters through AdaIN, and a patch critic.

>>> import torch
>>> network = build_generator(SketchConfig(size=32, width=8, max_width=16))
>>> network(torch.zeros(2, 32), torch.zeros(2, 5, 32, 32)).shape
torch.Size([2, 3, 32, 32])

The U-Net and the patch critic follow Isola et al. 2017; noise enters every level of the decoder as
scale and shift of instance-normalised features (Huang & Belongie 2017), so that z is hard to ignore.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.networks import maybe_spectral
from countermark.generators.sketch.edges import CHANNELS


class SketchConfig(BaseModel):
    """Settings of both networks.

    Attributes:
        size: Side of the image in pixels; a multiple of 16.
        latent: Length of z.
        width: Channels at half resolution; doubled at each level up to ``max_width``.
        critic_width: Channels of the critic after its first level.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: Literal[32, 64, 96, 128, 160, 192, 256] = 96
    latent: int = Field(default=32, ge=2, le=512)
    width: int = Field(default=32, ge=4, le=256)
    max_width: int = Field(default=128, ge=8, le=1024)
    critic_width: int = Field(default=24, ge=4, le=256)


class NoiseNorm(nn.Module):
    """Instance normalisation with scale and shift from a code (AdaIN).

    Input float [N, C, H, W] and code [N, D]; output as the input.
    """

    def __init__(self, channels: int, code: int) -> None:
        super().__init__()
        self.scale_shift = nn.Linear(code, 2 * channels)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        gain, shift = self.scale_shift(code).chunk(2, dim=1)
        return F.instance_norm(x, eps=1e-3) * (1 + gain[:, :, None, None]) + shift[:, :, None, None]


class UpBlock(nn.Module):
    """Doubles the side, joins the encoder's features of that side, and lets noise in."""

    def __init__(self, channels: int, skip: int, out: int, code: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels + skip, out, 3, padding=1)
        self.norm = NoiseNorm(out, code)

    def forward(self, x: Tensor, skip: Tensor, code: Tensor) -> Tensor:
        x = torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1)
        return F.leaky_relu(self.norm(self.conv(x), code), 0.2)


class SketchGenerator(nn.Module):
    """``network(z, condition)``: z float [N, latent], condition [N, 5, size, size]; RGB in [-1, 1]."""

    def __init__(self, config: SketchConfig) -> None:
        super().__init__()
        code = 64
        widths = [min(config.width * 2**i, config.max_width) for i in range(4)]
        self.mapping = nn.Sequential(
            nn.Linear(config.latent, code), nn.LeakyReLU(0.2), nn.Linear(code, code), nn.LeakyReLU(0.2)
        )
        # Two by two pixels become channels: the costly full resolution is only touched at the end.
        self.stem = nn.Conv2d(CHANNELS * 4, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1], 4, stride=2, padding=1) for i in range(3)
        )
        self.middle = nn.Conv2d(widths[3], widths[3], 3, padding=1)
        self.middle_norm = NoiseNorm(widths[3], code)
        self.up = nn.ModuleList(
            UpBlock(widths[i + 1], widths[i], widths[i], code) for i in reversed(range(3))
        )
        self.last = nn.Conv2d(widths[0], 16, 3, padding=1)
        self.paint = nn.Conv2d(16 + CHANNELS, 3, 3, padding=1)

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        code = self.mapping(z)
        x = F.leaky_relu(self.stem(F.pixel_unshuffle(condition, 2)), 0.2)
        skips = []
        for conv in self.down:
            skips.append(x)
            x = F.leaky_relu(conv(x), 0.2)
        x = x + F.leaky_relu(self.middle_norm(self.middle(x), code), 0.2)
        for block, skip in zip(self.up, reversed(skips), strict=True):
            x = block(x, skip, code)
        rough = F.interpolate(F.leaky_relu(self.last(x), 0.2), scale_factor=2.0, mode="nearest")
        return torch.tanh(self.paint(torch.cat([rough, condition], dim=1)))


class PatchCritic(nn.Module):
    """Judges patches of about 46 pixels of image and condition together; logits [N, 1, h, w]."""

    def __init__(self, config: SketchConfig) -> None:
        super().__init__()
        width = config.critic_width
        self.layers = nn.Sequential(
            maybe_spectral(nn.Conv2d(3 + CHANNELS, width, 4, stride=2, padding=1), True),
            nn.LeakyReLU(0.2),
            maybe_spectral(nn.Conv2d(width, width * 2, 4, stride=2, padding=1), True),
            nn.LeakyReLU(0.2),
            maybe_spectral(nn.Conv2d(width * 2, width * 4, 4, stride=2, padding=1), True),
            nn.LeakyReLU(0.2),
            maybe_spectral(nn.Conv2d(width * 4, 1, 4, padding=1), True),
        )

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        return self.layers(torch.cat([image, condition], dim=1))


def build_generator(config: SketchConfig) -> SketchGenerator:
    """An untrained generator, colours near grey."""
    network = SketchGenerator(config)
    nn.init.normal_(network.paint.weight, std=0.05)
    return network
