"""Finding how a marked picture was scaled, turned, flipped and stretched.

The pilots are 48 lines in the spectrum whose magnitudes do not depend on key or payload. On
log-polar axes a change of scale or angle only shifts their pattern, so the sum of 48 shifted copies
of one map scores every scale and angle at once. The best few are then refined with the pilots'
phases, which the key knows and an unmarked picture does not follow.

Since the tile's size is tied to the picture's (``perception.working_scale``), the number of
tiles across the picture lies between about 1 and 6 whatever was done to its resolution: that range
is searched, at one size of picture, for all scales from 0.25 to 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import scipy.fft

from countermark.provenance.watermark import perception
from countermark.provenance.watermark.layout import Layout

#: Side of the square whose area the picture is brought to for the search, and of its transform.
SIDE = 512
FFT = 1024
#: Tile sizes (pixels of the search plane) that are looked for.
SMALLEST_TILE = 80.0
LARGEST_TILE = 460.0
STEP = 0.006
ANGLES = 600
#: Assumed size of a working pixel in the search plane, for its local contrast.
UNIT = 1.4
COARSE = 48
REFINED = 10
#: Peak of the pilots' sum (standard deviations) below which a candidate is not worth decoding.
LEAST_PEAK = 4.6
_GRID = 48


@dataclass(frozen=True)
class Candidate:
    """A hypothesis: ``lattice`` (2 x 2) maps cycles a tile to cycles a pixel of the search plane."""

    lattice: np.ndarray
    peak: float


@dataclass(frozen=True)
class SearchPlane:
    """The picture, prepared for the search.

    Attributes:
        values: complex64, 1024 x 1024: whitened spectrum about the plane's centre, zero in the middle.
        power: float32, 1024 x 1024: its squared magnitude, outliers limited.
        ratio: Search pixels a native pixel, (x, y).
    """

    values: np.ndarray
    power: np.ndarray
    ratio: tuple[float, float]


def prepare(image: np.ndarray) -> SearchPlane:
    """Brings a picture (uint8 RGB) to the search plane and transforms it."""
    height, width = image.shape[:2]
    factor = SIDE / np.sqrt(height * width)
    size = (min(FFT, max(16, round(width * factor))), min(FFT, max(16, round(height * factor))))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    plane = perception.luma(cv2.resize(image, size, interpolation=method))
    even = perception.normalise(plane, UNIT)
    even *= _taper(size[1])[:, None] * _taper(size[0])[None, :]
    padded = np.zeros((FFT, FFT), np.float32)
    padded[: size[1], : size[0]] = even
    # Rolled so that the plane's centre is the origin: phases then change slowly between bins.
    padded = np.roll(padded, (-(size[1] // 2), -(size[0] // 2)), axis=(0, 1))
    spectrum = np.fft.fftshift(scipy.fft.fft2(padded))
    power = np.abs(spectrum) ** 2
    level = cv2.blur(power, (41, 41), borderType=cv2.BORDER_REFLECT_101)
    level = cv2.blur(np.minimum(power, 4 * level), (41, 41), borderType=cv2.BORDER_REFLECT_101) + 1e-12
    values = (spectrum / np.sqrt(level)).astype(np.complex64)
    return SearchPlane(
        values, np.minimum(power / level, 6).astype(np.float32), (size[0] / width, size[1] / height)
    )


def candidates(plane: SearchPlane, layout: Layout, aspect: float = 1.0) -> list[Candidate]:
    """The likeliest lattices at one aspect (horizontal over vertical), best first."""
    lattices = np.stack(list(_coarse(plane.power, aspect)))
    peaks = _peaks(plane.values, lattices, layout)
    order = np.argsort(-peaks)[:REFINED]
    refined = _refine(plane.values, lattices[order], peaks[order], layout)
    refined.sort(key=lambda c: -c.peak)
    return [c for c in refined if c.peak >= LEAST_PEAK]


def _coarse(power: np.ndarray, aspect: float) -> Iterator[np.ndarray]:
    """Lattices with the highest sums of pilot power, best first; both ways round (180 degrees)."""
    polar = cv2.remap(power, *_polar_map(aspect), interpolation=cv2.INTER_LINEAR)
    polar = np.concatenate([polar, polar], axis=1)
    rows = int(np.log(LARGEST_TILE / SMALLEST_TILE) / STEP) + 1
    scores = []
    for radius_rows, angle_columns in _pilot_cells():
        total = np.zeros((rows, ANGLES), np.float32)
        for row, column in zip(radius_rows, angle_columns, strict=True):
            total += polar[row : row + rows, column : column + ANGLES]
        centre = np.median(total, axis=1, keepdims=True)
        scores.append((total - centre) / (total.std(axis=1, keepdims=True) + 1e-6))
    stack = np.stack(scores)
    best = np.argpartition(stack.ravel(), -8 * COARSE)[-8 * COARSE :]
    best = best[np.argsort(-stack.ravel()[best])]
    taken: list[tuple[int, int, int]] = []
    for index in best:
        flip, row, column = (int(i) for i in np.unravel_index(index, stack.shape))
        if any(f == flip and abs(r - row) <= 2 and _turn(c - column) <= 2 for f, r, c in taken):
            continue
        taken.append((flip, row, column))
        size = LARGEST_TILE * np.exp(-row * STEP)
        angle = column * np.pi / ANGLES
        for half in (0.0, np.pi):
            turn = _rotation(angle + half)
            mirror = np.diag([-1.0 if flip else 1.0, 1.0])
            yield np.diag([1 / np.sqrt(aspect), np.sqrt(aspect)]) @ turn @ mirror / size
        if len(taken) >= COARSE:
            return


def _refine(values: np.ndarray, lattices: np.ndarray, peaks: np.ndarray, layout: Layout) -> list[Candidate]:
    """Climbs over scale, angle, aspect and shear, all candidates abreast, until peaks are highest."""
    lattices, peaks = lattices.copy(), peaks.copy()
    steps = np.full(len(lattices), STEP * 0.75)
    which = np.arange(len(lattices))
    moves = np.concatenate([_MOVES, -_MOVES])
    for _ in range(12):
        active = which[steps >= STEP / 12]
        if not len(active):
            break
        turns = np.eye(2) + steps[active, None, None, None] * moves
        trials = turns @ lattices[active, None]
        heights = _peaks(values, trials.reshape(-1, 2, 2), layout).reshape(len(active), -1)
        best = heights.argmax(axis=1)
        rows = np.arange(len(active))
        better = heights[rows, best] > peaks[active]
        steps[active[~better]] /= 2
        winners = active[better]
        lattices[winners] = trials[rows, best][better]
        peaks[winners] = heights[rows, best][better]
    return [Candidate(lattice, float(peak)) for lattice, peak in zip(lattices, peaks, strict=True)]


_MOVES = np.array(
    [
        [[1.0, 0.0], [0.0, 1.0]],
        [[0.0, -1.0], [1.0, 0.0]],
        [[1.0, 0.0], [0.0, -1.0]],
        [[0.0, 1.0], [1.0, 0.0]],
    ]
)


def _peaks(values: np.ndarray, lattices: np.ndarray, layout: Layout) -> np.ndarray:
    """Highest sum of the pilots over all positions of the tile, for n lattices; float64, n."""
    places = np.einsum("nij,pj->npi", lattices, layout.pilots.astype(np.float64)) * FFT + FFT // 2
    maps = np.clip(places, 0, FFT - 2).astype(np.float32)
    read = cv2.remap(
        values.view(np.float32).reshape(FFT, FFT, 2), maps[..., 0], maps[..., 1], cv2.INTER_LINEAR
    )
    turned = (read[..., 0] + 1j * read[..., 1]) * layout.pilot_phase.conj()
    turned *= np.minimum(1, 2.5 / np.maximum(np.abs(turned), 1e-9))
    # Only the real part of the sum is wanted, and no pilot has v < 1: a real transform does.
    sparse = np.zeros((len(lattices), _GRID, _GRID // 2 + 1), np.complex64)
    sparse[:, layout.pilots[:, 0], layout.pilots[:, 1]] = turned
    surface = scipy.fft.irfft2(sparse, s=(_GRID, _GRID), axes=(1, 2))
    # A part of a complex Gaussian of unit power has variance 1/2.
    height: np.ndarray = surface.max(axis=(1, 2)) * (_GRID * _GRID / 2) * np.sqrt(2 / len(layout.pilots))
    return height


@lru_cache(maxsize=16)
def _polar_map(aspect: float) -> tuple[np.ndarray, np.ndarray]:
    lowest, rows = _polar_range()
    frequency = lowest * np.exp(np.arange(rows) * STEP)[:, None] * FFT
    angle = np.arange(ANGLES)[None, :] * np.pi / ANGLES
    x = frequency * np.cos(angle) / np.sqrt(aspect) + FFT // 2
    y = frequency * np.sin(angle) * np.sqrt(aspect) + FFT // 2
    return x.astype(np.float32), y.astype(np.float32)


def _polar_range() -> tuple[float, int]:
    radius = _pilot_polar()[0]
    lowest = float(radius.min()) / LARGEST_TILE
    highest = float(radius.max()) / SMALLEST_TILE
    return lowest, int(np.log(highest / lowest) / STEP) + 3


@lru_cache(maxsize=1)
def _pilot_polar() -> tuple[np.ndarray, np.ndarray]:
    from countermark.provenance.watermark.layout import layout_for

    pilots = layout_for(None).pilots
    return np.hypot(pilots[:, 0], pilots[:, 1]), np.arctan2(pilots[:, 1], pilots[:, 0])


@lru_cache(maxsize=1)
def _pilot_cells() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Row and column of every pilot at the largest tile and angle 0: upright, and mirrored."""
    radius, angle = _pilot_polar()
    rows = np.round(np.log(radius / radius.min()) / STEP).astype(int)
    upright = np.round(angle % np.pi * ANGLES / np.pi).astype(int) % ANGLES
    mirrored = np.round((np.pi - angle) % np.pi * ANGLES / np.pi).astype(int) % ANGLES
    return (rows, upright), (rows, mirrored)


def _rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _turn(cells: int) -> int:
    return min(cells % ANGLES, -cells % ANGLES)


@lru_cache(maxsize=64)
def _taper(count: int) -> np.ndarray:
    """A Tukey window that falls over an eighth of the length at either end; float32."""
    edge = max(1, count // 8)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)
    window = np.ones(count, np.float32)
    window[:edge] = ramp
    window[count - edge :] = ramp[::-1]
    return window
