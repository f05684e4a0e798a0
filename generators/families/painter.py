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
from countermark.core.images import Pixels
from countermark.generators.base import (
    Condition,
    ImageSource,
    LoadedGenerator,
    as_pixels,
    to_tensor,
)
from countermark.generators.latents.config import LAYOUT


@dataclass(frozen=True)
class Painter(LoadedGenerator):
    """A generator of two stages, the first of which a given picture can stand in for."""

    takes: ClassVar[frozenset[str]] = frozenset({"layout"})

    def sample(self, count: int, seed: int = 0, condition: Condition = None, **options: Any) -> np.ndarray:
        """Makes images: uint8 [count, size, size, 3], RGB.

        Args:
            condition: As for every generator.
            options: ``layout``: a photograph, a scribble in colours or a very small picture; its middle
                square is shrunk to 16 x 16 colours, and each image is another painting of these.

        Raises:
            ConfigError: as ``LoadedGenerator.sample``.
            ImageError: the picture cannot be read.
        """
        source: ImageSource | None = options.pop("layout", None)
        if source is None:
            return super().sample(count, seed, condition, **options)
        self.check_count(count)
        self.refuse(options)
        cells = layout_of(as_pixels(source), min(self.size // DOWN, LAYOUT)).to(self.device)
        painted = replace(self, network=_Painting(self.network, cells))
        return painted.render(self.latents(count, seed), self.labels(count, seed, condition))


class _Painting(nn.Module):
    """A ``LatentGenerator`` whose first stage always draws ``cells`` [1, 3, s, s]."""

    def __init__(self, network: nn.Module, cells: Tensor) -> None:
        super().__init__()
        self.network, self.cells = network, cells

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        painted: Tensor = self.network.paint(z, self.cells.expand(len(z), -1, -1, -1), labels)  # type: ignore[operator]
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
