"""Solving for the mark: the least change of the picture after which the reader sees every code bit.

Informed embedding: the embedder computes what the reader would see in the unmarked picture, and
adds to each code bit and pilot only what that lacks to reach a common margin. The margin is raised
until the permitted mean squared error is used up. All of this happens on one folded tile, where the
reader is a linear map: ``fold(gain * mask * tile)`` is ``tile * fold(gain * mask)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import scipy.fft

from countermark.provenance.watermark import perception, spectrum
from countermark.provenance.watermark.layout import PARTS, TILE, Layout

ROUNDS = 9
#: Grey levels from white or black within which a mark is cut off.
SATURATED = 2.0
#: Noise (grey levels, rms) that re-coding is expected to add everywhere. It keeps the solver from
#: trusting the very faint carriers that a smooth picture would allow.
CODING_NOISE = 2.5
MIDDLE = 12.0
TILT = 2.0
#: Margin of the pilots over that of the code bits.
PILOT_MARGIN = 1.35


@dataclass(frozen=True)
class Solved:
    """A mark for one picture.

    Attributes:
        plane: float32, the change of luma in the working frame.
        margin: What every code bit reaches, in standard deviations of picture and coding noise.
    """

    plane: np.ndarray
    margin: float


def solve(
    plane: np.ndarray, bits: np.ndarray, layout: Layout, margin: float, errors: tuple[float, float]
) -> Solved:
    """Finds the mark of ``bits`` for a working plane.

    Args:
        plane: float32 luma, H x W.
        bits: bool, 248.
        layout: The key's carriers.
        margin: What every code bit should reach.
        errors: Lowest and highest mean squared error (of luma) that is used for it. The margin rises
            until the lowest is used, and gives way when the highest is reached.
    """
    high = perception.high_pass(plane)
    local = perception.contrast(high)
    gain = perception.reader_gain(local)
    carrier = perception.mask(high)
    perception.limit_outliers(high, local)
    host = spectrum.transform(spectrum.fold(high * gain))
    coding_noise = CODING_NOISE**2 / 2 * float(cv2.sumElems(gain * gain)[0])
    noise = np.sqrt(spectrum.noise(host) ** 2 + np.float32(coding_noise) * _tilt())
    # Of a mark on white or black paper only the half that darkens or lightens it remains.
    kept = np.where((plane > 255 - SATURATED) | (plane < SATURATED), np.float32(0.5), np.float32(1))
    response = spectrum.fold(gain * carrier * kept)
    energy = spectrum.fold(carrier * carrier * kept) / plane.size
    tile, margin = _solve_tile(host, noise, response, energy, bits, layout, margin, errors)
    return Solved(carrier * tiled(tile, plane.shape), margin)


@lru_cache(maxsize=1)
def _tilt() -> np.ndarray:
    """Coding noise of every bin, relative: it grows with frequency, as codecs' tables do."""
    cycles = np.abs(np.fft.fftfreq(TILE, 1 / TILE))
    squared: np.ndarray = (np.hypot(cycles[:, None], cycles[None, :]) / MIDDLE) ** TILT
    return squared.astype(np.float32)


def tiled(tile: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The tile repeated over a plane; float32."""
    rows, columns = -(-shape[0] // TILE), -(-shape[1] // TILE)
    return np.tile(tile.astype(np.float32), (rows, columns))[: shape[0], : shape[1]]


def _solve_tile(
    host: np.ndarray,
    noise: np.ndarray,
    response: np.ndarray,
    energy: np.ndarray,
    bits: np.ndarray,
    layout: Layout,
    margin: float,
    errors: tuple[float, float],
) -> tuple[np.ndarray, float]:
    wanted = np.where(bits, 1.0, -1.0)
    line_noise = noise[layout.lines[:, 1], layout.lines[:, 0]]
    part_noise = np.repeat(line_noise, 2)[layout.chips]
    pilot_noise = noise[layout.pilots[:, 1], layout.pilots[:, 0]]
    # A line of amplitude a answers with a * gain in its bin: the mean of the response, halved
    # because half of a real cosine lies at the opposite frequency.
    gain = float(response.sum()) / 2
    spread = 1 / part_noise
    chip_step = np.sqrt(PARTS) / (gain * (spread / part_noise).sum(axis=1))
    pilot_step = pilot_noise / gain
    chip_level = np.zeros(len(bits))
    pilot_level = np.zeros(len(layout.pilots))
    factor = 1.0
    tile = np.zeros((TILE, TILE), np.float32)
    for _ in range(ROUNDS):
        seen = (host + spectrum.transform(response * tile)) / noise
        chips = spectrum.chip_values(seen, layout) * wanted
        pilots = spectrum.pilot_values(seen, layout).real
        chip_level = np.maximum(0, chip_level + 0.9 * (margin - chips) * chip_step)
        pilot_level = np.maximum(0, pilot_level + 0.9 * (PILOT_MARGIN * margin - pilots) * pilot_step)
        tile = synthesise(chip_level * wanted, spread, pilot_level, layout)
        used = float((energy * tile * tile).sum())
        # At most a factor of two a round: the first rounds are far from the solution.
        low, high = (float(np.sqrt(error / max(used, 1e-12))) for error in errors)
        factor = float(np.clip(1.0, np.clip(low, 0.5, 2.0), np.clip(high, 0.5, 2.0)))
        margin *= factor
    chip_level *= factor
    pilot_level *= factor
    return synthesise(chip_level * wanted, spread, pilot_level, layout), margin


def synthesise(chips: np.ndarray, spread: np.ndarray, pilots: np.ndarray, layout: Layout) -> np.ndarray:
    """The tile with these signed amplitudes; float32, 128 x 128."""
    parts = np.zeros(2 * len(layout.lines))
    parts[layout.chips] = chips[:, None] * spread * layout.signs
    half = np.zeros((TILE, TILE), np.complex64)
    half[layout.lines[:, 1], layout.lines[:, 0]] = parts[0::2] + 1j * parts[1::2]
    half[layout.pilots[:, 1], layout.pilots[:, 0]] = pilots * layout.pilot_phase
    tile: np.ndarray = scipy.fft.ifft2(half).real * (TILE * TILE)
    return tile.astype(np.float32)
