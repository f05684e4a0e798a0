"""Steps against a critic whose first part is frozen: what it sees of a picture is found once.

Of real pictures it is kept for the whole training, where nothing is augmented; of generated ones it is
found once a step, for both networks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from countermark.generators.families.base import Looking

#: What is kept of real pictures, at most.
MOST_BYTES = 2 * 1024**3


class Remembered:
    """What a ``Looking`` critic saw of the items of a set, in the precision in which it saw them."""

    def __init__(self, critic: Looking) -> None:
        self.critic = critic
        self._kept: dict[int, list[Tensor]] = {}
        self._bytes = 0

    @torch.no_grad()
    def look(self, tensors: Tensor, keys: Sequence[int]) -> list[Tensor]:
        """``critic.look(tensors)``; ``keys`` name the items, and only new ones are looked at."""
        new = [number for number, key in enumerate(keys) if key not in self._kept]
        found = {key: self._kept[key] for key in keys if key in self._kept}
        if new:
            seen = self.critic.look(tensors[new])
            for place, number in enumerate(new):
                found[keys[number]] = [part[place].clone() for part in seen]
                self._keep(keys[number], found[keys[number]])
        kept = zip(*(found[key] for key in keys), strict=True)
        return [torch.stack(part).contiguous(memory_format=torch.channels_last) for part in kept]

    def _keep(self, key: int, parts: list[Tensor]) -> None:
        size = sum(part.numel() * part.element_size() for part in parts)
        if self._bytes + size <= MOST_BYTES:
            self._kept[key] = parts
            self._bytes += size
