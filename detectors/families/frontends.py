"""Front ends: what a convolutional detector looks at before its first weight.

A *front end* is a fixed map from RGB to channels in which traces of upsampling or compression stand
out and content does not. It is named in a detector's config, so that any family of convolutional
detectors can be trained on any of them.

>>> import torch
>>> front = make_front_end("npr")
>>> front.channels, front(torch.zeros(1, 3, 32, 32)).shape
(3, torch.Size([1, 3, 32, 32]))
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from countermark.core.registry import Registry

BLOCK = 8


class FrontEnd(nn.Module):
    """RGB float [N, 3, H, W] in [-1, 1] to [N, ``channels``, H / ``stride``, W / ``stride``]."""

    channels = 3
    stride = 1

    def forward(self, x: Tensor) -> Tensor:
        return x


class HighPass(FrontEnd):
    """What a 3x3 mean leaves, times four: grain, edges, the noise of the sensor or of the decoder."""

    def forward(self, x: Tensor) -> Tensor:
        padded = functional.pad(x, (1, 1, 1, 1), mode="replicate")
        return 4 * (x - functional.avg_pool2d(padded, 3, stride=1))


class NeighbourResidual(FrontEnd):
    """Neighbouring-pixel relations (NPR, Tan et al., CVPR 2024): what a halving by nearest loses."""

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = functional.pad(x, (0, width % 2, 0, height % 2), mode="replicate")
        small = x[..., ::2, ::2]
        copy = small.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1)
        return 2 / 3 * (x - copy)[..., :height, :width]


class RgbAndResidual(FrontEnd):
    """RGB beside its high-pass residual."""

    channels = 6

    def __init__(self) -> None:
        super().__init__()
        self.residual = HighPass()

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.residual(x)], dim=1)


class BlockDct(FrontEnd):
    """Log magnitudes of the 8x8 block DCT-II of the luma: 64 channels at an eighth of the side.

    Zig-zag is not applied: channel 8 v + u is vertical frequency v, horizontal frequency u.
    """

    channels = BLOCK * BLOCK
    stride = BLOCK
    basis: Tensor
    luma: Tensor

    def __init__(self) -> None:
        super().__init__()
        n = torch.arange(BLOCK, dtype=torch.float64)
        rows = torch.cos(math.pi * (2 * n[None] + 1) * n[:, None] / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
        rows[0] /= math.sqrt(2)
        basis = torch.einsum("vy,ux->vuyx", rows, rows).reshape(BLOCK * BLOCK, 1, BLOCK, BLOCK)
        self.register_buffer("basis", basis.float(), persistent=False)
        self.register_buffer("luma", torch.tensor([0.299, 0.587, 0.114])[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        high, wide = (-n % BLOCK for n in x.shape[-2:])
        x = functional.pad(x, (0, wide, 0, high), mode="replicate")
        luma = (x * self.luma).sum(dim=1, keepdim=True) * 127.5
        return torch.log1p(functional.conv2d(luma, self.basis, stride=BLOCK).abs()) / 4


#: Front ends by name.
FRONT_ENDS: Registry[Callable[[], FrontEnd]] = Registry("front end")
for _name, _maker in {
    "rgb": FrontEnd,
    "highpass": HighPass,
    "npr": NeighbourResidual,
    "rgb+residual": RgbAndResidual,
    "dct": BlockDct,
}.items():
    FRONT_ENDS.register(_name, _maker)


def make_front_end(name: str) -> FrontEnd:
    """The front end of that name.

    Raises:
        UnknownNameError: names the known ones.
    """
    return FRONT_ENDS.get(name)()
