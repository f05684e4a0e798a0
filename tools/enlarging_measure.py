"""What enlarging is measured by: PSNR, a distance of features as in LPIPS, and their differences.

>>> import numpy as np
>>> from countermark.generators.style.encoder import load_encoder
>>> image = np.zeros((32, 32, 3), np.uint8)
>>> perceptual_distance(image, image, load_encoder("filters"))
0.0
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from countermark.core.images import Pixels
from countermark.core.intervals import bootstrap
from countermark.core.perturb import perturb
from countermark.core.results import Interval
from countermark.core.stats import weighted_mean
from countermark.generators.base import to_tensor
from countermark.generators.style.encoder import Encoder

#: Takes a small image and its number among those that are measured.
Enlarger = Callable[[Pixels, int], Pixels]


@dataclass(frozen=True)
class EnlargingFigures:
    """Bicubic beside an enlarger, on the same small images.

    Attributes:
        psnr, distance: Means of (bicubic, enlarger).
        gain, nearer: Mean differences per image, enlarger less bicubic, with 95 % intervals; a
            positive ``gain`` (dB) and a negative ``nearer`` speak for the enlarger.
        better: Share of images with more PSNR than bicubic.
    """

    count: int
    psnr: tuple[float, float]
    gain: Interval
    distance: tuple[float, float]
    nearer: Interval
    better: float


def bicubic_pixels(pixels: Pixels, scale: int) -> Pixels:
    """The baseline: OpenCV's bicubic, uint8 [scale * H, scale * W, 3]."""
    height, width = pixels.shape[:2]
    return cv2.resize(pixels, (width * scale, height * scale), interpolation=cv2.INTER_CUBIC)


def psnr(one: Pixels, two: Pixels) -> float:
    """Peak signal-to-noise ratio of two uint8 images in dB; infinite for equal ones."""
    error = float(np.mean((one.astype(np.float64) - two.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def perceptual_distance(one: Pixels, two: Pixels, encoder: Encoder) -> float:
    """Distance of two uint8 RGB images of one size in an encoder's features.

    As LPIPS (Zhang et al. 2018) without its learnt weights: features of every position are brought
    to length 1, squared differences are summed over channels, averaged over positions and levels.
    """
    return _apart(_directions(one, encoder), _directions(two, encoder))


@torch.no_grad()
def _directions(pixels: Pixels, encoder: Encoder) -> list[Tensor]:
    return [F.normalize(maps, dim=1, eps=1e-6) for maps in encoder(to_tensor(pixels[None]))]


def _apart(one: list[Tensor], two: list[Tensor]) -> float:
    levels = [(a - b).square().sum(dim=1).mean() for a, b in zip(one, two, strict=True)]
    return float(torch.stack(levels).mean())


def compare_with_bicubic(
    originals: Sequence[Pixels],
    enlarger: Enlarger,
    scale: int,
    encoder: Encoder,
    *,
    quality: int | None = None,
    resamples: int = 1000,
) -> EnlargingFigures:
    """Makes images small (area filter, then perhaps JPEG), enlarges them and measures both ways.

    Args:
        originals: uint8 RGB, sides multiples of ``scale``.
        quality: Of the JPEG compression of the small image; None for none.
        resamples: Of the bootstrap over images.
    """
    noise, apart = [], []
    for number, original in enumerate(originals):
        height, width = original.shape[:2]
        small = cv2.resize(original, (width // scale, height // scale), interpolation=cv2.INTER_AREA)
        if quality is not None:
            small = perturb(f"jpeg:{quality}", small)
        made = (bicubic_pixels(small, scale), enlarger(small, number))
        noise.append([psnr(original, each) for each in made])
        true = _directions(original, encoder)
        apart.append([_apart(true, _directions(each, encoder)) for each in made])
    values, distances = np.array(noise), np.array(apart)
    return EnlargingFigures(
        count=len(values),
        psnr=(float(values[:, 0].mean()), float(values[:, 1].mean())),
        gain=_interval(values[:, 1] - values[:, 0], resamples),
        distance=(float(distances[:, 0].mean()), float(distances[:, 1].mean())),
        nearer=_interval(distances[:, 1] - distances[:, 0], resamples),
        better=float((values[:, 1] > values[:, 0]).mean()),
    )


def _interval(values: np.ndarray, resamples: int) -> Interval:
    return bootstrap(lambda w: weighted_mean(values, w), np.ones(len(values)), resamples=resamples)
