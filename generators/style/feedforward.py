"""Style transfer in one pass, for images of any size.

>>> image = stylise_forward(network, encoder, photograph, [painting])          # doctest: +SKIP

Two passes over the tiles of the content: the first measures its features' statistics over the
whole image, the second adapts and decodes. Every tile is computed with the network's margin around
it, so that the result is that of the untiled image, to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from countermark.core.errors import ConfigError
from countermark.core.images import Pixels
from countermark.generators.base import to_pixels, to_tensor
from countermark.generators.style.adain import (
    SIDES,
    STEP,
    AdainDecoder,
    Statistics,
    adapt,
    deviation,
    measure,
    mix,
)
from countermark.generators.style.encoder import Encoder
from countermark.generators.style.gatys import check_sizes, mix_shares, with_colours_of
from countermark.generators.style.tiles import fit_within, windows

#: Mirrored pixels around the content, a multiple of ``STEP``.
FRAME = 24


@dataclass(frozen=True)
class ForwardSettings:
    """How the style is laid on.

    Attributes:
        alpha: 0 gives the content back, decoded; 1 its features with all of the style's statistics.
        mix: Weights of several styles; () for equal ones.
        keep_colours: Take the brightness from the result and the colours from the content.
        style_side: Styles are shrunk to this longest side; smaller gives finer strokes.
        tile: Side of the tiles in pixels, a multiple of 8.
    """

    alpha: float = 1.0
    mix: tuple[float, ...] = ()
    keep_colours: bool = False
    style_side: int = 512
    tile: int = 512

    def check(self) -> None:
        """ConfigError ``style.settings`` for values that mean nothing."""
        tiles = 64 <= self.tile <= 4096 and self.tile % STEP == 0
        if not (0 <= self.alpha <= 1 and 32 <= self.style_side <= 2048 and tiles):
            raise ConfigError(
                "The style settings are out of range.",
                code="style.settings",
                hint="Alpha from 0 to 1; styles of 32 to 2048 pixels; tiles of 64 to 4096, by 8.",
            )


@torch.no_grad()
def stylise_forward(
    network: AdainDecoder,
    encoder: Encoder,
    content: Pixels,
    styles: Sequence[Pixels],
    settings: ForwardSettings | None = None,
) -> Pixels:
    """The content in the mixed styles; uint8 RGB [H, W, 3] of the content's size.

    Raises:
        ConfigError: ``style.settings``, ``style.mix`` or ``style.small`` (an image under 32 pixels a side).
    """
    settings = settings or ForwardSettings()
    settings.check()
    check_sizes(content, styles)
    shares = mix_shares(len(styles), settings.mix)
    device = next(network.parameters()).device
    height, width = content.shape[:2]
    x = to_tensor(content[None]).to(device)
    # Encoders fill up with noughts, which would be seen as a frame.
    x = F.pad(x, (FRAME, FRAME - width % -STEP, FRAME, FRAME - height % -STEP), mode="reflect")
    places = list(windows(x.shape[2], x.shape[3], settings.tile, network.margin))
    # A picture of one tile is encoded once, a larger one twice: its features would fill the memory.
    kept = network.features(encoder, x) if len(places) == 1 else None
    own = measure_tiled(network, encoder, x, settings.tile) if kept is None else measure(kept)
    looks = [to_tensor(fit_within(style, settings.style_side)[None]).to(device) for style in styles]
    wanted = mix([measure(network.features(encoder, look)) for look in looks], shares)
    wanted = mix([own, wanted], [1 - settings.alpha, settings.alpha])
    made = np.empty((*x.shape[2:], 3), np.uint8)
    for window in places:
        maps = kept or network.features(encoder, x[:, :, *window.region])
        made[window.core] = to_pixels(network(adapt(maps, own, wanted)))[0][window.inside()]
    made = np.ascontiguousarray(made[FRAME : FRAME + height, FRAME : FRAME + width])
    return with_colours_of(content, made) if settings.keep_colours else made


@torch.no_grad()
def measure_tiled(network: AdainDecoder, encoder: Encoder, x: Tensor, tile: int) -> Statistics:
    """Statistics of the features of the whole image [1, 3, H, W], computed tile by tile."""
    count, sums, squares = 0, None, None
    for window in windows(x.shape[2], x.shape[3], tile, network.margin):
        maps = network.features(encoder, x[:, :, *window.region])
        cores = [m[:, :, *window.inside(side)].double() for side, m in zip(SIDES, maps, strict=True)]
        new = [c.sum(dim=(2, 3), keepdim=True) for c in cores]
        new_squares = [c.square().sum(dim=(2, 3), keepdim=True) for c in cores]
        sums = new if sums is None else [a + b for a, b in zip(sums, new, strict=True)]
        squares = (
            new_squares if squares is None else [a + b for a, b in zip(squares, new_squares, strict=True)]
        )
        count += cores[0].shape[2] * cores[0].shape[3]
    if sums is None or squares is None:
        raise ConfigError("The content has no pixels.", code="style.small")
    counts = [count / side**2 for side in SIDES]
    means = [s / n for s, n in zip(sums, counts, strict=True)]
    mean_squares = [s / n for s, n in zip(squares, counts, strict=True)]
    pairs = zip(means, mean_squares, strict=True)
    return Statistics(tuple(m.float() for m in means), tuple(deviation(m, s).float() for m, s in pairs))
