"""Style transfer by optimisation (Gatys, Ecker & Bethge 2016).

>>> image = stylise(photograph, painting, encoder=load_encoder(), steps=60)     # doctest: +SKIP

The image's pixels are changed by L-BFGS until their features match the content's, and the Gram
matrices of the features match the style's. Images over the working size are done coarse first,
then tile by tile, each tile starting from the enlarged coarse result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from countermark.core.errors import ConfigError, TrainingError
from countermark.core.images import Pixels
from countermark.generators.base import to_pixels, to_tensor
from countermark.generators.style.encoder import Encoder
from countermark.generators.style.tiles import blend_tiles, fit_within

LEAST_SIDE = 32


@dataclass(frozen=True)
class StyleSettings:
    """How content and style are weighed.

    Attributes:
        content_weight, style_weight: Only their ratio matters; more style, less content.
        steps: Of L-BFGS, each about one evaluation of the network and its gradient.
        keep_colours: Take the brightness from the result and the colours from the content.
        side: Longest side that is optimised in one piece, in pixels.
        mix: Weights of several styles; () for equal ones.
    """

    content_weight: float = 1.0
    style_weight: float = 1.0
    steps: int = 60
    keep_colours: bool = False
    side: int = 384
    mix: tuple[float, ...] = ()

    def check(self) -> None:
        """ConfigError ``style.settings`` for values that mean nothing."""
        good = (
            self.content_weight >= 0
            and self.style_weight >= 0
            and self.content_weight + self.style_weight > 0
        )
        finite = np.isfinite([self.content_weight, self.style_weight]).all()
        if not (good and finite and 1 <= self.steps <= 2000 and 64 <= self.side <= 1024):
            raise ConfigError(
                "The style settings are out of range.",
                code="style.settings",
                hint="Weights from 0, not both 0; 1 to 2000 steps; 64 to 1024 pixels a side.",
            )


def stylise(
    content: Pixels,
    style: Pixels | Sequence[Pixels],
    *,
    encoder: Encoder,
    settings: StyleSettings | None = None,
) -> Pixels:
    """The content in the style; uint8 RGB [H, W, 3] of the content's size.

    Several styles are mixed by the weighted mean of their Gram matrices.

    Raises:
        ConfigError: ``style.settings`` or ``style.small`` (an image under 32 pixels a side).
    """
    settings = settings or StyleSettings()
    settings.check()
    styles = [style] if isinstance(style, np.ndarray) else list(style)
    check_sizes(content, styles)
    shares = mix_shares(len(styles), settings.mix)
    targets: list[Tensor] = []
    for share, look in zip(shares, styles, strict=True):
        grams = [share * gram(f) for f in _features(encoder, fit_within(look, settings.side))]
        targets = [a + b for a, b in zip(targets, grams, strict=False)] if targets else grams
    coarse = fit_within(content, settings.side)
    result = _optimise(coarse, coarse, targets, encoder, settings)
    if coarse.shape != content.shape:
        height, width = content.shape[:2]
        result = cv2.resize(result, (width, height), interpolation=cv2.INTER_CUBIC)

        def refine(start: Pixels, part: Pixels) -> Pixels:
            return _optimise(part, start, targets, encoder, settings, share=0.3)

        result = blend_tiles((result, content), settings.side, refine)
    return with_colours_of(content, result) if settings.keep_colours else result


def check_sizes(content: Pixels, styles: Sequence[Pixels]) -> None:
    """ConfigError ``style.small`` for images that hold too little to have features."""
    for what, pixels in (("content", content), *(("style", style) for style in styles)):
        if min(pixels.shape[:2]) < LEAST_SIDE:
            raise ConfigError(
                f"The {what} has {pixels.shape[1]} x {pixels.shape[0]} pixels; that is too small.",
                code="style.small",
                hint=f"Use {LEAST_SIDE} pixels a side or more.",
            )


def mix_shares(styles: int, weights: Sequence[float] = ()) -> list[float]:
    """Shares of the styles, adding up to 1; equal without weights.

    Raises:
        ConfigError: ``style.mix`` for weights that are negative, all 0, or not one for each style.
    """
    weights = list(weights) or [1.0] * styles
    good = all(np.isfinite(w) and w >= 0 for w in weights) and sum(weights) > 0
    if not good or len(weights) != styles:
        raise ConfigError(
            f"{len(weights)} weights do not mix {styles} styles.",
            code="style.mix",
            hint="Give one weight of 0 or more for each style, not all 0.",
        )
    return [w / sum(weights) for w in weights]


def gram(features: Tensor) -> Tensor:
    """Products of channels averaged over positions: [1, C, H, W] to [C, C]."""
    flat = features[0].flatten(1)
    return flat @ flat.T / flat.shape[1]


def with_colours_of(content: Pixels, image: Pixels) -> Pixels:
    """The image's brightness with the content's colours (Gatys et al. 2016b, luminance only)."""
    colours = cv2.cvtColor(content, cv2.COLOR_RGB2YCrCb)
    colours[..., 0] = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)[..., 0]
    return cv2.cvtColor(colours, cv2.COLOR_YCrCb2RGB)


def style_distance(one: Pixels, two: Pixels, encoder: Encoder) -> float:
    """Relative squared distance of the Gram matrices of two images, averaged over the layers."""
    pairs = zip(_features(encoder, one), _features(encoder, two), strict=True)
    return float(np.mean([float(_relative(gram(a), gram(b))) for a, b in pairs]))


def _relative(one: Tensor, target: Tensor) -> Tensor:
    return (one - target).square().sum() / target.square().sum().clamp_min(1e-12)


@torch.no_grad()
def _features(encoder: Encoder, pixels: Pixels) -> list[Tensor]:
    return encoder(to_tensor(pixels[None]))


def _optimise(
    content: Pixels,
    start: Pixels,
    targets: list[Tensor],
    encoder: Encoder,
    settings: StyleSettings,
    share: float = 1.0,
) -> Pixels:
    wanted = _features(encoder, content)[encoder.content_layer]
    energy = wanted.square().mean().clamp_min(1e-12)
    x = to_tensor(start[None]).contiguous().requires_grad_(True)
    steps = max(round(settings.steps * share), 1)
    optimiser = torch.optim.LBFGS(
        [x], max_iter=steps, max_eval=steps * 2, history_size=10, tolerance_change=0.0
    )
    strength = settings.style_weight * encoder.default_style_weight

    def closure() -> Tensor:
        optimiser.zero_grad()
        maps = encoder(x)
        near = (maps[encoder.content_layer] - wanted).square().mean() / energy
        alike = torch.stack([_relative(gram(a), b) for a, b in zip(maps, targets, strict=False)]).mean()
        rough = (x[..., 1:] - x[..., :-1]).abs().mean() + (x[..., 1:, :] - x[..., :-1, :]).abs().mean()
        outside = (x.abs() - 1).clamp_min(0).square().mean()
        loss = 100 * (settings.content_weight * near + strength * alike + 0.02 * rough + outside)
        loss.backward()
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    if not bool(torch.isfinite(x).all()):
        raise TrainingError(
            "The style transfer diverged.", code="training.diverged", hint="Use a smaller style weight."
        )
    return to_pixels(x)[0]
