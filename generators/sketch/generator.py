"""Doodle to image as users call it: loaded, listed and sampled as every generator is.

>>> from countermark.generators import load_generator
>>> drawn = load_generator("sketch-clothing-128").sample(2, condition="doodle.png")   # doctest: +SKIP
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from countermark.core.seeds import torch_rng
from countermark.generators.base import Condition, ConditionalGenerator, Family, to_pixels
from countermark.generators.sketch.doodles import read_doodle
from countermark.generators.sketch.network import SketchConfig, build_generator


@dataclass(frozen=True)
class SketchToImage(ConditionalGenerator):
    """Doodle to image; two seeds give two images of one doodle."""

    @torch.no_grad()
    def sample(self, count: int, seed: int = 0, condition: Condition = None, **options: Any) -> np.ndarray:
        """Draws the doodle ``count`` times: uint8 [count, size, size, 3], RGB.

        Raises:
            ConfigError: see ``countermark.generators.sketch.doodles.read_doodle``.
            ImageError: the doodle cannot be read.
        """
        self.check_count(count)
        self.refuse(options)
        doodle = (
            torch.from_numpy(read_doodle(self.source(condition), self.size))
            .permute(2, 0, 1)[None]
            .to(self.device)
        )
        images = []
        for number in range(seed, seed + count):  # one by one: an image depends on its own seed only
            z = torch.randn(1, self.latent, generator=torch_rng(number, "latent")).to(self.device)
            images.append(to_pixels(self.network(z, doodle)))
        return np.concatenate(images)


FAMILY = Family("sketch2image", SketchConfig, build_generator, SketchToImage)
