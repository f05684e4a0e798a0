"""Finding how a marked picture was scaled, turned, flipped and stretched.

The mark's tile is 128 pixels of the working frame, so how wide the picture was when it was marked is
all that scale means. The search assumes a width, brings the picture to it, and prepares it exactly as
the reader does (``perception.normalise``): only then do the pilots stand where the embedder put them.
Four widths, a factor of 1.41 apart, cover everything from a picture with a wide border to a crop that
keeps an eighth of the area, at any resolution. One of them is that of a picture that was only turned.

The pilots' magnitudes depend on neither key nor payload. On log-polar axes a change of scale or angle
only shifts their pattern, so the sum of 48 shifted copies of one map scores every scale and angle at
once. The best few are then refined with the pilots' phases, which the key knows and an unmarked
picture does not follow.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from countermark.provenance.watermark import perception
from countermark.provenance.watermark.layout import TILE, Layout, layout_for

#: Sides of the squares whose area the picture is brought to lie between these.
LEAST_WIDTH = 215.0
MOST_WIDTH = 760.0
#: Tile sizes (pixels of the search plane) looked for at each width: 128 times or over 1.19.
SMALLEST_TILE = 107.0
LARGEST_TILE = 153.0
#: Relative step of the scale, and steps of the angle in half a turn.
STEP = 0.006
ANGLES = 640
#: Band of the spectrum that is kept, in cycles a pixel.
BAND = 0.25
#: Side of the neighbourhood that whitens the spectrum, in cycles a tile.
NEIGHBOURHOOD = 4.0
#: Length of the transform over the plane's width, and the relative power at which bins are cut.
OVERSAMPLING = 2.0
LOUDEST = 3.0
#: Added to the score of an upright picture's candidates, which crops and resizing leave.
UPRIGHT = 1.2
COARSE = 80
#: Score (standard deviations) below which the best are not looked for, as long as there are enough.
HIGH = 1.75
#: Lattices whose positions are scored at a time: what is worked on stays in the processor's cache.
ABREAST = 128
#: Turns (degrees) and changes of scale that handling often makes: tried without a coarse search.
OFTEN_TURNED = 12.0
OFTEN_SCALED = 0.015
REFINED = 6
#: Peak below which a candidate is given up after 0, 1, 2 … steps, and after more. Of 851 that were worth a
#: try in the end (``reading.WEAK_PEAK``) none had been less than 0.2 above these.
HOPELESS = (0.0, 0.0, 0.0, 0.0, 5.0, 5.35, 5.7, 5.8, 5.9)
STRETCHED = 48
#: Longest side of the picture over the shortest; what is beyond is left out of the search.
LONGEST = 4.0
#: Planes after which SciPy is worth its import.
TRANSFORMS_OF_NUMPY = 32
_GRID = 48


@dataclass(frozen=True)
class Candidate:
    """A hypothesis.

    Attributes:
        matrix: 2 x 2, maps pixels of the picture to pixels of the working frame.
        peak: Height of the pilots' sum, in standard deviations.
    """

    matrix: np.ndarray
    peak: float


@dataclass(frozen=True)
class SearchPlane:
    """The picture at an assumed width.

    Attributes:
        values: complex64, (2 k + 1) x (2 k + 1): whitened spectrum about the plane's centre, zero
            frequency in the middle.
        power: float32, the same shape: its squared magnitude, outliers limited.
        size: Length of the transform: cycles a pixel times this are bins.
        ratio: Search pixels a pixel of the picture, (x, y).
    """

    values: np.ndarray
    power: np.ndarray
    size: int
    ratio: tuple[float, float]


def widths(plane: np.ndarray) -> list[float]:
    """Sides of the squares whose area a picture (its luma) is brought to, likeliest first."""
    own = min(float(perception.WORKING_SIDE), float(np.sqrt(plane.size)))
    ladder = own * 2.0 ** (np.arange(-6, 7) / 2)
    kept = ladder[(ladder >= LEAST_WIDTH) & (ladder < MOST_WIDTH)]
    return sorted(kept.tolist(), key=lambda width: abs(float(np.log(width / own))))


def prepare(plane: np.ndarray, width: float) -> SearchPlane:
    """Brings a picture's luma (float32) to the area ``width`` squared and transforms it."""
    rows, columns = plane.shape
    if max(rows, columns) > LONGEST * min(rows, columns):
        keep = int(LONGEST * min(rows, columns))
        top, left = max(0, rows - keep) // 2, max(0, columns - keep) // 2
        plane = plane[top : top + keep, left : left + keep]
        rows, columns = plane.shape
    factor = width / np.sqrt(rows * columns)
    shape = (max(16, round(columns * factor)), max(16, round(rows * factor)))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    even = perception.normalise(cv2.resize(plane, shape, interpolation=method))
    size = fast_length(int(max(OVERSAMPLING * width, *shape)))
    reach = int(BAND * size)
    order = np.arange(-reach, reach + 1)
    # Rows first, without those that only fill up; then only the columns of the band.
    rfft, fft = _transforms()
    half = fft(rfft(even, size, axis=1)[:, : reach + 1], size, axis=0)
    # Phases about the plane's centre change slowly from bin to bin, and can be interpolated.
    turn_y = np.exp(2j * np.pi / size * (shape[1] // 2) * order).astype(np.complex64)
    turn_x = np.exp(2j * np.pi / size * (shape[0] // 2) * order[reach:]).astype(np.complex64)
    right = np.concatenate([half[-reach:], half[: reach + 1]])
    right *= turn_y[:, None]
    right *= turn_x
    # Only the right half is worked on: the other one is its mirror image about the zero frequency.
    power = _squared(right)
    side = int(NEIGHBOURHOOD * size / TILE) | 1
    level = _evened(power, side)
    level = _evened(np.minimum(power, np.float32(4) * level), side)
    level += np.float32(1e-12)
    right *= cv2.divide(1.0, cv2.sqrt(level))
    power = np.minimum(cv2.divide(power, level), np.float32(LOUDEST))
    values = np.concatenate([np.conj(right[::-1, :0:-1]), right], axis=1)
    return SearchPlane(values, _whole(power), size, (shape[0] / columns, shape[1] / rows))


_prepared = itertools.count()


def _transforms() -> tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]:
    """``rfft`` and ``fft``: NumPy's, then SciPy's.

    SciPy's are twice as fast, but importing them takes as long as ten pictures save. They differ by
    rounding only.
    """
    if next(_prepared) < TRANSFORMS_OF_NUMPY:
        return np.fft.rfft, np.fft.fft
    import scipy.fft

    return scipy.fft.rfft, scipy.fft.fft


def _squared(values: np.ndarray) -> np.ndarray:
    """Squared magnitude, float32."""
    parts = values.view(np.float32)
    squared = cv2.multiply(parts, parts)
    summed: np.ndarray = squared[:, ::2] + squared[:, 1::2]
    return summed


def _whole(right: np.ndarray) -> np.ndarray:
    """Right half of something symmetrical about its middle, with the left half."""
    return np.concatenate([right[::-1, :0:-1], right], axis=1)


def _evened(right: np.ndarray, side: int) -> np.ndarray:
    """Mean over ``side`` x ``side`` bins of the right half of something symmetrical."""
    reach = min(side // 2 + 1, right.shape[1] - 1)
    wide = np.concatenate([right[::-1, reach:0:-1], right], axis=1)
    blurred: np.ndarray = cv2.blur(wide, (side, side), borderType=cv2.BORDER_REFLECT_101)[:, reach:]
    return blurred


def candidates(plane: SearchPlane, layout: Layout) -> list[Candidate]:
    """The likeliest geometries without a change of aspect, best first."""
    return _best(plane, np.concatenate([_likely_lattices(), _coarse(plane)]), layout)


def stretched(plane: SearchPlane, aspects: tuple[float, ...], layout: Layout) -> list[Candidate]:
    """The likeliest geometries with one of these aspects, upright or turned by quarters."""
    lattices, (columns, rows) = _stretched_lattices(aspects)
    # As in ``_places``; half a million of them, so the border stands in for the bounds.
    centre = float(plane.power.shape[0] // 2)
    columns, rows = (cv2.addWeighted(each, plane.size, each, 0, centre) for each in (columns, rows))
    power = cv2.remap(plane.power, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    scores = power @ np.ones(power.shape[1], np.float32)
    best = np.argpartition(-scores, STRETCHED)[:STRETCHED]
    return _best(plane, lattices[best[np.argsort(-scores[best])]], layout)


def _best(plane: SearchPlane, lattices: np.ndarray, layout: Layout) -> list[Candidate]:
    peaks = _peaks(plane, lattices, layout)
    order = np.argsort(-peaks)[:REFINED]
    refined, peaks = _refine(plane, lattices[order], peaks[order], layout)
    ratio = np.diag(plane.ratio)
    found = [
        Candidate(TILE * lattice.T @ ratio, float(peak)) for lattice, peak in zip(refined, peaks, strict=True)
    ]
    return sorted(found, key=lambda candidate: -candidate.peak)


def _coarse(plane: SearchPlane) -> np.ndarray:
    """Lattices (cycles a tile to cycles a pixel, n x 2 x 2) with the highest sums of pilot power."""
    centre = plane.power.shape[0] // 2
    x, y = _polar_map(plane.size, centre)
    polar = cv2.remap(plane.power, x, y, interpolation=cv2.INTER_LINEAR)
    polar = np.concatenate([polar, polar], axis=1)
    rows = _rows()
    scores = np.empty((2, rows, ANGLES), np.float32)
    for total, (radius_rows, angle_columns) in zip(scores, _pilot_cells(), strict=True):
        total[:] = 0
        for row, column in zip(radius_rows.tolist(), angle_columns.tolist(), strict=True):
            cv2.add(total, polar[row : row + rows, column : column + ANGLES], dst=total)
        total -= np.median(total)
        total /= total.std() + 1e-6
        total[:, _upright_columns()] += UPRIGHT
    flat = scores.ravel()
    high = np.flatnonzero(flat > HIGH)  # a few in a hundred: what is sorted is short
    best = high if len(high) >= 8 * COARSE else np.arange(flat.size)
    best = best[np.argpartition(flat[best], -8 * COARSE)[-8 * COARSE :]]
    best = best[np.argsort(-flat[best])]
    taken: list[tuple[int, int, int]] = []
    beside = np.zeros((2, rows + 2, ANGLES), bool)  # a row more at either end
    for flip, row, column in np.stack(np.unravel_index(best, scores.shape), axis=1).tolist():
        if beside[flip, row + 1, column]:
            continue
        taken.append((flip, row, column))
        for near in (column - 1, column, (column + 1) % ANGLES):
            beside[flip, row : row + 3, near] = True
        if len(taken) >= COARSE:
            break
    flips, heights, columns = np.array(taken).T
    angles, tiles = columns * np.pi / ANGLES, LARGEST_TILE * np.exp(-heights * STEP)
    # Power has a period of half a turn; phases have not.
    turns = np.stack([_rotations(angles), _rotations(angles + np.pi)], axis=1)
    turns[..., 0] *= np.where(flips, -1.0, 1.0)[:, None, None]
    lattices: np.ndarray = (turns / tiles[:, None, None, None]).reshape(-1, 2, 2)
    return lattices


def _refine(
    plane: SearchPlane, lattices: np.ndarray, peaks: np.ndarray, layout: Layout
) -> tuple[np.ndarray, np.ndarray]:
    """Climbs over scale, angle, aspect and shear, all candidates abreast, until peaks are highest."""
    lattices, peaks = lattices.copy(), peaks.copy()
    steps = np.full(len(lattices), STEP * 0.75)
    which = np.arange(len(lattices))
    moves = np.concatenate([_MOVES, -_MOVES])
    for climbed in range(16):
        active = which[(steps >= STEP / 16) & (peaks >= HOPELESS[min(climbed, len(HOPELESS) - 1)])]
        if not len(active):
            break
        turns = np.eye(2) + steps[active, None, None, None] * moves
        trials = turns @ lattices[active, None]
        heights = _peaks(plane, trials.reshape(-1, 2, 2), layout).reshape(len(active), -1)
        best = heights.argmax(axis=1)
        rows = np.arange(len(active))
        better = heights[rows, best] > peaks[active]
        steps[active[~better]] /= 2
        winners = active[better]
        lattices[winners] = trials[rows, best][better]
        peaks[winners] = heights[rows, best][better]
    return lattices, peaks


_MOVES = np.array(
    [
        [[1.0, 0.0], [0.0, 1.0]],
        [[0.0, -1.0], [1.0, 0.0]],
        [[1.0, 0.0], [0.0, -1.0]],
        [[0.0, 1.0], [1.0, 0.0]],
    ]
)


def _frequencies(lattices: np.ndarray) -> np.ndarray:
    """Where n lattices put the pilots: cycles a pixel, float32, 2 x n x 48 (x first)."""
    result: np.ndarray = lattices.transpose(1, 0, 2).astype(np.float32) @ _pilots()
    return result


def _places(plane: SearchPlane, frequencies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of the plane's spectrum for ``_frequencies``."""
    centre = plane.power.shape[0] // 2
    places = frequencies * np.float32(plane.size)
    places += np.float32(centre)
    np.minimum(places, np.float32(2 * centre), out=places)
    np.maximum(places, np.float32(0), out=places)
    return places[0], places[1]


def _peaks(plane: SearchPlane, lattices: np.ndarray, layout: Layout) -> np.ndarray:
    """Highest sum of the pilots over all positions of the tile, for n lattices; n."""
    if len(lattices) > ABREAST:
        parts = (lattices[first : first + ABREAST] for first in range(0, len(lattices), ABREAST))
        return np.concatenate([_peaks(plane, part, layout) for part in parts])
    columns, rows = _places(plane, _frequencies(lattices))
    pairs = plane.values.view(np.float32).reshape(*plane.values.shape, 2)
    read = cv2.remap(pairs, columns, rows, cv2.INTER_CUBIC)
    turned = read.view(np.complex64)[..., 0] * layout.pilot_phase.conj()
    turned *= np.minimum(1, 2.5 / np.maximum(np.abs(turned), 1e-9))
    # The real part of the sum, at a place and at its opposite: the cosine part, plus or minus the sine's.
    cosines, sines = _waves()
    surface = np.ascontiguousarray(turned.imag) @ sines
    np.abs(surface, out=surface)
    surface += np.ascontiguousarray(turned.real) @ cosines
    # A part of a complex Gaussian of unit power has variance 1/2.
    height: np.ndarray = surface.max(axis=1) * np.sqrt(2 / len(layout.pilots))
    return height


@lru_cache(maxsize=1)
def _waves() -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of every pilot at half of the 48 x 48 positions of the tile, float32, 48 x 1154.

    The other half are the opposites of these. Few pilots make products of matrices with this table
    several times faster than Fourier transforms.
    """
    places = np.stack(np.meshgrid(np.arange(_GRID), np.arange(_GRID), indexing="ij"), axis=-1).reshape(-1, 2)
    opposite = -places % _GRID
    number, other = (p[:, 0] * _GRID + p[:, 1] for p in (places, opposite))
    angle = 2 * np.pi / _GRID * (layout_for(None).pilots @ places[number <= other].T)
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def fast_length(least: int) -> int:
    """The smallest number from ``least`` on with no prime factor above 5: transforms of it are fast."""
    length = max(1, least)
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1


@lru_cache(maxsize=1)
def _pilots() -> np.ndarray:
    """The pilots' places in cycles a tile, the same for all keys; float32, 2 x 48."""
    return layout_for(None).pilots.T.astype(np.float32)


def _rows() -> int:
    return int(np.log(LARGEST_TILE / SMALLEST_TILE) / STEP) + 1


@lru_cache(maxsize=32)
def _polar_map(size: int, centre: int) -> tuple[np.ndarray, np.ndarray]:
    radius = _pilot_polar()[0]
    lowest = float(radius.min()) / LARGEST_TILE
    rows = int(np.log(float(radius.max()) / SMALLEST_TILE / lowest) / STEP) + 3
    frequency = lowest * np.exp(np.arange(rows) * STEP)[:, None] * size
    angle = np.arange(ANGLES)[None, :] * np.pi / ANGLES
    x, y = (frequency * wave + centre for wave in (np.cos(angle), np.sin(angle)))
    return x.astype(np.float32), y.astype(np.float32)


@lru_cache(maxsize=1)
def _pilot_polar() -> tuple[np.ndarray, np.ndarray]:
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


@lru_cache(maxsize=1)
def _upright_columns() -> np.ndarray:
    near = np.array([-1, 0, 1])
    return np.concatenate([near % ANGLES, near + ANGLES // 2])


@lru_cache(maxsize=2)
def _stretched_lattices(aspects: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Lattices of these aspects about the upright, and their pilots' frequencies."""
    sizes = SMALLEST_TILE * np.exp(np.arange(0, np.log(LARGEST_TILE / SMALLEST_TILE), STEP))
    quarters = np.repeat(np.pi / 2 * np.arange(4), 3)
    turns = _rotations(quarters + np.tile([-0.006, 0.0, 0.006], 4))
    roots = np.sqrt(np.array(aspects))
    # Every aspect, turn, flip and size, in this order: 2 x 2 at the end.
    lattices = np.stack([1 / roots, roots], axis=1)[:, None, None, None, :, None] * turns[:, None, None]
    lattices = lattices * np.array([[1.0, 1.0], [-1.0, 1.0]])[:, None, None, :] / sizes[:, None, None]
    lattices = lattices.reshape(-1, 2, 2)
    return lattices, _frequencies(lattices)


@lru_cache(maxsize=1)
def _likely_lattices() -> np.ndarray:
    """Small turns at the assumed width itself, and upright ones of every scale, mirrored too."""
    limit = np.radians(OFTEN_TURNED)
    turned = [
        _rotation(angle) / (TILE * size)
        for angle in np.arange(-limit, limit, STEP)
        for size in (1 - OFTEN_SCALED, 1.0, 1 + OFTEN_SCALED)
    ]
    sizes = SMALLEST_TILE * np.exp(np.arange(0, np.log(LARGEST_TILE / SMALLEST_TILE), STEP))
    upright = [np.diag([flip, 1.0]) / size for size in sizes for flip in (1.0, -1.0)]
    return np.array(turned + upright)


def _rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _rotations(angles: np.ndarray) -> np.ndarray:
    """n x 2 x 2."""
    return np.moveaxis(np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]]), 2, 0)
