"""What style transfer is measured by: how far from the content, how far from the style.

>>> import numpy as np
>>> from countermark.generators.style.encoder import load_encoder
>>> image = np.zeros((32, 32, 3), np.uint8)
>>> content_distance(image, image, load_encoder("filters"))
0.0

Both are relative to the features themselves, and mean something only in one encoder's features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from countermark.core.images import Pixels
from countermark.generators.base import to_tensor
from countermark.generators.style.adain import measure
from countermark.generators.style.encoder import Encoder


@torch.no_grad()
def content_distance(made: Pixels, content: Pixels, encoder: Encoder) -> float:
    """Squared distance of the content layer's features over their squared length; images of one size."""
    one, two = (encoder(to_tensor(p[None]))[encoder.content_layer] for p in (made, content))
    return float((one - two).square().sum() / two.square().sum().clamp_min(1e-12))


@torch.no_grad()
def moments_distance(made: Pixels, style: Pixels, encoder: Encoder) -> float:
    """Relative squared distance of the channels' means and deviations, averaged over the layers."""
    one, two = (measure(encoder(to_tensor(p[None]))) for p in (made, style))
    layers = zip(one.means, one.deviations, two.means, two.deviations, strict=True)
    shares = [
        ((a - c).square().sum() + (b - d).square().sum())
        / (c.square().sum() + d.square().sum()).clamp_min(1e-12)
        for a, b, c, d in layers
    ]
    return float(np.mean([float(share) for share in shares]))


def at_content(curve: Sequence[tuple[float, float]], content: float) -> float | None:
    """A method's style distance at a given content distance, by linear interpolation between settings.

    Args:
        curve: (content distance, style distance) of several strengths.

    Returns:
        None outside of what the strengths span: nothing is extrapolated.
    """
    ordered = sorted(curve)
    contents = [c for c, _ in ordered]
    if not contents or not contents[0] <= content <= contents[-1]:
        return None
    return float(np.interp(content, contents, [s for _, s in ordered]))
