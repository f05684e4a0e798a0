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
        self.standardised = len(head.mean) > 0
        directions = head.directions.astype(np.float32) * head.steps[:, None]
        for name, value in (
            ("mean", head.mean),
            ("scale", head.scale),
            ("linear", head.linear),
            ("bias", head.bias),
            ("directions", directions),
            ("strength", head.strength),
        ):
            self.register_buffer(name, torch.from_numpy(np.array(value, np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        if self.standardised:
            x = (x - self.mean) / self.scale
            x = x / x.square().sum(dim=1, keepdim=True).sqrt().clamp_min(1e-6)
        found = x @ self.linear + self.bias
        if len(self.strength):
            found = found + (x @ self.directions.T).square() @ self.strength
        return found
