"""Latent generators as users call them: pictures from nothing, or from the layout of a picture.

>>> from countermark.generators import load_generator
>>> made = load_generator("flowers-128").sample(4, layout="scribble.png")   # doctest: +SKIP
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import cv2
import numpy as np
from torch import Tensor, nn

from countermark.core.autoencoder import DOWN
from countermark.core.errors import ConfigError
from countermark.core.images import Pixels
from countermark.generators.base import (
    Condition,
    ImageSource,
    LoadedGenerator,
    as_pixels,
    to_tensor,
)
from countermark.generators.families.upsampling import double
from countermark.generators.latents.config import LAYOUT

#: Sides that can be asked for, over a generator's own.
TIMES = (1, 2, 4)


@dataclass(frozen=True)
class Painter(LoadedGenerator):
    """A generator of two stages, the first of which a given picture can stand in for."""

    takes: ClassVar[frozenset[str]] = frozenset({"layout", "side"})

    def sample(self, count: int, seed: int = 0, condition: Condition = None, **options: Any) -> np.ndarray:
        """Makes images: uint8 [count, size, size, 3], RGB.

        Args:
            condition: As for every generator.
            options: ``layout``: a photograph, a scribble in colours or a very small picture; its middle
                square is shrunk to 16 x 16 colours, and each image is another painting of these.
                ``side``: two or four times the generator's own, for generators whose pictures tile: a
                larger piece of the same material, which tiles as well.

        Raises:
            ConfigError: as ``LoadedGenerator.sample``; ``generator.side``.
            ImageError: the picture cannot be read.
        """
        source: ImageSource | None = options.pop("layout", None)
        times = self._times(options.pop("side", None))
        if source is None and times == 1:
            return super().sample(count, seed, condition, **options)
        self.check_count(count)
        self.refuse(options)
        cells = None
        if source is not None:
            cells = layout_of(as_pixels(source), min(self.size // DOWN, LAYOUT)).to(self.device)
        painted = replace(self, network=_Painting(self.network, cells, times))
        return painted.render(self.latents(count, seed), self.labels(count, seed, condition))

    def _times(self, side: object) -> int:
        """How often the generator's own side goes into ``side``."""
        if side is None or side == self.size:
            return 1
        sides = [self.size * n for n in TIMES]
        if self.card.config.get("padding") != "circular":
            raise ConfigError(
                f"{self.name} draws pictures of {self.size} px only: what it draws has a size.",
                code="generator.side",
                hint="--upscale 2 enlarges them; generators of materials, as materials-128, take a side.",
            )
        if side not in sides:
            raise ConfigError(
                f"{self.name} cannot draw pictures of {side} px.",
                code="generator.side",
                hint=f"Choose {', '.join(map(str, sides[:-1]))} or {sides[-1]}.",
            )
        return TIMES[sides.index(side)]  # type: ignore[arg-type]


class _Painting(nn.Module):
    """A ``LatentGenerator`` at ``times`` its side; ``cells`` [1, 3, s, s] stand in for its first stage."""

    def __init__(self, network: nn.Module, cells: Tensor | None, times: int) -> None:
        super().__init__()
        self.network, self.cells, self.times = network, cells, times

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        network: Any = self.network
        cells = network.layout(z, labels) if self.cells is None else self.cells.expand(len(z), -1, -1, -1)
        if self.times > 1:
            wanted = network.detail.noise.shape[-1] * self.times
            while cells.shape[-1] < wanted:
                cells = double(cells, "bilinear", network.padding)
        painted: Tensor = network.paint(z, cells, labels)
        return painted


def layout_of(pixels: Pixels, cells: int) -> Tensor:
    """The layout float [1, 3, cells, cells] in [-1, 1] of the middle square of uint8 [H, W, 3]."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[top : top + side, left : left + side]
    # Means of areas where it shrinks, smooth steps where a tiny picture grows.
    how = cv2.INTER_AREA if side >= cells else cv2.INTER_LINEAR
    return to_tensor(cv2.resize(square, (cells, cells), interpolation=how)[None])
