"""Exponential moving average of a generator's weights, with ramp-up (Karras et al. 2020)."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Ema:
    """Keeps ``network``, a copy whose parameters trail those of the trained one.

    Args:
        source: The network being trained; it is copied.
        half_life: In images: after so many the older weights count half.
        ramp: The half-life is at most this share of the images seen so far, so that the average
            does not remember the random start.
    """

    def __init__(self, source: nn.Module, half_life: float = 10_000, ramp: float = 0.05) -> None:
        self.network = copy.deepcopy(source).eval().requires_grad_(False)
        self.half_life = half_life
        self.ramp = ramp

    @torch.no_grad()
    def update(self, source: nn.Module, batch: int, seen: int) -> None:
        """Moves the average towards ``source``; buffers are copied as they are."""
        half_life = max(min(self.half_life, seen * self.ramp), 1e-8)
        keep = 0.5 ** (batch / half_life)
        for average, current in zip(self.network.parameters(), source.parameters(), strict=True):
            average.lerp_(current.detach(), 1 - keep)
        for kept, latest in zip(self.network.buffers(), source.buffers(), strict=True):
            kept.copy_(latest)


@torch.no_grad()
def refresh_batch_norm(network: nn.Module, batches: list[tuple[torch.Tensor, torch.Tensor | None]]) -> None:
    """Measures batch-normalisation statistics anew over ``batches`` of (z, labels), in place."""
    layers = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    for z, labels in batches:
        network(z, labels)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()
