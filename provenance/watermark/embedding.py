"""Solving for the mark: the least change of the picture after which the reader sees every code bit.

Informed embedding: the embedder computes what the reader would see in the unmarked picture, and
adds to each code bit and pilot only what that lacks to reach a common margin. The margin is raised
until the permitted mean squared error is used up. The same is asked, with a lower margin, of views
of the picture after handling that it does not survive otherwise (``views``). All of this happens on
one folded tile, where the reader is a linear map: ``fold(gain * mask * tile)`` is
``tile * fold(gain * mask)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft

from countermark.provenance.watermark import spectrum
from countermark.provenance.watermark.layout import PARTS, TILE, Layout
from countermark.provenance.watermark.views import Plane, View

ROUNDS = 5
#: Margin of the pilots over that of the code bits.
PILOT_MARGIN = 1.35
#: Response of a view, relative to the untouched picture's, from which it is asked for.
LEAST_RESPONSE = 0.05


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
    parts: Plane,
    views: Sequence[View],
    bits: np.ndarray,
    layout: Layout,
    margin: float,
    errors: tuple[float, float],
    pilot_margin: float = PILOT_MARGIN,
) -> Solved:
    """Finds the mark of ``bits`` for a picture.

    Args:
        parts: The picture's planes (``views.analyse``).
        views: The untouched picture's view, then those that the mark has to be read in as well.
        bits: bool, 248.
        layout: The key's carriers.
        margin: What every code bit should reach.
        errors: Lowest and highest mean squared error (of luma) that is used for it. The margin rises
            until the lowest is used, and gives way when the highest is reached.
        pilot_margin: Margin of the pilots over that of the code bits.
    """
    energy = spectrum.fold(parts.carrier * parts.landing) / parts.even.size
    tile, margin = _solve_tile(views, energy, bits, layout, margin, errors, pilot_margin)
    return Solved(modulated(parts.carrier, tile), margin)


def modulated(carrier: np.ndarray, tile: np.ndarray) -> np.ndarray:
    """The carrier's amplitude times the tile repeated over it; float32, H x W."""
    height, width = carrier.shape
    band = np.tile(tile.astype(np.float32), -(-width // TILE))[:, :width]
    plane = np.empty_like(carrier)
    for top in range(0, height, TILE):
        rows = slice(top, min(top + TILE, height))
        np.multiply(carrier[rows], band[: rows.stop - top], out=plane[rows])
    return plane


def _solve_tile(
    views: Sequence[View],
    energy: np.ndarray,
    bits: np.ndarray,
    layout: Layout,
    margin: float,
    errors: tuple[float, float],
    pilot_margin: float,
) -> tuple[np.ndarray, float]:
    wanted = np.where(bits, 1.0, -1.0)
    spread = 1 / _part_noise(views[0], layout)
    # A view in which next to nothing of the mark is left cannot be had, and is not asked for.
    views = [view for view in views if view.response.sum() > LEAST_RESPONSE * views[0].response.sum()]
    steps = [_steps(view, spread, layout) for view in views]
    chip_level = np.zeros(len(bits))
    pilot_level = np.zeros(len(layout.pilots))
    factor = 1.0
    tile = np.zeros((TILE, TILE), np.float32)
    for _ in range(ROUNDS):
        chip_lack, pilot_lack = np.full(len(bits), -np.inf), np.full(len(layout.pilots), -np.inf)
        for view, (chip_step, pilot_step) in zip(views, steps, strict=True):
            seen = view.seen(tile)
            aim = view.need * margin
            chips = spectrum.chip_values(seen, layout) * wanted
            pilots = spectrum.pilot_values(seen, layout).real
            np.maximum(chip_lack, (aim - chips) * chip_step, out=chip_lack)
            np.maximum(pilot_lack, (pilot_margin * aim - pilots) * pilot_step, out=pilot_lack)
        chip_level = np.maximum(0, chip_level + 0.9 * chip_lack)
        pilot_level = np.maximum(0, pilot_level + 0.9 * pilot_lack)
        tile = synthesise(chip_level * wanted, spread, pilot_level, layout)
        used = float((energy * tile * tile).sum())
        # At most a factor of two a round: the first rounds are far from the solution.
        low, high = (float(np.sqrt(error / max(used, 1e-12))) for error in errors)
        factor = float(np.clip(1.0, np.clip(low, 0.5, 2.0), np.clip(high, 0.5, 2.0)))
        margin *= factor
    factor = min(factor, high)
    chip_level *= factor
    pilot_level *= factor
    return synthesise(chip_level * wanted, spread, pilot_level, layout), margin


def _part_noise(view: View, layout: Layout) -> np.ndarray:
    """Noise of every part of every code bit; 248 x 8."""
    result: np.ndarray = np.repeat(view.noise[layout.lines[:, 1], layout.lines[:, 0]], 2)[layout.chips]
    return result


def _steps(view: View, spread: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes that raise a code bit, and a pilot, by one standard deviation in a view."""
    # A line of amplitude a answers with a * gain in its bin: the mean of the response, halved
    # because half of a real cosine lies at the opposite frequency.
    gain = float(view.response.sum()) / 2
    transfer = np.ones_like(view.noise) if view.transfer is None else view.transfer
    lines = np.repeat(transfer[layout.lines[:, 1], layout.lines[:, 0]], 2)[layout.chips]
    answer = gain * (lines * spread / _part_noise(view, layout)).sum(axis=1)
    rows, columns = layout.pilots[:, 1], layout.pilots[:, 0]
    return np.sqrt(PARTS) / answer, view.noise[rows, columns] / (gain * transfer[rows, columns])


def synthesise(chips: np.ndarray, spread: np.ndarray, pilots: np.ndarray, layout: Layout) -> np.ndarray:
    """The tile with these signed amplitudes; float32, 128 x 128."""
    parts = np.zeros(2 * len(layout.lines))
    parts[layout.chips] = chips[:, None] * spread * layout.signs
    half = np.zeros((TILE // 2 + 1, TILE), np.complex64)
    half[layout.lines[:, 1], layout.lines[:, 0]] = parts[0::2] + 1j * parts[1::2]
    half[layout.pilots[:, 1], layout.pilots[:, 0]] = pilots * layout.pilot_phase
    # The real transform counts every row but the first twice.
    half[1:] *= 0.5
    tile: np.ndarray = scipy.fft.irfft2(half, s=(TILE, TILE), axes=(1, 0), norm="forward")
    return tile
