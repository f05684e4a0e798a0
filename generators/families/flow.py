"""Layouts by flow matching: the first stage of the latent family, in the place of a GAN.

A network learns the velocity that carries noise to a layout along a straight line (Lipman et al. 2023; Liu
et al. 2023). After half an hour on a few thousand photographs its layouts are at less than half the distance
of a GAN's (docs/latents.md): no critic has to be pleased with what is too coarse to be judged. Drawing
takes ``LatentConfig.steps`` steps; with classes, what the class adds to the velocity is exaggerated
(classifier-free guidance; Ho & Salimans 2021) in the first half of them, where what is drawn is decided.

>>> config = LatentConfig(size=64, layouts="flow", flow_width=16, steps=2)
>>> flow = LayoutFlow(config)
>>> flow(torch.zeros(2, config.latent)).shape
torch.Size([2, 3, 8, 8])
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.generators.families.upsampling import convolution
from countermark.generators.latents.autoencoder import computes_bfloat16
from countermark.generators.latents.config import LatentConfig

_GROUPS = 8
#: Frequencies by which the network is told the time, and the highest of them.
_WAVES, _HIGHEST = 32, 1000.0


class FlowBlock(nn.Module):
    """Residual block of two convolutions, steered by what is known of time and class."""

    def __init__(self, source: int, target: int, config: LatentConfig) -> None:
        super().__init__()
        self.first_norm = nn.GroupNorm(_GROUPS, source)
        self.first = convolution(source, target, 3, config.padding)
        self.scale_shift = nn.Linear(4 * config.flow_width, 2 * target)
        self.second_norm = nn.GroupNorm(_GROUPS, target, affine=False)
        self.second = _silent(convolution(target, target, 3, config.padding))
        self.skip = nn.Conv2d(source, target, 1) if source != target else nn.Identity()

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        h = self.first(F.silu(self.first_norm(x)))
        scale, shift = self.scale_shift(code)[:, :, None, None].chunk(2, dim=1)
        h = self.second(F.silu(self.second_norm(h) * (1 + scale) + shift))
        return self.skip(x) + h


class Attention(nn.Module):
    """What each place takes over from all others."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(channels // 48, 1)
        self.norm = nn.GroupNorm(_GROUPS, channels)
        self.enter = nn.Conv2d(channels, 3 * channels, 1)
        self.leave = _silent(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        parts = self.enter(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, -1))
        query, key, value = parts.unbind(1)  # [N, heads, channels, places]
        shares = (query.transpose(2, 3) @ key * query.shape[2] ** -0.5).softmax(dim=-1)
        taken = value @ shares.transpose(2, 3)
        return x + self.leave(taken.flatten(1, 2).unflatten(2, x.shape[2:]))


