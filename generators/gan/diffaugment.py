"""Differentiable augmentation of what the critic sees (Zhao et al. 2020), for small training sets.

The same random changes are applied to real and to generated images, and gradients flow through
them. Input and output float [N, C, H, W] in [-1, 1]; draws come from torch's global generator.

>>> augment(torch.zeros(2, 3, 8, 8), ["colour", "translation", "cutout"]).shape
torch.Size([2, 3, 8, 8])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from countermark.core.registry import Registry

AUGMENTATIONS: Registry[Callable[[Tensor], Tensor]] = Registry("augmentation")


def augment(images: Tensor, policies: Sequence[str]) -> Tensor:
    """Applies the named policies in order: ``colour``, ``translation``, ``cutout``, ``flip``."""
    for policy in policies:
        images = AUGMENTATIONS.get(policy)(images)
    return images


def _uniform(images: Tensor) -> Tensor:
    return torch.rand(len(images), 1, 1, 1, device=images.device, dtype=images.dtype)


@AUGMENTATIONS.add("colour")
def colour(images: Tensor) -> Tensor:
    """Brightness by +-0.5, saturation by 0-2, contrast by 0.5-1.5."""
    images = images + (_uniform(images) - 0.5)
    mean = images.mean(dim=1, keepdim=True)
    images = (images - mean) * (_uniform(images) * 2) + mean
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * (_uniform(images) + 0.5) + mean


@AUGMENTATIONS.add("translation")
def translation(images: Tensor, share: float = 0.125) -> Tensor:
    """Shifts by up to ``share`` of the side; what leaves is lost, zeros enter."""
    count, _, height, width = images.shape
    reach_y, reach_x = max(int(height * share), 1), max(int(width * share), 1)
    shift_y = torch.randint(-reach_y, reach_y + 1, (count, 1, 1), device=images.device)
    shift_x = torch.randint(-reach_x, reach_x + 1, (count, 1, 1), device=images.device)
    rows = torch.arange(height, device=images.device)[None, :, None] + shift_y
    columns = torch.arange(width, device=images.device)[None, None, :] + shift_x
    rows, columns = (rows + 1).clamp(0, height + 1), (columns + 1).clamp(0, width + 1)
    padded = F.pad(images, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    index = torch.arange(count, device=images.device)[:, None, None]
    return padded[index, rows, columns].permute(0, 3, 1, 2)


def roll(images: Tensor) -> Tensor:
    """Rolls each image around its edges by a random offset; what leaves enters on the other side."""
    count, _, height, width = images.shape
    shift_y = torch.randint(0, height, (count, 1, 1), device=images.device)
    shift_x = torch.randint(0, width, (count, 1, 1), device=images.device)
    rows = (torch.arange(height, device=images.device)[None, :, None] + shift_y) % height
    columns = (torch.arange(width, device=images.device)[None, None, :] + shift_x) % width
    index = torch.arange(count, device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[index, rows, columns].permute(0, 3, 1, 2)


@AUGMENTATIONS.add("cutout")
def cutout(images: Tensor, share: float = 0.5) -> Tensor:
    """Greys out a rectangle with sides of ``share`` of the image's."""
    count, _, height, width = images.shape
    tall, wide = int(height * share), int(width * share)
    centre_y = torch.randint(0, height + 1, (count, 1, 1), device=images.device)
    centre_x = torch.randint(0, width + 1, (count, 1, 1), device=images.device)
    rows = torch.arange(height, device=images.device)[None, :, None]
    columns = torch.arange(width, device=images.device)[None, None, :]
    inside = ((rows - centre_y).abs() * 2 < tall) & ((columns - centre_x).abs() * 2 < wide)
    return images * (~inside)[:, None].to(images.dtype)


@AUGMENTATIONS.add("flip")
def flip(images: Tensor) -> Tensor:
    """Mirrors half of the images left to right."""
    return torch.where(_uniform(images) < 0.5, images.flip(3), images)
