"""Regions of a doodle and the colours of photographs: how ``sketch.latent`` comes to a layout.

A doodle says where things end and nothing of their colours, and a network that must guess them from lines
learns the mean of all. So it only says which cells belong together; a region's colour is the mean of the
photograph there. What is learnt is what makes that true of photographs. For a new doodle the colours of all
regions come from one photograph, whose regions are about as large: background and garment go together.

>>> shares = torch.zeros(1, 2, 4, 4)
>>> shares[:, 0, :2], shares[:, 1, 2:] = 1, 1
>>> colours = region_colours(shares, coloured(shares, torch.tensor([[[1.0, 0, 0], [0, 0, 1.0]]])))
>>> colours.round().tolist()
[[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]]
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from countermark.core.seeds import torch_seeded

#: Cells of the mean colour that every region is taken to have beside its own.
_FEW = 0.05
#: What a difference in the regions' sizes, and in the colours of scribbles, takes off a palette's chance.
SIZES, HINTS = 6.0, 12.0


def coloured(shares: Tensor, colours: Tensor) -> Tensor:
    """Layouts [N, 3, h, w] of shares [N, K, h, w] and colours [N, K, 3]."""
    return torch.einsum("nkhw,nkc->nchw", shares, colours)


def region_colours(shares: Tensor, layouts: Tensor) -> Tensor:
    """Mean colours [N, K, 3] of layouts [N, 3, h, w] in each region."""
    sums = torch.einsum("nkhw,nchw->nkc", shares, layouts)
    mean = layouts.mean(dim=(2, 3))[:, None]
    return (sums + _FEW * mean) / (shares.sum(dim=(2, 3))[:, :, None] + _FEW)


class Palettes(nn.Module):
    """Colours of regions from photographs; z chooses one among those that suit.

    Called with z [N, latent], shares [N, K, h, w], hints [N, 3, h, w] and how much of each cell they
    mark [N, 1, h, w]; returns colours [N, K, 3].
    """

    colours: Tensor
    sizes: Tensor

    def __init__(self, latent: int, count: int, regions: int) -> None:
        super().__init__()
        self.register_buffer("colours", torch.zeros(count, regions, 3))
        self.register_buffer("sizes", torch.zeros(count, regions))
        with torch_seeded(2016):
            chances = torch.randn(latent, count)
        self.register_buffer("chances", chances / chances.norm(dim=0), persistent=False)

    @torch.no_grad()
    def keep(self, shares: Tensor, layouts: Tensor) -> Palettes:
        """Takes the palettes of the photographs that their regions explain best; returns itself.

        Fewer than there is room for are taken several times.
        """
        colours = region_colours(shares, layouts)
        missed = (coloured(shares, colours) - layouts).square().mean(dim=(1, 2, 3))
        spread = layouts.var(dim=(2, 3)).mean(dim=1)
        best = (missed / spread.clamp(min=0.02)).argsort()[: len(self.colours)]
        best = best.repeat(-(-len(self.colours) // len(best)))[: len(self.colours)]
        self.colours.copy_(colours[best])
        self.sizes.copy_(shares.mean(dim=(2, 3))[best])
        return self

    def forward(self, z: Tensor, shares: Tensor, hints: Tensor, marked: Tensor) -> Tensor:
        chance = z.float() @ self.get_buffer("chances")
        apart = (shares.mean(dim=(2, 3))[:, None] - self.sizes).abs().sum(dim=2)
        weight = marked / marked.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)
        there = torch.einsum("nkhw,nzhw->nk", shares, weight)
        wanted = (hints * weight).sum(dim=(2, 3))[:, None]
        drawn = torch.einsum("nk,pkc->npc", there, self.colours)
        missed = (drawn - wanted).abs().mean(dim=2) * (marked.amax(dim=(2, 3)) > 0)
        best = (chance - SIZES * apart - HINTS * missed).argmax(dim=1)
        return self.colours[best]
