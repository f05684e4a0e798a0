"""Generators that need an image to start from: doodle to image, super-resolution, style.

>>> from countermark.generators import load_generator
>>> large = load_generator("superres").sample(1, condition="small.png", scale=4)   # doctest: +SKIP

They are loaded, listed and sampled as the others are; only ``condition`` is an image (a path, or
uint8 [H, W, 3] RGB) instead of a class, and must be given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor, nn

from countermark.core.errors import ConfigError, WeightsError
from countermark.core.images import Pixels, read_image
from countermark.core.registry import Registry
from countermark.core.seeds import torch_rng
from countermark.core.weights import WeightsCard
from countermark.generators.library import MAX_COUNT, LoadedGenerator, to_pixels

Condition = Path | str | bytes | Pixels | None


@dataclass(frozen=True)
class ConditionalGenerator(LoadedGenerator):
    """A generator whose images are made from an image."""

    #: Every image of a call has the condition's content: a composite, in IPTC's terms.
    composite = False

    def labels(self, count: int, seed: int = 0, condition: Any = None) -> Tensor | None:
        """None: there are no classes."""
        return None

    def check_count(self, count: int) -> None:
        """ConfigError ``generator.count`` unless ``count`` images can be made."""
        if not 0 < count <= MAX_COUNT:
            raise ConfigError(
                f"{count} images cannot be made.", code="generator.count", hint="Ask for 1 or more."
            )


@dataclass(frozen=True)
class SketchToImage(ConditionalGenerator):
    """Doodle to image; two seeds give two images of one doodle."""

    @torch.no_grad()
    def sample(self, count: int, seed: int = 0, condition: Any = None, **options: Any) -> np.ndarray:
        """Draws the doodle ``count`` times: uint8 [count, size, size, 3], RGB.

        Raises:
            ConfigError: see ``countermark.generators.sketch.doodles.read_doodle``.
            ImageError: the doodle cannot be read.
        """
        from countermark.generators.sketch.doodles import read_doodle

        self.check_count(count)
        refuse(options, self.name)
        doodle = torch.from_numpy(read_doodle(condition, self.size)).permute(2, 0, 1)[None].to(self.device)
        images = []
        for number in range(seed, seed + count):  # one by one: an image depends on its own seed only
            z = torch.randn(1, self.latent, generator=torch_rng(number, "latent")).to(self.device)
            images.append(to_pixels(self.network(z, doodle)))
        return np.concatenate(images)


@dataclass(frozen=True)
class Superres(ConditionalGenerator):
    """Twice or four times the side of an image of any size."""

    composite = True

    def sample(self, count: int, seed: int = 0, condition: Any = None, **options: Any) -> np.ndarray:
        """Enlarges the image: uint8 [count, scale * H, scale * W, 3]; the seed changes nothing.

        Args:
            options: ``scale``: 2 (the default) or 4.

        Raises:
            ConfigError: ``generator.condition-missing``, ``superres.scale`` or ``superres.too-large``.
            ImageError: the image cannot be read.
        """
        from countermark.generators.superres.enlarge import enlarge

        self.check_count(count)
        scale = options.pop("scale", None) or 2
        refuse(options, self.name)
        if condition is None:
            raise ConfigError(
                "An image to enlarge is needed.",
                code="generator.condition-missing",
                hint="Give one with --condition small.png.",
            )
        pixels = condition if isinstance(condition, np.ndarray) else read_image(condition).pixels
        large = enlarge(self.network, pixels, scale, device=self.device)
        return np.repeat(large[None], count, axis=0)


@dataclass(frozen=True)
class Style(ConditionalGenerator):
    """The look of one picture on the content of another, by optimisation."""

    composite = True

    def sample(self, count: int, seed: int = 0, condition: Any = None, **options: Any) -> np.ndarray:
        """Stylises the content: uint8 [count, H, W, 3]; the seed changes nothing.

        Args:
            condition: The content image.
            options: ``style`` (an image or a list of them; must be given), ``mix``,
                ``content_weight``, ``style_weight``, ``steps``, ``keep_colours``, ``side``, see
                ``style.gatys.StyleSettings``.

        Raises:
            ConfigError: ``generator.condition-missing``, ``style.missing``, ``style.settings``,
                ``style.mix``, ``style.small``.
            ImageError: an image cannot be read.
        """
        from countermark.generators.style.gatys import StyleSettings, stylise

        self.check_count(count)
        style = options.pop("style", None)
        known = {name: options.pop(name, None) for name in StyleSettings.__dataclass_fields__}
        refuse(options, self.name)
        content, looks = style_images(condition, style)
        settings = StyleSettings(**{key: value for key, value in known.items() if value is not None})
        made = stylise(content, looks, encoder=self.network, settings=settings)  # type: ignore[arg-type]
        return np.repeat(made[None], count, axis=0)


@dataclass(frozen=True)
class ForwardStyle(ConditionalGenerator):
    """The look of one picture or several on the content of another, in one pass of a trained network."""

    composite = True

    @cached_property
    def encoder(self) -> nn.Module:
        """The network whose features the decoder was trained on."""
        from countermark.generators.style.encoder import load_encoder

        return load_encoder(self.card.config["encoder"]).requires_grad_(False).to(self.device)

    def sample(self, count: int, seed: int = 0, condition: Any = None, **options: Any) -> np.ndarray:
        """Stylises the content: uint8 [count, H, W, 3]; the seed changes nothing.

        Args:
            condition: The content image.
            options: ``style`` (an image or a list of them; must be given), ``mix``, ``alpha``,
                ``keep_colours``, ``style_side``, ``tile``, see ``style.feedforward.ForwardSettings``.

        Raises:
            ConfigError: ``generator.condition-missing``, ``style.missing``, ``style.settings``,
                ``style.mix``, ``style.small``.
            ImageError: an image cannot be read.
            MissingExtraError: the encoder's package is not installed.
        """
        from countermark.generators.style.feedforward import ForwardSettings, stylise_forward

        self.check_count(count)
        style = options.pop("style", None)
        known = {name: options.pop(name, None) for name in ForwardSettings.__dataclass_fields__}
        refuse(options, self.name)
        content, looks = style_images(condition, style)
        settings = ForwardSettings(**{key: value for key, value in known.items() if value is not None})
        made = stylise_forward(self.network, self.encoder, content, looks, settings)  # type: ignore[arg-type]
        return np.repeat(made[None], count, axis=0)


def style_images(condition: Any, style: Any) -> tuple[Pixels, list[Pixels]]:
    """Content and styles, read where they are paths."""
    if condition is None:
        raise ConfigError(
            "A content image is needed.",
            code="generator.condition-missing",
            hint="Give one with --condition photo.jpg.",
        )
    looks = list(style) if isinstance(style, list | tuple) else [] if style is None else [style]
    if not looks:
        raise ConfigError(
            "A style image is needed.", code="style.missing", hint="Give one with --style painting.jpg."
        )
    images = [i if isinstance(i, np.ndarray) else read_image(i).pixels for i in (condition, *looks)]
    return images[0], images[1:]


def load_style(encoder: str = "auto", device: str | None = None) -> Style:
    """Style transfer with the named encoder, see ``style.encoder.load_encoder``."""
    from countermark.generators.style.encoder import load_encoder

    network = load_encoder(encoder)
    card = WeightsCard(
        name="style",
        kind="generator",
        family="style",
        summary="Style transfer by optimisation (Gatys et al. 2016); no training.",
        sha256=network.sha256,
        config={"encoder": network.name},
        preprocessing={"condition": "image", "range": "[-1, 1]", "order": "RGB"},
        limits=["The result shows the content image: a composite, not a new picture."],
    )
    return Style(network, card, torch.device("cpu"))


def refuse(options: dict[str, Any], name: str) -> None:
    """ConfigError ``generator.option`` for options that are given but not known."""
    unknown = [key for key, value in options.items() if value is not None]
    if unknown:
        raise ConfigError(f"{name} does not take {', '.join(unknown)}.", code="generator.option")


@dataclass(frozen=True)
class ConditionalFamily:
    """Config class, network builder and the class that wraps a trained network."""

    config: type[BaseModel]
    build: Callable[[Any], nn.Module]
    wrap: type[ConditionalGenerator]

    def network(self, family: str, values: dict[str, Any]) -> nn.Module:
        """An untrained network; WeightsError for a card whose config is not understood."""
        try:
            return self.build(self.config.model_validate(values))
        except ValidationError as error:
            raise WeightsError(f"The card's config is not one of {family}: {error}.") from error

    def load(self, network: nn.Module, card: WeightsCard, device: torch.device) -> ConditionalGenerator:
        return self.wrap(network, card, device)


#: Families that need an image, by the name on their cards.
CONDITIONAL: Registry[ConditionalFamily] = Registry("conditional family")


def _register() -> None:
    from countermark.generators.sketch.network import SketchConfig, build_generator
    from countermark.generators.style.adain import AdainConfig, AdainDecoder
    from countermark.generators.superres.network import SuperresConfig, SuperResolver

    CONDITIONAL.register("sketch2image", ConditionalFamily(SketchConfig, build_generator, SketchToImage))
    CONDITIONAL.register("superres", ConditionalFamily(SuperresConfig, SuperResolver, Superres))
    CONDITIONAL.register("adain", ConditionalFamily(AdainConfig, AdainDecoder, ForwardStyle))


_register()
