"""Latents made even: the rotation and scale in which a GAN sees them, measured on its training set.

The autoencoder's 32 channels are correlated and of very different spread. ``LatentSpace`` subtracts the
mean, rotates to the principal axes of the channels and divides each by its spread to the power of
``EVEN``: at 1 every axis would count alike, and axes that hold little but noise would count as much as
those that hold the picture.

>>> space = LatentSpace()
>>> latents = torch.randn(4, 32, 8, 8)
>>> bool(torch.allclose(space.back(space.there(latents)), latents, atol=1e-4))
True
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.autoencoder import CHANNELS

EVEN = 0.7
_LEAST = 1e-3


class LatentSpace(nn.Module):
    """An affine map of the channels and its inverse; the identity until ``measure`` is called."""

    mean: Tensor
    forth: Tensor
    home: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(CHANNELS))
        self.register_buffer("forth", torch.eye(CHANNELS))
        self.register_buffer("home", torch.eye(CHANNELS))

    @torch.no_grad()
    def measure(self, latents: Tensor, even: float = EVEN) -> LatentSpace:
        """Takes mean, axes and spreads from latents [N, 32, h, w]; returns itself.

        The whole is scaled so that values are of unit variance on the average.
        """
        flat = latents.detach().double().permute(1, 0, 2, 3).flatten(1)
        mean = flat.mean(dim=1)
        values, axes = torch.linalg.eigh(torch.cov(flat))
        spread = values.clamp(min=_LEAST * float(values.max())).sqrt()
        scale = spread**even
        scale = scale * (values.clamp(min=0) / scale.square()).mean().sqrt()
        self.mean.copy_(mean)
        self.forth.copy_((axes / scale).T)
        self.home.copy_(axes * scale)
        return self

    def there(self, latents: Tensor) -> Tensor:
        """Latents [N, 32, h, w] to standardised ones, float32."""
        centred = latents.float() - self.mean.float()[:, None, None]
        return F.conv2d(centred, self.forth.float()[:, :, None, None])

    def back(self, standardised: Tensor) -> Tensor:
        """The inverse of ``there``."""
        with torch.autocast(standardised.device.type, enabled=False):
            mixed = F.conv2d(standardised.float(), self.home.float()[:, :, None, None])
            return mixed + self.mean.float()[:, None, None]
