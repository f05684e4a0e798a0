"""The towers that ship with the package: frozen feature extractors that several detectors share.

A tower is stored once, packed into a few bits a weight; a detector's own file holds its head and
the tower's name. Loaded towers are kept, so that two detectors in one process share the memory.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from countermark.core.errors import UnknownNameError, WeightsError, known_names
from countermark.core.weights import WeightsCard, load_weights, save_weights, shipped_cards
from countermark.detectors.towers.packing import pack_state, unpack_state
from countermark.detectors.towers.vit import ClipTrunk

TOWERS = Path(__file__).resolve().parent


@lru_cache(maxsize=2)
def load_trunk(name: str, depth: int) -> ClipTrunk:
    """The first ``depth`` blocks of a shipped tower, float32, with merged activations (for scoring).

    Raises:
        UnknownNameError: names the known towers.
        WeightsError: the tower has fewer blocks, or is damaged.
    """
    known = shipped_cards(TOWERS)
    if name not in known:
        raise UnknownNameError(f"There is no tower {name!r}.", hint=known_names(name, known))
    tensors, card = load_weights(known[name], family="clip-vit-b16")
    if depth > int(card.config["depth"]):
        raise WeightsError(f"The tower {name} has {card.config['depth']} blocks, not {depth}.")
    config = card.config
    widths = {name: int(config[name]) for name in ("head_dim", "hidden") if name in config}
    trunk = ClipTrunk(depth, empty=True, **widths)
    state = unpack_state(tensors, config["packed"])
    trunk.vit.load_state_dict({key: state[key] for key in trunk.vit.state_dict()}, assign=True)
    trunk.merge_activation()
    return trunk.eval().requires_grad_(False)


def save_trunk(folder: Path, trunk: ClipTrunk, card: WeightsCard, *, bits: int, group: int) -> Path:
    """Packs and writes a tower; ``card.config`` is filled in."""
    tensors, plan = pack_state(trunk.vit.state_dict(), bits=bits, group=group)
    config = {"depth": trunk.depth, "head_dim": trunk.head_dim, "hidden": trunk.hidden, "packed": plan}
    return save_weights(folder, tensors, card.model_copy(update={"config": config}))
