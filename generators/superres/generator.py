"""Super-resolution as users call it: loaded, listed and sampled as every generator is.

>>> from countermark.generators import load_generator
>>> large = load_generator("superres").sample(1, condition="small.png", scale=4)   # doctest: +SKIP
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from countermark.generators.base import Condition, ConditionalGenerator, Family, as_pixels
from countermark.generators.superres.enlarge import enlarge
from countermark.generators.superres.network import SuperresConfig, SuperResolver


@dataclass(frozen=True)
class Superres(ConditionalGenerator):
    """Twice or four times the side of an image of any size."""

    composite: ClassVar[bool] = True

    def sample(self, count: int, seed: int = 0, condition: Condition = None, **options: Any) -> np.ndarray:
        """Enlarges the image: uint8 [count, scale * H, scale * W, 3]; the seed changes nothing.

        Args:
            options: ``scale``: 2 (the default) or 4.

        Raises:
            ConfigError: ``generator.condition-missing``, ``superres.scale`` or ``superres.too-large``.
            ImageError: the image cannot be read.
        """
        self.check_count(count)
        scale = options.pop("scale", None) or 2
        self.refuse(options)
        large = enlarge(self.network, as_pixels(self.source(condition)), scale, device=self.device)
        return np.repeat(large[None], count, axis=0)


FAMILY = Family("superres", SuperresConfig, SuperResolver, Superres)
