"""Doodle to image in the latent space, in two stages: a layout of colours for the doodle, then detail.

>>> network = LatentSketch(LatentSketchConfig(size=64, width=8, max_width=16, layout_width=8))
>>> network(torch.zeros(2, 128), torch.zeros(2, 5, 64, 64)).shape
torch.Size([2, 3, 64, 64])

The same conditions as ``sketch.network``, and the same two stages as the family ``latent``. The first
(``sketch.regions``) divides the doodle into regions and takes their colours from a photograph, another one
for each z; the second, a U-Net of ``families.detail`` that sees layout and lines, paints it. Both get the
doodle as squares of 8 x 8 points in a few channels.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.autoencoder import DOWN
from countermark.generators.base import Family
from countermark.generators.families.detail import Detail
from countermark.generators.families.latent import bound_to_decoder
from countermark.generators.families.upsampling import double
from countermark.generators.latents.autoencoder import decode
from countermark.generators.latents.config import LatentConfig
from countermark.generators.latents.space import LatentSpace
from countermark.generators.sketch.edges import CHANNELS
from countermark.generators.sketch.generator import SketchToImage
from countermark.generators.sketch.regions import Palettes, coloured

NAME = "sketch-latent"
#: Channels of a doodle as squares of 8 x 8, see ``squares``.
SQUARES = CHANNELS * DOWN**2
#: Channels of a square on their way to ``LatentSketchConfig.lines``.
_HIDDEN = 48


class LatentSketchConfig(BaseModel):
    """Settings of the networks.

    Attributes:
        size: Side of the image in pixels.
        latent: Length of z.
        width, max_width, depth, noise: Of the network that adds detail, see ``LatentConfig``.
        layout_width, layout_max_width: Of the one that finds regions.
        regions: Number of them.
        palettes: Photographs whose colours are kept.
        lines: Channels in which either network sees the doodle.
        critic_width: Channels of the critic of detail.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: Literal[64, 128, 256] = 128
    latent: int = Field(default=128, ge=2, le=512)
    width: int = Field(default=80, ge=8, le=512)
    max_width: int = Field(default=144, ge=8, le=2048)
    depth: int = Field(default=2, ge=0, le=8)
    noise: int = Field(default=8, ge=1, le=64)
    layout_width: int = Field(default=32, ge=8, le=512)
    layout_max_width: int = Field(default=64, ge=8, le=2048)
    regions: int = Field(default=5, ge=2, le=32)
    palettes: int = Field(default=512, ge=2, le=8192)
    lines: int = Field(default=12, ge=1, le=256)
    critic_width: int = Field(default=64, ge=4, le=256)

    @property
    def detail(self) -> LatentConfig:
        """Of the network that adds detail, and of its critic."""
        return LatentConfig(
            size=self.size, latent=self.latent, width=self.width, max_width=self.max_width,
            depth=self.depth, noise=self.noise, critic_width=self.critic_width,
        )  # fmt: skip

    @property
    def layouts(self) -> LatentConfig:
        """Of the network that finds regions, whose grid is that of a picture of 128 px at most."""
        return LatentConfig(
            size=64 if self.size == 64 else 128, latent=self.latent, width=self.layout_width,
            max_width=self.layout_max_width, depth=1, noise=1,
        )  # fmt: skip


