"""Settings of the family ``latent``, which its generator, its critics and its trainer read."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

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
        layouts: What draws layouts: a ``gan`` (``families.layout``) or a ``flow`` (``families.flow``), for
            which ``latent`` follows from ``texture``.
        flow_width: Channels of the flow at the layout's own side; they are normalised in eight groups, which
            must have more than one channel each, or every mean is lost.
        steps: In which the flow draws.
        guidance: How far the flow exaggerates the class in the first half of its steps; 1 not at all.
        texture: Length of the part of z that decides how a layout is painted; with a GAN all of z does.
        sharpness: How far what is painted is sharpened, see ``latents.sharpening``; 0 not at all.
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
    sharpness: float = Field(default=0.0, ge=0, le=2)
    eyes: Literal["projected", "plain"] = "projected"
    layouts: Literal["gan", "flow"] = "gan"
    flow_width: int = Field(default=48, ge=16, le=512, multiple_of=8)
    steps: int = Field(default=6, ge=1, le=100)
    guidance: float = Field(default=2.0, ge=0, le=10)
    texture: int = Field(default=128, ge=2, le=2048)

    @model_validator(mode="before")
    @classmethod
    def _lengths(cls, values: Any) -> Any:
        """A flow starts from as much noise as a layout has numbers; a GAN shares z with what paints."""
        if not isinstance(values, dict):
            return values
        if values.get("layouts", "gan") == "gan":
            return {**values, "texture": values.get("latent", cls.model_fields["latent"].default)}
        size, texture = values.get("size", 128), values.get("texture", 128)
        if not isinstance(size, int) or not isinstance(texture, int):
            return values  # said by the fields themselves
        return {**values, "latent": texture + 3 * min(size // DOWN, LAYOUT) ** 2}

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
