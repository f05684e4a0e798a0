"""Enlarging images of any size.

>>> enlarge(network, pixels, 4).shape                                      # doctest: +SKIP
(256, 256, 3)
"""

from __future__ import annotations

import torch
from torch import nn

from countermark.core.errors import ConfigError
from countermark.core.images import Pixels
from countermark.generators.base import to_pixels, to_tensor
from countermark.generators.superres.network import enlarge_once

SCALES = (2, 4)
MAX_PIXELS = 120_000_000


def enlarge(
    network: nn.Module, pixels: Pixels, scale: int, *, tile: int = 128, device: torch.device | None = None
) -> Pixels:
    """uint8 [H, W, 3] to [scale * H, scale * W, 3]; four times is twice two times.

    Raises:
        ConfigError: ``superres.scale`` (2 and 4 are known) or ``superres.too-large``.
    """
    if scale not in SCALES:
        raise ConfigError(
            f"The scale {scale} is not known.", code="superres.scale", hint="Use 2 or 4, or 2 and resize."
        )
    if pixels.shape[0] * pixels.shape[1] * scale**2 > MAX_PIXELS:
        raise ConfigError(
            f"{pixels.shape[1]} x {pixels.shape[0]} pixels are too many to enlarge {scale} times.",
            code="superres.too-large",
            hint=f"The result may have {MAX_PIXELS:,} pixels.",
        )
    x = to_tensor(pixels[None]).to(device or torch.device("cpu"))
    for _ in range(scale.bit_length() - 1):
        x = enlarge_once(network, x, tile=tile).clamp(-1, 1)  # type: ignore[arg-type]
    return to_pixels(x)[0]
