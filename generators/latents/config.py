"""Settings of the family ``latent``, which its generator, its critics and its trainer read."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from countermark.core.autoencoder import DOWN
from countermark.generators.families.base import NetworkConfig

#: Most cells along the side of a layout.
LAYOUT = 16


class LatentConfig(NetworkConfig):
    """Settings of the family ``latent``.

    Attributes:
        code: Length of the class code.
        layout_width, layout_max_width: Channels of the network that draws layouts, at the layout's own
            side, doubled at each level towards 4 x 4, and most at any level.
        layout_critic_width: Channels of its critic, a quarter of those at 4 x 4.
        width, max_width: Channels of the network that adds detail, at the latents' own side, doubled at
            each level towards 4 x 4, and most at any level.
        depth: Residual blocks at the latents' own side, after those that come back up to it.
        noise: Maps of noise that enter it.
        eyes: What judges detail: ``projected`` by frozen features of photographs
            (``families.projected``; needs the extra ``quality``), ``plain`` a critic of its own.
    """

    size: Literal[64, 128, 256] = 128
    channels: Literal[3] = 3
    code: int = Field(default=64, ge=1, le=1024)
    layout_width: int = Field(default=64, ge=4, le=512)
    layout_max_width: int = Field(default=192, ge=8, le=2048)
    layout_critic_width: int = Field(default=64, ge=4, le=512)
    width: int = Field(default=80, ge=8, le=512)
    max_width: int = Field(default=144, ge=8, le=2048)
    depth: int = Field(default=2, ge=0, le=8)
    noise: int = Field(default=8, ge=1, le=64)
    eyes: Literal["projected", "plain"] = "projected"

    @property
    def side(self) -> int:
        """Of the grid of latents."""
        return self.size // DOWN

    @property
    def layout(self) -> int:
        """Of the layout, in cells."""
        return min(self.side, LAYOUT)

    @property
    def levels(self) -> int:
        """Number of doublings from 4 x 4 to the grid of latents."""
        return self.side.bit_length() - 3
