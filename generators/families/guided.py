"""What the network that adds detail is trained by, beside its critic: it is shown layouts of real pictures.

Each real picture is painted anew from its own layout. Two losses of its own keep the painting to it: the
colours that can be read from the latents must be the layout's, and what the critic's frozen part sees must
be near what it sees of the picture (Wang et al. 2018). Texture is left to the critic.

>>> from countermark.generators.families.detail import Detail
>>> from countermark.generators.latents.config import LatentConfig
>>> config = LatentConfig(size=64, width=8, max_width=16, latent=8)
>>> guided = GuidedDetail(Detail(config), Reading())
>>> guided(torch.zeros(2, 8), None, torch.zeros(2, 3, 8, 8)).shape
torch.Size([2, 32, 8, 8])
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.autoencoder import CHANNELS

#: Spread of the noise on layouts, at most: drawn ones are not as clean as those of photographs.
NOISE = 0.15
#: Weights of the distance of features, and of the colours read.
FEATURES = 4.0
COLOURS = 5.0
_KERNEL = 3


class Reading(nn.Module):
    """Standardised latents [N, 32, h, w] to the mean colours of their squares [N, 3, h, w], linearly.

    Nine tenths of the variance of colours can be read in that way.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(3, CHANNELS, _KERNEL, _KERNEL))
        self.register_buffer("bias", torch.zeros(3))

    @torch.no_grad()
    def measure(self, latents: Tensor, colours: Tensor) -> Reading:
        """Least squares over latents [N, 32, h, w] and colours [N, 3, h, w] of pictures; returns itself."""
        seen = F.unfold(latents.double(), _KERNEL, padding=_KERNEL // 2).transpose(1, 2).flatten(0, 1)
        seen = torch.cat([seen, torch.ones(len(seen), 1, dtype=seen.dtype)], dim=1)
        wanted = colours.double().flatten(2).transpose(1, 2).flatten(0, 1)
        # Tiny sets have fewer squares than weights: a little of the identity keeps them solvable.
        square = seen.T @ seen + 1e-3 * len(seen) * torch.eye(seen.shape[1], dtype=seen.dtype)
        found = torch.linalg.solve(square, seen.T @ wanted)
        self.weight.copy_(found[:-1].T.reshape(self.weight.shape))
        self.bias.copy_(found[-1])
        return self

    def forward(self, latents: Tensor) -> Tensor:
        return F.conv2d(latents.float(), self.weight, self.bias, padding=_KERNEL // 2)


class GuidedDetail(nn.Module):
    """A ``Detail`` as ``gan.fitting`` trains it; see ``families.base.Guided``.

    Args:
        detail: Called ``detail(z, guides, labels)``; the first three channels of guides are a layout, what
            else there is of them is left to it.
    """

    def __init__(self, detail: nn.Module, reading: Reading) -> None:
        super().__init__()
        self.detail = detail
        self.reading = reading

    def forward(self, z: Tensor, labels: Tensor | None, guides: Tensor) -> Tensor:
        if self.training:
            layouts, more = guides[:, :3], guides[:, 3:]
            strength = NOISE * torch.rand(len(guides), 1, 1, 1, device=guides.device)
            guides = torch.cat([layouts + strength * torch.randn_like(layouts), more], dim=1)
        drawn: Tensor = self.detail(z, guides, labels)
        return drawn

    def own_loss(
        self,
        drawn: Tensor,
        real: Tensor,
        guides: Tensor,
        seen: tuple[list[Tensor], list[Tensor]] | None,
        *,
        warm: bool,
    ) -> Tensor:
        """Distance of ``drawn`` from its layout and from the real latents; ``warm``: of every latent, too."""
        colours = F.adaptive_avg_pool2d(self.reading(drawn), guides.shape[-1])
        value = COLOURS * F.mse_loss(colours, guides[:, :3].float())
        if seen is not None:
            pairs = list(zip(*seen, strict=True))[:-1]  # the last are the latents themselves
            apart = [F.l1_loss(made.float(), found.float()) for found, made in pairs]
            value = value + FEATURES * torch.stack(apart).mean()
        return value + F.mse_loss(drawn.float(), real.float()) if warm else value
