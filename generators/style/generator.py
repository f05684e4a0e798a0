"""Style transfer as users call it: by optimisation (``style``), or in one pass of a trained network.

>>> from countermark.generators import load_generator
>>> made = load_generator("style-adain").sample(1, condition="a.jpg", style="b.jpg")   # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from countermark.core.errors import ConfigError
from countermark.core.images import Pixels
from countermark.core.weights import WeightsCard
from countermark.generators.base import Condition, ConditionalGenerator, Family, ImageSource, as_pixels
from countermark.generators.style.adain import AdainConfig, AdainDecoder
from countermark.generators.style.encoder import Encoder, load_encoder
from countermark.generators.style.feedforward import ForwardSettings, stylise_forward
from countermark.generators.style.gatys import StyleSettings, stylise


@dataclass(frozen=True)
class Style(ConditionalGenerator):
    """The look of one picture on the content of another, by optimisation."""

    network: Encoder
    composite: ClassVar[bool] = True

    def sample(self, count: int, seed: int = 0, condition: Condition = None, **options: Any) -> np.ndarray:
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
        self.check_count(count)
        style = options.pop("style", None)
        known = {name: options.pop(name, None) for name in StyleSettings.__dataclass_fields__}
        self.refuse(options)
        content, looks = as_pixels(self.source(condition)), look_images(style)
        settings = StyleSettings(**{key: value for key, value in known.items() if value is not None})
        made = stylise(content, looks, encoder=self.network, settings=settings)
        return np.repeat(made[None], count, axis=0)


@dataclass(frozen=True)
class ForwardStyle(ConditionalGenerator):
    """The look of one picture or several on the content of another, in one pass of a trained network."""

    network: AdainDecoder
    composite: ClassVar[bool] = True

    @cached_property
    def encoder(self) -> Encoder:
        """The network whose features the decoder was trained on."""
        return load_encoder(self.card.config["encoder"]).requires_grad_(False).to(self.device)

    def sample(self, count: int, seed: int = 0, condition: Condition = None, **options: Any) -> np.ndarray:
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
        self.check_count(count)
        style = options.pop("style", None)
        known = {name: options.pop(name, None) for name in ForwardSettings.__dataclass_fields__}
        self.refuse(options)
        content, looks = as_pixels(self.source(condition)), look_images(style)
        settings = ForwardSettings(**{key: value for key, value in known.items() if value is not None})
        made = stylise_forward(self.network, self.encoder, content, looks, settings)
        return np.repeat(made[None], count, axis=0)


def look_images(style: ImageSource | Sequence[ImageSource] | None) -> list[Pixels]:
    """The styles, read where they are files; ConfigError ``style.missing`` for none."""
    if isinstance(style, Path | str | bytes | np.ndarray):
        style = [style]
    looks = list(style or ())
    if not looks:
        raise ConfigError(
            "A style image is needed.", code="style.missing", hint="Give one with --style painting.jpg."
        )
    return [as_pixels(look) for look in looks]


def load_style(encoder: str = "auto") -> Style:
    """Style transfer with the named encoder, see ``style.encoder.load_encoder``."""
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


FAMILY = Family("adain", AdainConfig, AdainDecoder, ForwardStyle)
