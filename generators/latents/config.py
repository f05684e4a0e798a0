"""Settings of the family ``latent``, which its generator, its critics and its trainer read."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from countermark.generators.families.base import NetworkConfig
from countermark.generators.latents.autoencoder import DOWN


class LatentConfig(NetworkConfig):
    """Settings of the family ``latent``.

    Attributes:
        width, max_width: Channels of the generator at the latents' own size, doubled at each level
            towards 4 x 4, and most at any level.
        code: Length of the class code.
        depth: Residual blocks at the latents' own size, beside those that double the side.
        anchor: Weight of the loss that makes real layouts come back (``families.anchor``); 0 trains
            without it.
        eyes: ``projected`` judges by frozen features of photographs (``families.projected``; needs the
            extra ``quality``), ``plain`` by a critic of its own.
    """

    size: Literal[64, 128, 256] = 128
    channels: Literal[3] = 3
    width: int = Field(default=96, ge=4, le=512)
    max_width: int = Field(default=256, ge=8, le=2048)
    code: int = Field(default=64, ge=1, le=1024)
    depth: int = Field(default=1, ge=0, le=8)
    anchor: float = Field(default=1.0, ge=0, le=100)
    eyes: Literal["projected", "plain"] = "projected"

    @property
    def side(self) -> int:
        """Of the grid of latents."""
        return self.size // DOWN

    @property
    def levels(self) -> int:
        """Number of doublings from 4 x 4 to the grid of latents."""
        return self.side.bit_length() - 3
