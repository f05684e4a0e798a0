"""Parts of detectors as modules of PyTorch, for gradients and for graphs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from countermark.detectors.scoring.heads import Head


class HeadModule(nn.Module):
    """A ``Head`` as a module, for gradients and for graphs: float32 [N, D] to logits [N]."""

    mean: Tensor
    scale: Tensor
    linear: Tensor
    bias: Tensor
    directions: Tensor
    strength: Tensor

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.standardised, self.even = len(head.mean) > 0, head.piece > 0
        self.pieces = head.dimensions // (head.piece or head.dimensions)
        directions = head.directions.astype(np.float32) * head.steps[..., None]
        for name, value in (
            ("mean", head.mean.reshape(self.pieces, -1)),
            ("scale", head.scale.reshape(self.pieces, -1)),
            ("linear", head.linear),
            ("bias", head.bias),
            ("directions", directions),
            ("strength", head.strength),
        ):
            self.register_buffer(name, torch.from_numpy(np.array(value, np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        x = x.unflatten(1, (self.pieces, -1))
        if self.even:
            x = x - x.mean(dim=2, keepdim=True)
            x = x / x.square().mean(dim=2, keepdim=True).sqrt().clamp_min(1e-6)
        if self.standardised:
            x = (x - self.mean) / self.scale
            x = x / x.square().sum(dim=2, keepdim=True).sqrt().clamp_min(1e-6)
        found = x.flatten(1) @ self.linear + self.bias
        if self.strength.numel():
            along = (x.transpose(0, 1) @ self.directions.transpose(1, 2)).square()  # [P, N, R]
            found = found + (along * self.strength[:, None]).sum(dim=(0, 2))
        return found