def squares(condition: Tensor, cells: int) -> Tensor:
    """A condition [N, 5, S, S] in squares of 8 x 8 points, shrunk to them: [N, 320, cells, cells]."""
    side = cells * DOWN
    if condition.shape[-1] > side:
        condition = F.avg_pool2d(condition, condition.shape[-1] // side)
    return F.pixel_unshuffle(condition, DOWN)


def hints(doodle: Tensor) -> tuple[Tensor, Tensor]:
    """Colours [N, 3, h, w] in [-1, 1] of the colour scribbles in squares, and how much of each is marked."""
    parts = doodle.float().unflatten(1, (CHANNELS, -1)).mean(dim=2)
    marked = parts[:, 4:]
    return parts[:, 1:4] / marked.clamp(min=1e-6), marked


class Lines(nn.Sequential):
    """Squares [N, 320, h, w] in a few channels [N, lines, h, w]."""

    def __init__(self, config: LatentSketchConfig) -> None:
        super().__init__(
            nn.Conv2d(SQUARES, _HIDDEN, 1), nn.LeakyReLU(0.2), nn.Conv2d(_HIDDEN, config.lines, 3, padding=1)
        )


class SketchLayout(nn.Module):
    """z [N, latent] and squares [N, 320, cells, cells] to layouts [N, 3, cells, cells] in [-1, 1]."""

    def __init__(self, config: LatentSketchConfig) -> None:
        super().__init__()
        self.lines = Lines(config)
        self.dividing = Detail(config.layouts, config.lines, config.regions)
        self.palettes = Palettes(config.latent, config.palettes, config.regions)

    def regions(self, doodle: Tensor) -> Tensor:
        """Shares [N, regions, cells, cells] of each cell, which sum to 1."""
        nothing = doodle.new_zeros(len(doodle), self.dividing.code.length)
        return self.dividing(nothing, self.lines(doodle)).float().softmax(dim=1)

    def forward(self, z: Tensor, doodle: Tensor) -> Tensor:
        shares = self.regions(doodle)
        return coloured(shares, self.palettes(z, shares, *hints(doodle)))


class SketchDetail(nn.Module):
    """z [N, latent] and guides [N, 3 + 320, side, side] to standardised latents [N, 32, side, side].

    Guides are a layout at the latents' side and squares, see ``guides``.
    """

    def __init__(self, config: LatentSketchConfig) -> None:
        super().__init__()
        self.lines = Lines(config)
        self.detail = Detail(config.detail, 3 + config.lines)

    def forward(self, z: Tensor, guides: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.detail(z, torch.cat([guides[:, :3], self.lines(guides[:, 3:])], dim=1), labels)

    @torch.no_grad()
    def begin_with(self, detail: Detail | SketchDetail) -> None:
        """Takes the weights of another ``SketchDetail``, or of a ``Detail`` that sees layouts alone.

        Both of the same settings. It then draws what that one does; after a ``Detail``, whose classes become
        their mean, it has the lines to learn.
        """
        if isinstance(detail, SketchDetail):
            self.load_state_dict(detail.state_dict())
            return
        state = detail.state_dict()
        entered = self.detail.enter.weight.clone()
        entered[:, 3 : -self.detail.noise.shape[0]] = 0
        entered[:, :3] = state["enter.weight"][:, :3]
        entered[:, -self.detail.noise.shape[0] :] = state["enter.weight"][:, 3:]
        state["enter.weight"] = entered
        codes = state.pop("code.embedding.weight", None)
        if codes is not None:
            weight = state["steer.0.weight"]
            own = weight.shape[1] - codes.shape[1]
            state["steer.0.bias"] = state["steer.0.bias"] + weight[:, own:] @ codes.mean(dim=0)
            state["steer.0.weight"] = weight[:, :own]
        self.detail.load_state_dict(state)


def guides(layouts: Tensor, doodle: Tensor) -> Tensor:
    """What ``SketchDetail`` is told: layouts [N, 3, cells, cells] and squares [N, 320, side, side]."""
    while layouts.shape[-1] < doodle.shape[-1]:
        layouts = double(layouts, "bilinear", "zeros")
    return torch.cat([layouts, doodle.to(layouts.dtype)], dim=1)


class LatentSketch(nn.Module):
    """``network(z, condition)``: z float [N, latent], condition [N, 5, size, size]; RGB in [-1, 1]."""

    def __init__(self, config: LatentSketchConfig) -> None:
        super().__init__()
        self.config = config
        self.layout = SketchLayout(config)
        self.detail = SketchDetail(config)
        self.space = LatentSpace()

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        layouts = self.layout(z, squares(condition, self.config.layouts.side))
        told = guides(layouts, squares(condition, self.config.detail.side))
        return decode(self.space.back(self.detail(z, told)))


FAMILY = Family(NAME, LatentSketchConfig, LatentSketch, bound_to_decoder(SketchToImage))
