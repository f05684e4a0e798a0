"""The feed-forward style network: adaptive instance normalisation (AdaIN) and a decoder.

>>> import torch
>>> from countermark.generators.style.encoder import load_encoder
>>> network = AdainDecoder(AdainConfig(encoder="filters", channels=(67, 67, 67, 67), width=4))
>>> maps = network.features(load_encoder("filters"), torch.zeros(1, 3, 32, 40))
>>> network(adapt(maps, measure(maps), measure(maps))).shape
torch.Size([1, 3, 32, 40])

Huang & Belongie (2017) give every channel of the content's features the mean and deviation of the
style's, and decode. Here the decoder also takes the finer maps, treated likewise (style-aware skips,
Sheng et al. 2018), and adds what it draws to the content's colours, treated likewise (Reinhard et
al. 2001): it then learns in minutes what takes days from nothing. Nothing of the style but its
statistics is used, so styles are mixed, and weakened, by mixing statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.generators.style.encoder import Encoder

#: The image's side over that of each map: the colours, then the encoder's maps, fine to coarse.
SIDES = (1, 1, 2, 4, 8)
#: Image sides are filled up to a multiple of this.
STEP = SIDES[-1]


class AdainConfig(BaseModel):
    """Settings of the decoder.

    Attributes:
        encoder: Name of the encoder whose features it decodes, see ``style.encoder``.
        channels: Of the encoder's maps, fine to coarse.
        width: Channels at the image's own size.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: Literal["vgg", "filters"] = "vgg"
    channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    width: int = Field(default=32, ge=4, le=128)


@dataclass(frozen=True)
class Statistics:
    """Means and deviations of the channels of every level; each float [N, C, 1, 1]."""

    means: tuple[Tensor, ...]
    deviations: tuple[Tensor, ...]


class AdainDecoder(nn.Module):
    """``network(maps)``: adapted features, see ``features``, to RGB [N, 3, H, W], not clamped."""

    #: Pixels around an output pixel that it depends on, encoder and decoder together.
    margin = 64

    def __init__(self, config: AdainConfig) -> None:
        super().__init__()
        self.config = config
        one, two, four, six = (config.width * factor for factor in (1, 2, 4, 6))
        first, second, third, fourth = config.channels
        # Numbered by the side they work at: conv8 at an eighth of the image's.
        self.conv8 = _conv(fourth, six)
        self.conv4, self.skip4, self.more4 = _conv(six, four), nn.Conv2d(third, four, 1), _conv(four, four)
        self.conv2, self.skip2, self.more2 = _conv(four, two), nn.Conv2d(second, two, 1), _conv(two, two)
        self.conv1, self.skip1, self.out = _conv(two, one), nn.Conv2d(first, one, 1), _conv(one, 3)
        for level, count in enumerate(config.channels):
            self.register_buffer(f"scale{level}", torch.ones(count))
        nn.init.normal_(self.out.weight, std=1e-2)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def features(self, encoder: Encoder, x: Tensor) -> list[Tensor]:
        """The image [N, 3, H, W] in [-1, 1] itself, and its maps in the decoder's units.

        Scales are set before training, so that a channel's mean is about 1.
        """
        scales = [self.get_buffer(f"scale{level}")[:, None, None] for level in range(len(SIDES) - 1)]
        return [x, *(m * scale.to(m.dtype) for m, scale in zip(encoder(x), scales, strict=True))]

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        colours, first, second, third, fourth = maps
        x = _up(F.relu(self.conv8(fourth)))
        x = F.relu(self.conv4(x) + self.skip4(third))
        x = _up(F.relu(self.more4(x)))
        x = F.relu(self.conv2(x) + self.skip2(second))
        x = _up(F.relu(self.more2(x)))
        return colours + self.out(F.relu(self.conv1(x) + self.skip1(first)))


def measure(maps: Sequence[Tensor]) -> Statistics:
    """Statistics of maps [N, C, H, W], one level each."""
    means = [m.mean(dim=(2, 3), keepdim=True, dtype=torch.float32) for m in maps]
    squares = [m.square().mean(dim=(2, 3), keepdim=True, dtype=torch.float32) for m in maps]
    deviations = [deviation(mean, square) for mean, square in zip(means, squares, strict=True)]
    return Statistics(tuple(means), tuple(deviations))


def deviation(mean: Tensor, square: Tensor) -> Tensor:
    """Standard deviation from the mean and the mean square, never nought."""
    return ((square - mean.square()).clamp_min(0) + 1e-5).sqrt()


def adapt(maps: Sequence[Tensor], own: Statistics, wanted: Statistics) -> list[Tensor]:
    """AdaIN: every channel loses its ``own`` mean and deviation for the ``wanted`` ones."""
    adapted = []
    parts = zip(maps, own.means, own.deviations, wanted.means, wanted.deviations, strict=True)
    for m, a, b, c, d in parts:
        gain = d / b
        adapted.append(m * gain.to(m.dtype) + (c - a * gain).to(m.dtype))
    return adapted


def mix(several: Sequence[Statistics], weights: Sequence[float]) -> Statistics:
    """Weighted mean of statistics; as AdaIN is linear in them, that mixes the adapted features."""
    total = sum(weights)
    shares = [weight / total for weight in weights]

    def blend(kind: str) -> tuple[Tensor, ...]:
        levels = zip(*(getattr(s, kind) for s in several), strict=True)
        return tuple(sum(w * v for w, v in zip(shares, level, strict=True)) for level in levels)

    return Statistics(blend("means"), blend("deviations"))


def distance(one: Statistics, two: Statistics) -> Tensor:
    """Mean squared distance of means and of deviations, summed over the levels; the style loss."""
    parts = [*zip(one.means, two.means, strict=True), *zip(one.deviations, two.deviations, strict=True)]
    return torch.stack([(a - b).square().mean() for a, b in parts]).sum()


def _conv(source: int, target: int) -> nn.Conv2d:
    return nn.Conv2d(source, target, 3, padding=1, padding_mode="reflect")


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")
