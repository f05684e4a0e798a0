"""What the reader sees of one picture under different handling: the views that a mark is solved for.

A mark fitted to the untouched picture alone leans on what the picture happens to contribute to each
code bit. Blurring changes that contribution; a view tells the solver how, and which share of the
mark is left.

>>> import numpy as np
>>> grey = np.full((256, 256), 128, np.float32)
>>> nominal(grey).host.shape
(29, 128)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from countermark.provenance.watermark import perception, spectrum
from countermark.provenance.watermark.layout import OUTER, TILE

#: Rows of a tile's spectrum that hold the mark.
ROWS = int(OUTER) + 1
#: Grey levels from white or black within which a mark is cut off.
SATURATED = 2.0
#: Noise (grey levels, rms) that re-coding is expected to add everywhere. It keeps the solver from
#: trusting the very faint carriers that a smooth picture would allow.
CODING_NOISE = 2.5
#: The same after a blur, which nothing but rounding follows.
BLURRED_NOISE = 0.75
#: Share of the mark that is left of places, by ``cv2.inRange``: 0 where saturated, 255 elsewhere.
_KEPT = np.repeat(np.array([0.5, 1.0], np.float32), 128)
MIDDLE = 12.0
TILT = 2.0


@dataclass(frozen=True)
class View:
    """One way of handling, in the folded tile.

    Attributes:
        host: complex64, 29 x 128: spectrum of the unmarked picture as the reader sees it, the
            mark's rows only.
        noise: float32, 29 x 128: noise of every bin.
        response: float32, 128 x 128: factor by which a mark's tile arrives, place by place.
        transfer: float32, 29 x 128: the same, frequency by frequency; None: 1.
        need: Margin that is asked for, relative to the untouched picture's.
    """

    host: np.ndarray
    noise: np.ndarray
    response: np.ndarray
    transfer: np.ndarray | None = None
    need: float = 1.0

    def seen(self, tile: np.ndarray) -> np.ndarray:
        """The whitened spectrum of the picture marked with a tile."""
        mark = np.fft.rfft2(self.response * tile, axes=(1, 0))[:ROWS]
        if self.transfer is not None:
            mark = mark * self.transfer
        result: np.ndarray = (self.host + mark) / self.noise
        return result


@dataclass(frozen=True)
class Plane:
    """Intermediate planes of a picture, float32, H x W: what views and the mark are made of.

    Attributes:
        even: The picture as the reader correlates it.
        gain: By what the reader multiplies.
        noisy: The same where a mark lies: blank places without one come out of codecs blank.
        carrier: Amplitude of the mark, relative.
        landing: What of that amplitude saturation leaves.
        local: Local mean square, at half the size.
    """

    even: np.ndarray
    gain: np.ndarray
    noisy: np.ndarray
    carrier: np.ndarray
    landing: np.ndarray
    local: np.ndarray


def analyse(plane: np.ndarray, evenness: float = 0.0, factor: np.ndarray | None = None) -> Plane:
    """Prepares a working plane (float32 luma).

    ``evenness`` (0 to 1) flattens the perceptual mask, ``factor`` (H x W) is multiplied to it.
    """
    high = perception.high_pass(plane)
    local = perception.contrast(high)
    gain = perception.reader_gain(local, high.shape)
    carrier = perception.mask(high)
    if evenness:
        carrier = cv2.pow(carrier, 1 - evenness)
    noisy = gain
    if factor is not None:
        carrier = carrier * factor
        noisy = gain * factor
    perception.limit_outliers(high, local)
    high *= gain
    # Of a mark on white or black paper only the half that darkens or lightens it remains.
    open_places = cv2.inRange(plane, SATURATED, 255 - SATURATED)
    landing = carrier * cv2.LUT(open_places, _KEPT)
    return Plane(high, gain, noisy, carrier, landing, local)


def nominal(plane: np.ndarray, parts: Plane | None = None) -> View:
    """The picture as it is."""
    parts = parts or analyse(plane)
    return _view(parts.even, parts.noisy, parts.gain * parts.landing)


def blurred(plane: np.ndarray, parts: Plane, sigma: float, need: float) -> View:
    """The picture after a Gaussian blur of this many working pixels."""
    after = analyse(cv2.GaussianBlur(plane, (0, 0), sigma))
    cycles = np.fft.fftfreq(TILE)
    line = np.exp(-2 * (np.pi * sigma * cycles) ** 2).astype(np.float32)
    response = after.gain * parts.landing
    transfer = line[:ROWS, None] * line[None, :]
    return _view(after.even, after.gain, response, transfer, need, BLURRED_NOISE)


def _view(
    even: np.ndarray,
    noisy: np.ndarray,
    response: np.ndarray,
    transfer: np.ndarray | None = None,
    need: float = 1.0,
    coding: float = CODING_NOISE,
) -> View:
    host = spectrum.transform(spectrum.fold(even))
    coding_noise = coding**2 / 2 * cv2.norm(noisy, cv2.NORM_L2SQR)
    noise = np.sqrt(spectrum.noise(host) ** 2 + np.float32(coding_noise) * _tilt())
    return View(host[:ROWS], noise[:ROWS], spectrum.fold(response), transfer, need)


@lru_cache(maxsize=1)
def _tilt() -> np.ndarray:
    """Coding noise of every bin, relative: it grows with frequency, as codecs' tables do."""
    cycles = np.abs(np.fft.fftfreq(TILE, 1 / TILE))
    squared: np.ndarray = (np.hypot(cycles[:, None], cycles[None, :]) / MIDDLE) ** TILT
    return squared.astype(np.float32)