class LayoutFlow(nn.Module):
    """z [N, latent] (and labels [N]) to layouts [N, 3, cells, cells] in [-1, 1].

    Attributes:
        centre, spread: Of the layouts it has learnt from, [3, 1, 1] and []; see ``measure``.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, config: LatentConfig) -> None:
        super().__init__()
        self.cells, self.classes = config.layout, config.classes
        self.steps, self.guidance = config.steps, config.guidance
        width = config.flow_width
        code, wide, widest = 4 * width, 2 * width, 3 * width

        def block(source: int, target: int) -> FlowBlock:
            return FlowBlock(source, target, config)

        self.time = nn.Sequential(nn.Linear(2 * _WAVES, code), nn.SiLU(), nn.Linear(code, code))
        # One class more stands for any.
        self.embedding = nn.Embedding(self.classes + 1, code) if self.classes else None
        self.enter = convolution(3, width, 3, config.padding)
        self.fine = nn.ModuleList((block(width, width), block(width, width)))
        self.fall = nn.Conv2d(4 * width, wide, 1)
        self.coarse = nn.ModuleList((block(wide, wide), block(wide, wide)))
        self.coarse_attention = Attention(wide)
        self.fall_again = nn.Conv2d(4 * wide, widest, 1)
        self.middle = nn.ModuleList((block(widest, widest), block(widest, widest)))
        self.middle_attention = Attention(widest)
        self.rise = nn.Conv2d(widest, 4 * widest, 1)
        self.coarse_again = nn.ModuleList((block(widest + wide, wide), block(wide, wide)))
        self.coarse_attention_again = Attention(wide)
        self.rise_again = nn.Conv2d(wide, 4 * wide, 1)
        self.fine_again = nn.ModuleList((block(wide + width, width), block(width, width)))
        self.norm = nn.GroupNorm(_GROUPS, width)
        self.leave = _silent(convolution(width, 3, 3, config.padding))
        self.register_buffer("centre", torch.zeros(3, 1, 1))
        self.register_buffer("spread", torch.ones(()))

    @property
    def length(self) -> int:
        """Of the noise that becomes a layout: the last numbers of z."""
        return 3 * self.cells**2

    def measure(self, layouts: Tensor) -> LayoutFlow:
        """Takes centre and spread from layouts [N, 3, cells, cells]."""
        self.centre.copy_(layouts.mean(dim=(0, 2, 3))[:, None, None])
        self.spread.copy_((layouts - self.centre).std().clamp_min(1e-3))
        return self

    def even(self, layouts: Tensor) -> Tensor:
        """Layouts of mean 0 and spread 1, as the flow sees them."""
        return (layouts - self.centre) / self.spread

    def velocity(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        """From layouts (time 0) towards noise (time 1), float [N, 3, cells, cells].

        Args:
            x: Even layouts mixed with noise, [N, 3, cells, cells].
            time: [N] in [0, 1].
            labels: [N]; ``classes`` or None stands for any class.
        """
        waves = _HIGHEST ** torch.linspace(0, 1, _WAVES, device=x.device)
        angles = time[:, None] * waves
        code = self.time(torch.cat([angles.sin(), angles.cos()], dim=1))
        if self.embedding is not None:
            known = torch.full((len(x),), self.classes, device=x.device) if labels is None else labels
            code = code + self.embedding(known)
        code = F.silu(code)
        x = self.enter(x.contiguous(memory_format=torch.channels_last))
        fine = _through(self.fine, x, code)
        x = self.coarse[0](self.fall(F.pixel_unshuffle(fine, 2)), code)
        coarse = self.coarse[1](self.coarse_attention(x), code)
        x = self.middle[0](self.fall_again(F.pixel_unshuffle(coarse, 2)), code)
        x = self.middle[1](self.middle_attention(x), code)
        x = torch.cat([F.pixel_shuffle(self.rise(x), 2), coarse], dim=1)
        x = self.coarse_again[1](self.coarse_attention_again(self.coarse_again[0](x, code)), code)
        x = torch.cat([F.pixel_shuffle(self.rise_again(x), 2), fine], dim=1)
        x = _through(self.fine_again, x, code)
        leaving: Tensor = self.leave(F.silu(self.norm(x)))
        return leaving.float()

    def guided(self, x: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        """The velocity, with what the class adds to it times ``guidance``."""
        if labels is None or self.embedding is None or self.guidance == 1:
            return self.velocity(x, time, labels)
        both = torch.cat([labels, torch.full_like(labels, self.classes)])
        told, untold = self.velocity(torch.cat([x, x]), torch.cat([time, time]), both).chunk(2)
        return untold + self.guidance * (told - untold)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        x = z[:, -self.length :].float().unflatten(1, (3, self.cells, self.cells))
        times = torch.linspace(1, 0, self.steps + 1, device=z.device)
        before: Tensor | None = None
        coarse = z.device.type == "cpu" and not torch.is_grad_enabled() and computes_bfloat16()
        for number, (now, then) in enumerate(itertools.pairwise(times)):
            velocity = self.guided if 2 * number < self.steps else self.velocity
            with torch.autocast(z.device.type, torch.bfloat16, enabled=coarse):
                found = velocity(x, now.expand(len(x)), labels)
            # Adams and Bashforth: the velocity half a step on, from this one and the one before.
            ahead = found if number == 0 or before is None else 1.5 * found - 0.5 * before
            x, before = x + (then - now) * ahead, found
        return (x * self.spread + self.centre).clamp(-1, 1)


def _through(blocks: nn.ModuleList, x: Tensor, code: Tensor) -> Tensor:
    for block in blocks:
        x = block(x, code)
    return x


def _silent(layer: nn.Conv2d) -> nn.Conv2d:
    """A layer that begins by saying nothing."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def straight(layouts: Tensor, noise: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Places on the straight line between layouts and noise [N, 3, s, s] at times [N], and its velocity."""
    share = time[:, None, None, None]
    return (1 - share) * layouts + share * noise, noise - layouts


def shares_of_time(count: int, source: torch.Generator) -> Tensor:
    """Times [count] to learn at: most in the middle, where there is most to learn (Esser et al. 2024)."""
    return torch.sigmoid(torch.randn(count, generator=source))
