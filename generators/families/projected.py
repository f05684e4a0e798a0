"""A critic that looks through the eyes of a network trained on photographs (Sauer et al. 2021).

Latents pass through frozen features (``latents.features``), which are mixed across channels and scales by
fixed random convolutions; only the small heads on top are trained, one for each scale. Such a critic tells
a flower from a stain after a few thousand pictures, where one that starts from nothing needs many times
that. Written from the paper.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.autoencoder import CHANNELS
from countermark.core.networks import MinibatchStd, maybe_spectral
from countermark.core.seeds import torch_seeded
from countermark.generators.latents.config import LatentConfig
from countermark.generators.latents.features import WIDTHS, features
from countermark.generators.latents.space import LatentSpace

#: Channels of the mixed features, from the finest scale to the coarsest.
MIXED = (64, 96, 128)


class Mixer(nn.Module):
    """Fixed random 1 x 1 mixing of every scale, and of each scale with the coarser ones.

    Features differ in spread by far more than the random weights do, so that each scale is divided by a
    fixed number, measured on photographs, first.
    """

    def __init__(self) -> None:
        super().__init__()
        with torch_seeded(2021):
            layers = [nn.Conv2d(a, b, 1, bias=False) for a, b in zip(WIDTHS, MIXED, strict=True)]
            layers += [nn.Conv2d(b, a, 3, bias=False) for a, b in itertools.pairwise(MIXED)]
            for layer in layers:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
        # Buffers, not parameters: whoever trains a critic's parameters leaves them alone.
        for number, layer in enumerate(layers):
            self.register_buffer(f"weight{number}", layer.weight.detach())

    def forward(self, found: list[Tensor]) -> list[Tensor]:
        mixed = [F.conv2d(x, self.get_buffer(f"weight{n}")) for n, x in enumerate(found)]
        for n in reversed(range(len(mixed) - 1)):
            coarse = F.interpolate(mixed[n + 1], scale_factor=2.0, mode="bilinear", align_corners=False)
            down = F.conv2d(coarse, self.get_buffer(f"weight{len(mixed) + n}"), padding=1)
            mixed[n] = (mixed[n] + down) * 0.5**0.5
        return mixed


class ScaleHead(nn.Module):
    """Features of one scale to logits at 4 x 4 places, plus the inner product with the class there."""

    def __init__(self, channels: int, halvings: int, width: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(halvings):
            layers += [
                maybe_spectral(nn.Conv2d(channels, width, 4, stride=2, padding=1), True),
                nn.LeakyReLU(0.2),
            ]
            channels = width
        layers += [maybe_spectral(nn.Conv2d(channels, width, 3, padding=1), True), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.statistics = MinibatchStd()
        self.judge = maybe_spectral(nn.Conv2d(width + 1, 1, 1), True)
        self.embedding = maybe_spectral(nn.Embedding(classes, width), True) if classes else None

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        x = self.layers(x)
        logits = self.judge(self.statistics(x)).squeeze(1)
        if self.embedding is not None and labels is not None:
            logits = logits + (self.embedding(labels)[:, :, None, None] * x).sum(dim=1)
        return logits.flatten(1)


class ProjectedCritic(nn.Module):
    """Standardised latents [N, 32, side, side] (and labels) to logits [N, places of all scales].

    One more head sees the latents themselves: the frozen features do not tell fine grain apart.
    ``space`` must be that of the training set: the features are of latents as the autoencoder makes them.
    """

    def __init__(self, config: LatentConfig) -> None:
        super().__init__()
        self.space = LatentSpace()
        self.mixer = Mixer()
        finest = config.side.bit_length() - 3
        self.grain = ScaleHead(CHANNELS, finest, config.critic_width, config.classes)
        self.heads = nn.ModuleList(
            ScaleHead(width, max(finest - n, 0), config.critic_width, config.classes)
            for n, width in enumerate(MIXED)
        )

    def look(self, x: Tensor) -> list[Tensor]:
        """The frozen part: what the heads see of standardised latents, which are last."""
        return [*self.mixer(scaled(features(self.space.back(x)))), x]

    def judge(self, seen: list[Tensor], labels: Tensor | None = None) -> Tensor:
        """Logits of what ``look`` gave."""
        heads = [*self.heads, self.grain]
        return torch.cat([head(part, labels) for head, part in zip(heads, seen, strict=True)], dim=1)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(self.look(x), labels)


def scaled(found: list[Tensor]) -> list[Tensor]:
    """Features over their spread on photographs."""
    return [x / spread for x, spread in zip(found, SPREADS, strict=True)]


#: Root mean squares of the three maps on photographs.
SPREADS = (7.87, 6.41, 2.73)
