"""An anchor for a generator of latents: layouts of real pictures must come back from a code.

A GAN that sees few pictures soon draws one layout in many colours. Here an encoder, used in training only,
turns real latents into a normal distribution over z, from which the generator must draw their layout again
(a variational autoencoder joined to a GAN: Larsen et al. 2016). Only means over quarters and eighths of the
side are compared, so that detail is left to the critic: nothing is blurred by it.

>>> from countermark.generators.families.latent import Drawing, LatentConfig
>>> config = LatentConfig(size=64, width=8, max_width=16, latent=8)
>>> anchored = AnchoredDrawing(Drawing(config), config)
>>> anchored(torch.zeros(2, 8)).shape, anchored.anchor_loss(torch.zeros(2, 32, 8, 8), None).shape
(torch.Size([2, 32, 8, 8]), torch.Size([]))
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.networks import initialise
from countermark.generators.latents.autoencoder import CHANNELS

if TYPE_CHECKING:
    from countermark.generators.families.latent import Drawing, LatentConfig

#: Sides of the grids of means that are compared beside a critic; alone, every latent is, too.
GRIDS = (4, 8)
#: Assumed variance of a mean that was drawn again; a latent's own variance is about 1.
VARIANCE = 0.1


class AnchoredDrawing(nn.Module):
    """A ``Drawing`` and its encoder; called as the drawing is."""

    def __init__(self, drawing: Drawing, config: LatentConfig) -> None:
        super().__init__()
        self.drawing = drawing
        self.weight = config.anchor
        widths = [CHANNELS, *(min(config.width * 2**n, config.max_width) for n in range(config.levels + 1))]
        layers: list[nn.Module] = []
        for number, (source, target) in enumerate(itertools.pairwise(widths)):
            layers += [nn.Conv2d(source, target, 3, stride=1 if number == 0 else 2, padding=1)]
            layers += [nn.BatchNorm2d(target), nn.ReLU()]
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * 16, 2 * config.latent))
        initialise(self.encoder)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.drawing(z, labels)

    def anchor_loss(self, real: Tensor, labels: Tensor | None, *, alone: bool = False) -> Tensor:
        """Negative evidence bound of the layout of real latents [N, 32, s, s], over the numbers compared."""
        mean, log_variance = self.encoder(real).float().chunk(2, dim=1)
        log_variance = log_variance.clamp(-8, 4)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        drawn = self.drawing(z, labels).float()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
        grids = [side for side in GRIDS if side <= real.shape[-1]] + [real.shape[-1]] * alone
        numbers = CHANNELS * GRIDS[0] ** 2
        missed = torch.stack(
            [
                F.mse_loss(F.adaptive_avg_pool2d(drawn, side), F.adaptive_avg_pool2d(real.float(), side))
                for side in grids
            ]
        ).mean()
        return (1.0 if alone else self.weight) * (missed / (2 * VARIANCE) + divergence / numbers)
