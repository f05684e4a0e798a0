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
        """``critic.look(tensors)``; ``keys`` name the items.

        A batch that holds one new item is looked at whole, so that what is kept does not depend on which
        items were new.
        """
        if all(key in self._kept for key in keys):
            kept = zip(*(self._kept[key] for key in keys), strict=True)
            return [torch.stack(part).contiguous(memory_format=torch.channels_last) for part in kept]
        seen = self.critic.look(tensors)
        for number, key in enumerate(keys):
            if key not in self._kept and self._bytes < MOST_BYTES:
                parts = [part[number].clone() for part in seen]
                self._kept[key] = parts
                self._bytes += sum(part.numel() * part.element_size() for part in parts)
        return seen
