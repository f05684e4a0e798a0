"""How far the power spectrum of drawn pictures is from that of photographs.

Power of the grey picture behind a Hann window, averaged over pictures and over rings of frequencies.

>>> noise = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3)).astype(np.uint8)
>>> [round(band.decibels, 1) for band in spectrum_gap(noise // 2, np.repeat(noise, 3, axis=0), bands=2)]
[-6.0, -6.0]
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

#: Shares of red, green and blue in a grey picture (ITU-R BT.601).
GREY = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Band:
    """Frequencies from ``low`` to ``high``, in cycles a pixel (.5: Nyquist), and the difference there."""

    low: float
    high: float
    decibels: float


def spectrum_gap(
    drawn: np.ndarray, photographs: np.ndarray, *, highest: float = 0.25, bands: int = 8
) -> list[Band]:
    """Power of ``drawn`` over that of ``photographs``, both uint8 RGB [N, side, side, 3], in decibels.

    Args:
        highest: Where the last of ``bands`` rings of equal width ends; .25 is half of Nyquist.
    """
    edges = np.linspace(0, highest, bands + 1)
    ours, theirs = (_rings(images, edges) for images in (drawn, photographs))
    gaps = 10 * np.log10(ours / theirs)
    return [Band(*each) for each in zip(edges[:-1].tolist(), edges[1:].tolist(), gaps.tolist(), strict=True)]


def _rings(images: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean power [bands] of a picture within each ring, the mean of every picture left out."""
    side = images.shape[1]
    window = np.outer(np.hanning(side), np.hanning(side))
    power = np.zeros((side, side))
    for image in images:
        grey = image @ GREY
        power += np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
    power /= len(images)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    return np.array(
        [power[(frequency > low) & (frequency <= high)].mean() for low, high in itertools.pairwise(edges)]
    )
