"""Residual statistics of a picture's finest detail, for a detector that knows photographs only.

What a camera, its demosaicing and a codec leave in the high frequencies is described by about a
hundred numbers that do not depend on what is shown: energies of the 8x8 DCT, the fall of the
residual's spectrum, its tails, its correlation between neighbours and between colours. Statistics of
this kind are those of steganalysis (Fridrich & Kodovský 2012) and of spectrum-based detectors
(Durall et al. 2020).

>>> import numpy as np
>>> picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
>>> residual_features(picture).shape == (COUNT,)
True
"""

from __future__ import annotations

import cv2
import numpy as np

from countermark.core.images import Pixels

BLOCK = 8
RINGS = 16
SHIFTS = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))
#: DCT energies without the mean; spectrum rings; per colour: spread, tails, share of zeros; shifts of
#: the green residual; correlations of the three pairs of colours.
COUNT = BLOCK * BLOCK - 1 + RINGS + 3 * 3 + len(SHIFTS) + 3


def residual_features(picture: Pixels) -> np.ndarray:
    """float64 [COUNT] of a uint8 RGB picture of at least 16 x 16 pixels; finite for flat ones too."""
    values = picture.astype(np.float32)
    residual = values - cv2.blur(values, (3, 3))
    luma = values @ np.array([0.299, 0.587, 0.114], np.float32)
    found = [_dct_energies(luma), _ring_energies(luma)]
    spread = residual.std(axis=(0, 1)) + 1e-3
    scaled = residual / spread
    tails = np.abs(scaled).mean(axis=(0, 1))
    zeros = (np.abs(residual) < 0.5).mean(axis=(0, 1))
    found += [np.log(spread), tails, zeros]
    green = scaled[..., 1]
    high, wide = green.shape
    found.append(
        np.array([(green[: high - a, : wide - b] * green[a:, b:]).mean() for a, b in SHIFTS], np.float64)
    )
    pairs = ((0, 1), (1, 2), (0, 2))
    found.append(np.array([(scaled[..., i] * scaled[..., j]).mean() for i, j in pairs], np.float64))
    return np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in found])


def _dct_energies(luma: np.ndarray) -> np.ndarray:
    """Log mean absolute coefficient of the 63 frequencies over all 8x8 blocks, less their mean."""
    high, wide = (n - n % BLOCK for n in luma.shape)
    blocks = luma[:high, :wide].reshape(high // BLOCK, BLOCK, wide // BLOCK, BLOCK).transpose(0, 2, 1, 3)
    energy = np.abs(_BASIS @ blocks @ _BASIS.T).mean(axis=(0, 1)).ravel()[1:]
    logs = np.log(energy + 0.02)
    return logs - logs.mean()


def _ring_energies(luma: np.ndarray) -> np.ndarray:
    """Log mean amplitude of the windowed spectrum in rings of equal width, less their mean."""
    window = np.outer(np.hanning(luma.shape[0]), np.hanning(luma.shape[1])).astype(np.float32)
    amplitude = np.abs(np.fft.rfft2((luma - luma.mean()) * window))
    down = np.fft.fftfreq(luma.shape[0])[:, None]
    across = np.fft.rfftfreq(luma.shape[1])[None]
    radius = np.hypot(down, across) / np.sqrt(0.5)
    ring = np.minimum((radius * RINGS).astype(int), RINGS - 1).ravel()
    totals = np.bincount(ring, amplitude.ravel(), RINGS)
    logs = np.log(totals / np.maximum(np.bincount(ring, minlength=RINGS), 1) + 1e-2)
    return logs - logs.mean()


def _dct_basis() -> np.ndarray:
    n = np.arange(BLOCK)
    rows = np.cos(np.pi * (2 * n[None] + 1) * n[:, None] / (2 * BLOCK)) * np.sqrt(2 / BLOCK)
    rows[0] /= np.sqrt(2)
    return rows.astype(np.float32)


_BASIS = _dct_basis()
