"""Generators by name or path: find, list, load, save.

>>> generator = load_generator("digits-32")
>>> generator.sample(2, seed=3, condition="7").shape
(2, 32, 32, 3)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from countermark.core.errors import ConfigError, UnknownNameError, WeightsError, known_names
from countermark.core.files import data_dir
from countermark.core.registry import Registry
from countermark.core.seeds import torch_seeded
from countermark.core.weights import WeightsCard, load_weights, save_weights, shipped_cards
from countermark.generators.base import Family, LoadedGenerator
from countermark.generators.families import FAMILIES
from countermark.generators.packing import restored, stored

WEIGHTS = Path(__file__).parent / "weights"

#: Families whose generators start from an image, by the name on their cards.
CONDITIONAL: Registry[Family] = Registry("conditional family")
CONDITIONAL.place("sketch2image", "countermark.generators.sketch.generator:FAMILY")
CONDITIONAL.place("sketch-latent", "countermark.generators.sketch.latent:FAMILY")
CONDITIONAL.place("superres", "countermark.generators.superres.generator:FAMILY")
CONDITIONAL.place("adain", "countermark.generators.style.generator:FAMILY")

#: Generators that need no trained weights.
BUILT_IN: Registry[Callable[[], LoadedGenerator]] = Registry("generator")
BUILT_IN.place("style", "countermark.generators.style.generator:load_style")

#: Generators that came with earlier builds, and what does their work now.
RETIRED = {
    "bloodcells-64": "bloodcells-128",
    "cifar-32": "flowers-128",
    "clothing-128": "clothing-256",
    "faces-64": "flowers-128",
    "flowers-64": "flowers-128",
    "sketch2image": "sketch-clothing-128",
    "textures-64": "materials-128",
    "textures-256": "materials-128, with --side 256",
}


def user_folder() -> Path:
    """Where a user's own generators are looked for by name."""
    return data_dir() / "generators"


def _known() -> dict[str, Path]:
    own = user_folder()
    found = shipped_cards(own) if own.is_dir() else {}
    return {**found, **shipped_cards(WEIGHTS)}


def list_generators() -> list[str]:
    """Names of the generators that come with the package, and of the user's own."""
    return sorted({*_known(), *BUILT_IN})


def load_generator(name_or_path: str | Path, device: str | None = None) -> LoadedGenerator:
    """Loads a generator by name, by the path of its ``.safetensors``, or by its training folder.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; the CPU by default.

    Raises:
        UnknownNameError: no such name; lists the known ones.
        WeightsError: see ``countermark.core.weights.load_weights``.
    """
    if str(name_or_path) in BUILT_IN and str(name_or_path) not in _known():
        return BUILT_IN.get(str(name_or_path))()
    path = _locate(name_or_path)
    tensors, card = load_weights(path)
    if card.kind != "generator":
        raise WeightsError(f"{path.name} is a {card.kind}, not a generator.", code="weights.family")
    family = find_family(card.family)
    try:
        with torch_seeded(0):  # first weights are drawn, and overwritten at once
            network = family.build_generator(family.parse(card.config))
    except ConfigError as error:
        raise WeightsError(
            f"The card of {path.name} is not understood: {error.message}", hint=error.hint
        ) from error
    try:
        network.load_state_dict(restored(tensors))
    except RuntimeError as error:
        raise WeightsError(
            f"{path.name} does not fit a {card.family} network: {error}", code="weights.family"
        ) from error
    try:
        target = torch.device(device or "cpu")
        network = network.eval().requires_grad_(False).to(target)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"The device {device!r} cannot be used: {error}.", code="device.invalid") from error
    return family.wrap(network, card, target)


def find_family(name: str) -> Family:
    """The family of that name, imported now; UnknownNameError lists those that start from noise."""
    return CONDITIONAL.get(name) if name in CONDITIONAL else FAMILIES.get(name)


def save_generator(folder: Path, network: nn.Module, card: WeightsCard) -> Path:
    """Writes a trained generator's weights and card, see ``core.weights``; returns the weights' path."""
    return save_weights(folder, stored(network), card)


def _locate(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix == ".safetensors" or path.suffix in (".pt", ".pth", ".ckpt", ".bin", ".pkl"):
        return path
    known = _known()
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    if path.is_dir():
        inside = list(shipped_cards(path).values())
        if len(inside) == 1:
            return inside[0]
        raise WeightsError(
            f"{path} holds {len(inside)} finished generators.",
            code="weights.missing",
            hint="Give the path of one .safetensors file that has its card beside it.",
        )
    name = str(name_or_path)
    if name in RETIRED:
        raise UnknownNameError(
            f"The generator {name} came with earlier builds and was retired in 0.1.0.",
            code="name.retired",
            hint=f"Use {RETIRED[name]}.",
        )
    raise UnknownNameError(
        f"There is no generator {str(name_or_path)!r}.",
        hint=known_names(str(name_or_path), sorted({*known, *BUILT_IN})),
    )
