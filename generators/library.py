"""Trained generators: load by name or path, sample by seed.

>>> generator = load_generator("digits-32")
>>> generator.sample(2, seed=3, condition="7").shape
(2, 32, 32, 3)

Image i of a call depends on ``seed + i`` and the condition only, so a corpus can be made again
image by image from the seeds in its table.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from countermark.core.errors import ConfigError, UnknownNameError, WeightsError
from countermark.core.files import data_dir
from countermark.core.seeds import derive, torch_rng
from countermark.core.weights import WeightsCard, load_weights, shipped_cards
from countermark.generators.families import FAMILIES

WEIGHTS = Path(__file__).parent / "weights"
MAX_COUNT = 10_000_000
BATCH = 16
#: Generators that need no trained weights.
BUILT_IN = ("style",)
#: Families whose generators start from an image, see ``conditional``.
CONDITIONAL_FAMILIES = ("sketch2image", "superres", "adain")


@dataclass(frozen=True)
class LoadedGenerator:
    """A generator ready to sample.

    Attributes:
        network: In evaluation mode, float32, on ``device``.
        card: What it is, what it was trained on, and its figures.
    """

    network: nn.Module
    card: WeightsCard
    device: torch.device

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def sha256(self) -> str:
        return self.card.sha256

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names of a class-conditional generator, or ()."""
        return tuple(self.card.preprocessing.get("classes", ()))

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return int(self.card.config["size"])

    @property
    def latent(self) -> int:
        """Length of z."""
        return int(self.card.config["latent"])

    def sample(self, count: int, seed: int = 0, condition: str | int | None = None) -> np.ndarray:
        """Makes images: uint8 [count, size, size, 3], RGB.

        Args:
            condition: Class name or index for a class-conditional generator; None draws a class
                for each image from its seed.

        Raises:
            ConfigError: ``generator.count`` or ``generator.condition``.
        """
        if not 0 < count <= MAX_COUNT:
            raise ConfigError(
                f"{count} images cannot be made.", code="generator.count", hint="Ask for 1 or more."
            )
        return self.render(self.latents(count, seed), self.labels(count, seed, condition))

    def latents(self, count: int, seed: int = 0) -> Tensor:
        """z, float [count, latent], standard normal; row i depends on ``seed + i`` only."""
        return torch.stack(
            [torch.randn(self.latent, generator=torch_rng(seed + i, "latent")) for i in range(count)]
        )

    def labels(self, count: int, seed: int = 0, condition: str | int | None = None) -> Tensor | None:
        """Class numbers, int64 [count], or None for an unconditional generator."""
        if not self.classes:
            if condition is not None:
                raise ConfigError(
                    f"{self.name} has no classes, so it cannot take the condition {condition!r}.",
                    code="generator.condition",
                    hint="Leave the condition out, or choose a class-conditional generator.",
                )
            return None
        if condition is None:
            picks = [derive(seed + i, "class") % len(self.classes) for i in range(count)]
            return torch.tensor(picks)
        return torch.full((count,), self.class_index(condition))

    def class_index(self, condition: str | int) -> int:
        """The number of a class given by name or number."""
        text = str(condition)
        if text in self.classes:
            return self.classes.index(text)
        if text.isdecimal() and text.isascii() and int(text) < len(self.classes):
            return int(text)
        raise ConfigError(
            f"{self.name} has no class {condition!r}.",
            code="generator.condition",
            hint=f"Known: {', '.join(self.classes)}.",
        )

    @torch.no_grad()
    def render(self, z: Tensor, labels: Tensor | None = None) -> np.ndarray:
        """Images of given latents; uint8 [N, size, size, 3].

        Works in batches of one fixed size, filled up at the end, so that an image does not depend
        on how many are asked for.
        """
        parts = []
        for start in range(0, len(z), BATCH):
            chunk = z[start : start + BATCH]
            number = None if labels is None else labels[start : start + BATCH]
            missing = BATCH - len(chunk)
            if missing:
                chunk = torch.cat([chunk, torch.zeros(missing, z.shape[1])])
                if number is not None:
                    number = torch.cat([number, torch.zeros(missing, dtype=number.dtype)])
            images = self.network(chunk.to(self.device), None if number is None else number.to(self.device))
            parts.append(to_pixels(images)[: BATCH - missing])
        return np.concatenate(parts)


def to_pixels(images: Tensor) -> np.ndarray:
    """Float [N, 1 or 3, H, W] in [-1, 1] to uint8 [N, H, W, 3]."""
    scaled = ((images.detach().float() + 1) * 127.5).round().clamp(0, 255)
    pixels = scaled.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return np.ascontiguousarray(np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else pixels)


def to_tensor(pixels: np.ndarray) -> Tensor:
    """uint8 [N, H, W, C] to float [N, C, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


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
        from countermark.generators.conditional import load_style

        return load_style()
    path = _locate(name_or_path)
    tensors, card = load_weights(path)
    if card.kind != "generator":
        raise WeightsError(f"{path.name} is a {card.kind}, not a generator.", code="weights.family")
    network = build_network(card.family, card.config)
    try:
        network.load_state_dict({k: _full(v) for k, v in tensors.items()})
    except RuntimeError as error:
        raise WeightsError(
            f"{path.name} does not fit a {card.family} network: {error}", code="weights.family"
        ) from error
    try:
        target = torch.device(device or "cpu")
        network = network.eval().requires_grad_(False).to(target)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"The device {device!r} cannot be used: {error}.", code="device.invalid") from error
    if card.family in CONDITIONAL_FAMILIES:
        from countermark.generators.conditional import CONDITIONAL

        return CONDITIONAL.get(card.family).load(network, card, target)
    return LoadedGenerator(network, card, target)


def build_network(family: str, config: dict[str, Any]) -> nn.Module:
    """An untrained generator of a registered family."""
    if family in CONDITIONAL_FAMILIES:
        from countermark.generators.conditional import CONDITIONAL

        return CONDITIONAL.get(family).network(family, config)
    entry = FAMILIES.get(family)
    return entry.build_generator(entry.parse(config))


def _full(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


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
    raise UnknownNameError(
        f"There is no generator {str(name_or_path)!r}.",
        hint=f"Known: {', '.join(sorted({*known, *BUILT_IN}))}.",
    )
