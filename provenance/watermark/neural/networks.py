"""Encoder and decoder of the learned watermark.

The networks work at 128 x 128 (``side``), whatever the picture's size: the picture is brought to that
size, the encoder answers with a residual, and that is enlarged and added to the picture, as TrustMark
does (Bui et al., 2023, arXiv:2311.18297).

>>> import torch
>>> marked = embed(Encoder(), torch.rand(1, 3, 200, 300), torch.zeros(1, BITS))
>>> marked.shape, read(Decoder(), marked).shape
(torch.Size([1, 3, 200, 300]), torch.Size([1, 64]))
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

BITS = 64
SIDE = 128
WIDTH = 32
#: Largest change of a channel, of a range of 1: 16 grey levels.
LARGEST = 16 / 255


def _block(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride=stride, padding=1),
        nn.GroupNorm(4, outside),
        nn.SiLU(),
    )


class Encoder(nn.Module):
    """Picture and message to residual.

    The message becomes a map of 16 x 16 with 8 channels, enlarged and set beside the picture's features
    at full and at half size.
    """

    def __init__(self, bits: int = BITS, side: int = SIDE) -> None:
        super().__init__()
        self.side = side
        self.message = nn.Linear(bits, 8 * 16 * 16)
        self.first = _block(3 + 8, WIDTH)
        self.down = _block(WIDTH, 2 * WIDTH, stride=2)
        self.middle = _block(2 * WIDTH + 8, 2 * WIDTH)
        self.up = _block(3 * WIDTH, WIDTH)
        self.last = nn.Conv2d(WIDTH, 3, 1)

    def forward(self, image: Tensor, message: Tensor) -> Tensor:
        """Residual of ``image`` (n x 3 x side x side, 0 to 1) for ``message`` (n x bits, 0 or 1)."""
        code = self.message(2 * message - 1).reshape(-1, 8, 16, 16)
        first = self.first(torch.cat([image - 0.5, _grown(code, image)], 1))
        down = self.down(first)
        middle = self.middle(torch.cat([down, _grown(code, down)], 1))
        last = self.last(self.up(torch.cat([_grown(middle, first), first], 1)))
        return LARGEST * torch.tanh(last)


class Decoder(nn.Module):
    """Picture (n x 3 x side x side, 0 to 1) to one logit a bit (n x bits)."""

    def __init__(self, bits: int = BITS, side: int = SIDE) -> None:
        super().__init__()
        self.side = side
        widths = [3, WIDTH, 2 * WIDTH, 2 * WIDTH, 4 * WIDTH]
        self.features = nn.Sequential(*[_block(a, b, stride=2) for a, b in pairwise(widths)])
        self.bits = nn.Linear(4 * WIDTH * 16, bits)

    def forward(self, image: Tensor) -> Tensor:
        found = functional.adaptive_avg_pool2d(self.features(image - 0.5), 4)
        logits: Tensor = self.bits(found.flatten(1))
        return logits


def embed(encoder: Encoder, images: Tensor, messages: Tensor, strength: float = 1.0) -> Tensor:
    """Marks pictures (n x 3 x H x W, 0 to 1, any size) with messages (n x bits); the same shape."""
    small = functional.interpolate(images, (encoder.side, encoder.side), mode="bilinear", antialias=True)
    residual = _grown(encoder(small, messages), images)
    return (images + strength * residual).clamp(0, 1)


def read(decoder: Decoder, images: Tensor) -> Tensor:
    """Logits (n x bits) of pictures of any size."""
    small = functional.interpolate(images, (decoder.side, decoder.side), mode="bilinear", antialias=True)
    logits: Tensor = decoder(small)
    return logits


def _grown(small: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(small, like.shape[-2:], mode="bilinear")
