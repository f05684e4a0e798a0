"""What every generator is: a network with its card that samples by seed, and the family it is built from.

Image i of a call depends on ``seed + i`` and the condition only, so a corpus can be made again
image by image from the seeds in its table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from countermark.core.configuration import validated
from countermark.core.errors import ConfigError
from countermark.core.images import Pixels, read_image
from countermark.core.seeds import derive, torch_rng
from countermark.core.weights import WeightsCard

MAX_COUNT = 10_000_000
BATCH = 16

#: An image to start from: a path, encoded bytes, or uint8 [H, W, 3] RGB.
ImageSource = Path | str | bytes | Pixels
#: A class by name or number; for a generator that starts from an image, that image.
Condition = ImageSource | int | None


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

    #: Options of ``sample`` that need no condition.
    takes: ClassVar[frozenset[str]] = frozenset()

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

    def sample(self, count: int, seed: int = 0, condition: Condition = None, **options: Any) -> np.ndarray:
        """Makes images: uint8 [count, size, size, 3], RGB.

        Args:
            condition: Class name or index for a class-conditional generator; None draws a class
                for each image from its seed.
            options: Of some generators that start from an image; others take none.

        Raises:
            ConfigError: ``generator.count``, ``generator.condition`` or ``generator.option``.
        """
        self.check_count(count)
        self.refuse(options)
        return self.render(self.latents(count, seed), self.labels(count, seed, condition))

    def check_count(self, count: int) -> None:
        """ConfigError ``generator.count`` unless ``count`` images can be made."""
        if not 0 < count <= MAX_COUNT:
            raise ConfigError(
                f"{count} images cannot be made.", code="generator.count", hint="Ask for 1 or more."
            )

    def refuse(self, options: Mapping[str, object]) -> None:
        """ConfigError ``generator.option`` for options that are given: the generator does not take them."""
        unknown = [key for key, value in options.items() if value is not None]
        if unknown:
            raise ConfigError(f"{self.name} does not take {', '.join(unknown)}.", code="generator.option")

    def latents(self, count: int, seed: int = 0) -> Tensor:
        """z, float [count, latent], standard normal; row i depends on ``seed + i`` only."""
        return torch.stack(
            [torch.randn(self.latent, generator=torch_rng(seed + i, "latent")) for i in range(count)]
        )

    def labels(self, count: int, seed: int = 0, condition: Condition = None) -> Tensor | None:
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

    def class_index(self, condition: Condition) -> int:
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


@dataclass(frozen=True)
class ConditionalGenerator(LoadedGenerator):
    """A generator whose images are made from an image: a path, or uint8 [H, W, 3] RGB, that must be given."""

    #: Every image of a call has the condition's content: a composite, in IPTC's terms.
    composite: ClassVar[bool] = False

    def labels(self, count: int, seed: int = 0, condition: Condition = None) -> Tensor | None:
        """None: there are no classes."""
        return None

    def source(self, condition: Condition) -> ImageSource:
        """The image to start from; ConfigError ``generator.condition-missing`` without one."""
        if condition is None or isinstance(condition, int):
            raise ConfigError(
                f"{self.name} starts from an image, and none is given.",
                code="generator.condition-missing",
                hint="Give one with --condition small.png.",
            )
        return condition


@dataclass(frozen=True)
class Family:
    """How a trained generator is built from its card, and what wraps it for users.

    Attributes:
        name: As on the card.
        build_generator: From the typed config to an untrained network.
        wrap: Called with network, card and device.
    """

    name: str
    config: type[BaseModel]
    build_generator: Callable[[Any], nn.Module]
    wrap: Callable[[Any, WeightsCard, torch.device], LoadedGenerator] = LoadedGenerator

    def parse(self, values: Mapping[str, Any]) -> Any:
        """The typed config; ConfigError names what is wrong with ``values``."""
        return validated(self.config, dict(values), f"The {self.name} network cannot be built")


def as_pixels(source: ImageSource) -> Pixels:
    """uint8 [H, W, 3] RGB of a source; ImageError if it cannot be read."""
    return source if isinstance(source, np.ndarray) else read_image(source).pixels


def to_pixels(images: Tensor) -> np.ndarray:
    """Float [N, 1 or 3, H, W] in [-1, 1] to uint8 [N, H, W, 3]."""
    scaled = ((images.detach().float() + 1) * 127.5).round().clamp(0, 255)
    pixels = scaled.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return np.ascontiguousarray(np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else pixels)


def to_tensor(pixels: np.ndarray) -> Tensor:
    """uint8 [N, H, W, C] to float [N, C, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
