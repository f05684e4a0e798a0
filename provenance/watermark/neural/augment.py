"""Differentiable handling, for training: what happens to a picture between marking and reading.

>>> import torch
>>> handle(torch.rand(2, 3, 64, 64), torch.Generator().manual_seed(0)).shape
torch.Size([2, 3, 64, 64])
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def handle(images: Tensor, random: torch.Generator, amount: float = 1.0) -> Tensor:
    """One random change for the whole batch (n x 3 x H x W, 0 to 1); ``amount`` 0 to 1 scales it."""
    kinds = (recode, noise, blur, tone, geometry, shrink, _nothing)
    kind = kinds[int(torch.randint(len(kinds), (1,), generator=random))]
    return kind(images, random, amount).clamp(0, 1)


def recode(images: Tensor, random: torch.Generator, amount: float) -> Tensor:
    """Quantised 8 x 8 cosine transform, as JPEG's; rounding passes gradients straight through."""
    step = (4 + 36 * amount * _uniform(random)) / 255
    rows, columns = images.shape[-2] // 8 * 8, images.shape[-1] // 8 * 8
    whole = images[..., :rows, :columns]
    blocks = whole.unfold(-2, 8, 8).unfold(-2, 8, 8)
    basis = _cosines()
    coefficients = basis @ blocks @ basis.T
    ramp = 1 + (torch.arange(8)[:, None] + torch.arange(8)[None, :]) / 4
    scaled = coefficients / (step * ramp)
    rounded = scaled + (scaled.round() - scaled).detach()
    back = basis.T @ (rounded * step * ramp) @ basis
    result = images.clone()
    result[..., :rows, :columns] = back.permute(0, 1, 2, 4, 3, 5).reshape(whole.shape)
    return result


def noise(images: Tensor, random: torch.Generator, amount: float) -> Tensor:
    """Gaussian noise, up to 12 grey levels."""
    return images + torch.randn(images.shape, generator=random) * (12 / 255 * amount * _uniform(random))


def blur(images: Tensor, random: torch.Generator, amount: float) -> Tensor:
    """Gaussian blur, sigma up to 1.5."""
    sigma = 0.3 + 1.2 * amount * _uniform(random)
    line = torch.exp(-0.5 * (torch.arange(-4, 5) / sigma) ** 2)
    line = (line / line.sum()).repeat(3, 1, 1, 1)
    padded = functional.pad(images, (4, 4, 4, 4), mode="reflect")
    return functional.conv2d(functional.conv2d(padded, line, groups=3), line.mT, groups=3)


def tone(images: Tensor, random: torch.Generator, amount: float) -> Tensor:
    """Contrast and brightness by up to 30 %."""
    contrast, gain = (1 + 0.3 * amount * (2 * _uniform(random) - 1) for _ in range(2))
    return ((images - 0.5) * contrast + 0.5) * gain


def geometry(images: Tensor, random: torch.Generator, amount: float) -> Tensor:
    """Rotation by up to 10 degrees, a crop to at least half of the area, at random a flip."""
    angle = math.radians(10) * amount * (2 * _uniform(random) - 1)
    side = 1 - (1 - math.sqrt(0.5)) * amount * _uniform(random)
    x, y = ((1 - side) * (2 * _uniform(random) - 1) for _ in range(2))
    sine, cosine = side * math.sin(angle), side * math.cos(angle)
    mirror = -1.0 if _uniform(random) < 0.5 * amount else 1.0
    matrix = torch.tensor([[mirror * cosine, -sine, x], [mirror * sine, cosine, y]])
    grid = functional.affine_grid(matrix.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def shrink(images: Tensor, random: torch.Generator, amount: float) -> Tensor:
    """Smaller, down to a half, and back."""
    factor = 1 - 0.5 * amount * _uniform(random)
    small = functional.interpolate(images, scale_factor=factor, mode="bilinear", antialias=True)
    return functional.interpolate(small, images.shape[-2:], mode="bilinear")


def _nothing(images: Tensor, random: torch.Generator, amount: float) -> Tensor:
    return images


def _uniform(random: torch.Generator) -> float:
    return float(torch.rand(1, generator=random))


def _cosines() -> Tensor:
    """The orthonormal cosine transform of length 8."""
    k, n = torch.arange(8.0)[:, None], torch.arange(8.0)[None, :]
    basis = torch.cos(math.pi * (n + 0.5) * k / 8) / 2
    basis[0] /= math.sqrt(2)
    return basis
