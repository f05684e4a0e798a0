"""One offset of the logit from pictures without labels, for a delivery that shifts all scores.

A folder whose pictures were all resized or compressed alike moves the scores of real and of generated
pictures together. What the scores of a folder look like is known up to two numbers: the share of generated
pictures and the offset. The real pictures behind the thresholds give the one density, f0; as the calibrator
holds for even classes, the other is f1(z) = f0(z)·exp(z). The offset is its mean under the posterior with a
normal prior around zero (after Liang et al., AAAI 2026, arXiv 2602.01973, who learn one offset from
unlabelled target data; the densities and the prior are ours).

>>> real = np.concatenate([np.linspace(-6, 0, 400), np.linspace(0, 3, 40)])
>>> found = estimate_offset(real + 1.0, real, np.full(440, 1 / 440))
>>> 0.4 < found.value < 1.2
True
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from countermark.core.errors import ConfigError

#: Fewer pictures than these show no offset.
FEWEST = 50
#: Standard deviation of offsets before any picture is seen.
PRIOR = 1.0
#: Of the Gaussian that smooths the densities, in logits.
SMOOTH = 0.4
#: Quantile of the real pictures above which the generated ones' density is a tail.
TAIL = 0.995
#: The tail's share of the generated pictures is at least this, and its slope within these, a logit.
SMALLEST_REST, SLOPES = 0.02, (0.2, 2.0)
_STEP = 0.05
_GRID = np.arange(-14.0, 14.0, _STEP)
_OFFSETS = np.arange(-3.0, 3.0001, 0.05)
_SHARES = np.linspace(0.02, 0.98, 49)


@dataclass(frozen=True)
class Offset:
    """How far a folder's logits lie above those that the detector was calibrated for.

    Attributes:
        value: Mean of the posterior, in logits; to be taken from the calibrated logit.
        low, high: The middle 90 % of the posterior. Pictures of one folder resemble each other, so read
            it as the narrowest that is honest.
        share: The estimated share of generated pictures in the folder, in [0, 1].
        pictures: How many were scored.
    """

    value: float
    low: float
    high: float
    share: float
    pictures: int


def estimate_offset(logits: np.ndarray, real: np.ndarray, weights: np.ndarray) -> Offset:
    """Estimates the offset of a folder of unlabelled pictures.

    Args:
        logits: Calibrated logits of the folder's pictures, float [N].
        real: Calibrated logits of real pictures under the usual deliveries, float [M].
        weights: Of ``real``, float [M], sum 1.

    Raises:
        ConfigError: ``calibration.too-few``: fewer than ``FEWEST`` pictures.
    """
    logits = np.asarray(logits, np.float64)
    if len(logits) < FEWEST:
        raise ConfigError(
            f"{len(logits)} pictures show no offset.",
            code="calibration.too-few",
            hint=f"Give at least {FEWEST}, all delivered alike.",
        )
    f0, f1 = _densities(np.asarray(real, np.float64), np.asarray(weights, np.float64))
    posterior = np.empty((len(_OFFSETS), len(_SHARES)))
    for row, offset in enumerate(_OFFSETS):
        at0, at1 = np.interp(logits - offset, _GRID, f0), np.interp(logits - offset, _GRID, f1)
        mixed = np.log(np.outer(at0, 1 - _SHARES) + np.outer(at1, _SHARES) + 1e-9)
        posterior[row] = mixed.sum(axis=0) - offset**2 / (2 * PRIOR**2)
    posterior = np.exp(posterior - posterior.max())
    posterior /= posterior.sum()
    of_offset = posterior.sum(axis=1)
    reached = np.cumsum(of_offset)
    return Offset(
        float(of_offset @ _OFFSETS),
        float(_OFFSETS[int(np.searchsorted(reached, 0.05))]),
        float(_OFFSETS[min(int(np.searchsorted(reached, 0.95)), len(_OFFSETS) - 1)]),
        float(posterior.sum(axis=0) @ _SHARES),
        len(logits),
    )


def _densities(real: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Densities of the real and of the generated pictures' logits on the grid.

    Few real pictures score high, where most generated ones do. Above a high quantile of the real ones the
    generated ones' remaining share is therefore an exponential tail that joins what lies below.
    """
    edges = np.append(_GRID, _GRID[-1] + _STEP) - _STEP / 2
    counts, _ = np.histogram(np.clip(real, _GRID[0], _GRID[-1]), edges, weights=weights)
    reach = np.arange(-2.0, 2.0001, _STEP)
    kernel = np.exp(-(reach**2) / (2 * SMOOTH**2))
    f0 = np.convolve(counts, kernel / kernel.sum(), mode="same") / _STEP
    order = np.argsort(real)
    place = int(np.searchsorted(np.cumsum(weights[order]), TAIL))
    last = int(np.searchsorted(_GRID, real[order[min(place, len(real) - 1)]]))
    last = min(max(last, 1), len(_GRID) - 2)
    f1 = f0 * np.exp(_GRID)
    rest = max(1.0 - float(f1[:last].sum() * _STEP), SMALLEST_REST)
    slope = float(np.clip(f1[last - 1] / rest, *SLOPES))
    above = _GRID[last:] - _GRID[last]
    f1[last:] = rest * slope * np.exp(-slope * above)
    f0[last:] = f1[last:] * np.exp(-_GRID[last:])
    return f0 / (f0.sum() * _STEP), f1 / (f1.sum() * _STEP)
