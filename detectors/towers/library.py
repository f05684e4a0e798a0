"""The towers that ship with the package: frozen feature extractors that several detectors share.

A tower is stored once, packed into a few bits a weight; a detector's own file holds its head and
the tower's name. Loaded towers are kept, so that two detectors in one process share the memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from countermark.core.errors import UnknownNameError, WeightsError
from countermark.core.weights import WeightsCard, load_arrays, save_weights, shipped_cards
from countermark.detectors.towers.engine import TowerEngine
from countermark.detectors.towers.packing import PackedState, pack_state
from countermark.detectors.towers.shape import HEAD_DIM

if TYPE_CHECKING:
    from countermark.detectors.towers.vit import ClipTrunk

TOWERS = Path(__file__).resolve().parent


def load_state(name: str, depth: int) -> tuple[PackedState, dict[str, Any]]:
    """The tensors of a shipped tower and its card's config.

    Raises:
        UnknownNameError: names the known towers.
        WeightsError: the tower has fewer than ``depth`` blocks, or is damaged.
    """
    known = shipped_cards(TOWERS)
    if name not in known:
        raise UnknownNameError(f"There is no tower {name!r}.", hint=f"Known: {', '.join(known) or 'none'}.")
    tensors, card = load_arrays(known[name], family="clip-vit-b16")
    if depth > int(card.config["depth"]):
        raise WeightsError(f"The tower {name} has {card.config['depth']} blocks, not {depth}.")
    return PackedState(tensors, card.config["packed"]), card.config


class Tower:
    """A tower in both its forms, each made when it is first asked for.

    Args:
        state: Tensors by name; float32.
        config: ``head_dim`` and ``hidden`` where they are not CLIP's.
        depth: Number of blocks.
    """

    def __init__(self, state: Mapping[str, np.ndarray], config: Mapping[str, Any], depth: int) -> None:
        self.state, self.depth = state, depth
        self._widths = {name: int(config[name]) for name in ("head_dim", "hidden") if name in config}

    @cached_property
    def engine(self) -> TowerEngine:
        """For scoring on the CPU."""
        head_dim = self._widths.get("head_dim", HEAD_DIM)
        return TowerEngine(self.state, depth=self.depth, head_dim=head_dim)

    @cached_property
    def trunk(self) -> ClipTrunk:
        """As a PyTorch module, float32, frozen: for gradients, exports and GPUs."""
        import torch

        from countermark.detectors.towers.vit import ClipTrunk

        trunk = ClipTrunk(self.depth, empty=True, **self._widths)
        # Copied: a packed matrix comes the other way round, and an export wants it in order.
        state = {k: torch.from_numpy(self.state[k].copy(order="C")) for k in trunk.vit.state_dict()}
        trunk.vit.load_state_dict(state, assign=True)
        return trunk.eval().requires_grad_(False)


@lru_cache(maxsize=2)
def load_tower(name: str, depth: int) -> Tower:
    """The first ``depth`` blocks of a shipped tower; errors of ``load_state``."""
    return Tower(*load_state(name, depth), depth)


def random_tower(depth: int, seed: int) -> Tower:
    """A tower that has learnt nothing."""
    import torch

    from countermark.detectors.towers.vit import ClipTrunk

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = ClipTrunk(depth).vit.state_dict()
    return Tower({name: value.numpy() for name, value in state.items()}, {}, depth)


def load_engine(name: str, depth: int, precision: str = "auto") -> TowerEngine:
    """An engine of the first ``depth`` blocks of a shipped tower; errors of ``load_state``."""
    tower = load_tower(name, depth)
    if precision in ("auto", tower.engine.precision):
        return tower.engine
    config = load_state(name, depth)[1]
    head_dim = int(config.get("head_dim", HEAD_DIM))
    return TowerEngine(tower.state, depth=depth, head_dim=head_dim, precision=precision)


def load_trunk(name: str, depth: int) -> ClipTrunk:
    """The first ``depth`` blocks of a shipped tower in PyTorch; errors of ``load_state``."""
    return load_tower(name, depth).trunk


def save_trunk(
    folder: Path,
    trunk: ClipTrunk,
    card: WeightsCard,
    *,
    bits: int,
    group: int,
    ranges: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Packs and writes a tower; ``card.config`` is filled in. ``ranges``: see ``measure_ranges``."""
    state = {name: value.detach().float().numpy() for name, value in trunk.vit.state_dict().items()}
    tensors, plan = pack_state(state | dict(ranges or {}), bits=bits, group=group)
    config = {"depth": trunk.depth, "head_dim": trunk.head_dim, "hidden": trunk.hidden, "packed": plan}
    return save_weights(folder, tensors, card.model_copy(update={"config": config}))
