"""An anchor for a generator of latents: layouts of real pictures must come back from a code.

A GAN that sees few pictures soon draws one layout in many colours. Here an encoder, used in training only,
turns real latents into a normal distribution over z, from which the generator must draw them again (a
variational autoencoder joined to a GAN: Larsen et al. 2016). Before the critic begins every latent counts.
Then half of what the critic judges is drawn from such codes, and compared with its picture by means over
quarters and eighths of the side and by the critic's frozen features: detail is left to the critic.

>>> from countermark.generators.families.latent import Drawing, LatentConfig
>>> config = LatentConfig(size=64, width=8, max_width=16, latent=8)
>>> anchored = AnchoredDrawing(Drawing(config), config)
>>> anchored(torch.zeros(2, 8)).shape, anchored.warm_loss(torch.zeros(2, 32, 8, 8), None).shape
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
from countermark.generators.latents.config import LatentConfig

if TYPE_CHECKING:
    from countermark.generators.families.latent import Drawing

#: Sides of the grids of means that are compared beside a critic; alone, every latent is, too.
GRIDS = (4, 8)
#: Assumed variance of a mean that was drawn again; a latent's own variance is about 1.
VARIANCE = 0.1
#: Weight of the distance of features.
FEATURES = 6.0


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

    def warm_loss(self, real: Tensor, labels: Tensor | None) -> Tensor:
        """Negative evidence bound of real latents [N, 32, s, s], over the numbers compared."""
        z, cost = self._coded(real)
        return self._missed(self.drawing(z, labels), real, whole=True) + cost

    def codes(self, real: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """z [N, latent], its first half codes of the first half of the real latents, and their cost."""
        half = len(z) // 2
        found, cost = self._coded(real[:half])
        return torch.cat([found.to(z.dtype), z[half:]]), self.weight * cost

    def likeness_loss(
        self, drawn: Tensor, real: Tensor, seen: tuple[list[Tensor], list[Tensor]] | None
    ) -> Tensor:
        """Distance of the first half of ``drawn`` from the real latents: of layouts, and of features."""
        half = len(real) // 2
        value = self._missed(drawn[:half], real[:half])
        if seen is not None:
            pairs = list(zip(*seen, strict=True))[:-1]  # the last are the latents themselves
            apart = [F.l1_loss(made[:half].float(), found[:half].float()) for found, made in pairs]
            value = value + FEATURES * torch.stack(apart).mean()
        return self.weight * value

    def _coded(self, real: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [N, latent], and their divergence from the normal distribution over the numbers compared."""
        mean, log_variance = self.encoder(real).float().chunk(2, dim=1)
        log_variance = log_variance.clamp(-8, 4)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
        return z, divergence / (CHANNELS * GRIDS[0] ** 2)

    def _missed(self, drawn: Tensor, real: Tensor, *, whole: bool = False) -> Tensor:
        """Squared distance of means over the cells of each grid, in units of what is expected."""
        side, drawn, real = real.shape[-1], drawn.float(), real.float()
        grids = [grid for grid in GRIDS if grid <= side] + [side] * whole
        apart = [
            F.mse_loss(F.adaptive_avg_pool2d(drawn, grid), F.adaptive_avg_pool2d(real, grid))
            for grid in grids
        ]
        return torch.stack(apart).mean() / (2 * VARIANCE)
