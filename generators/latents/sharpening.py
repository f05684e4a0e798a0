"""What is painted, made as sharp as photographs are: an unsharp mask whose strength is measured.

A network that was taught by its errors paints texture of a little less contrast than photographs have: up
to two decibels between an eighth and a quarter of a cycle a pixel (docs/benchmark-latent-256.md).

>>> edge = torch.cat([torch.full((1, 3, 8, 8), -0.5), torch.full((1, 3, 8, 8), 0.5)], dim=3)
>>> float(sharpened(edge, 0.2).amax()) > 0.5
True
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

#: Spread of the Gaussian in pixels, and where it ends.
SPREAD, REACH = 1.5, 4


def sharpened(pictures: Tensor, amount: float, *, circular: bool = False) -> Tensor:
    """Pictures float [N, C, H, W] in [-1, 1] with ``amount`` of what a Gaussian takes away added again.

    Args:
        amount: 0 leaves the pictures as they are; flat ones stay so with any.
        circular: For pictures that tile, whose edges then see the opposite ones.
    """
    if amount == 0:
        return pictures
    places = torch.arange(-REACH, REACH + 1, dtype=pictures.dtype, device=pictures.device)
    weights = torch.exp(-(places**2) / (2 * SPREAD**2))
    channels = pictures.shape[1]
    line = (weights / weights.sum()).expand(channels, 1, 1, -1)
    blurred = F.pad(pictures, (REACH,) * 4, mode="circular" if circular else "replicate")
    blurred = F.conv2d(F.conv2d(blurred, line, groups=channels), line.transpose(2, 3), groups=channels)
    return (pictures + amount * (pictures - blurred)).clamp(-1, 1)
