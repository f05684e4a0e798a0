"""Looking for a mark: the fast path, then the full search.

>>> import numpy as np
>>> blank = np.full((300, 400, 3), 128, np.uint8)
>>> read(blank, search=False).payload is None
True
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.linalg import polar

from countermark.provenance.watermark import coding, geometry, perception, spectrum
from countermark.provenance.watermark.confidence import confidence_map
from countermark.provenance.watermark.layout import TILE, Layout, layout_for
from countermark.provenance.watermark.records import Geometry, Reading
from countermark.provenance.watermark.significance import MAX_P, p_value

#: Smallest side of a picture in which a mark is looked for.
MIN_SIDE = 48
#: Horizontal over vertical scale, in the order in which they are tried.
ASPECTS = (1.0, 1.025, 0.975, 1.05, 0.95, 1.075, 0.925, 1.1, 0.9)
#: Candidates that are decoded at most: of the first aspect, of each other.
DECODED = (6, 3)
#: Longest side of a rectified picture.
MAX_SIDE = 2048


@dataclass(frozen=True)
class Attempt:
    """One decoding: what came out, and where the pilots put the tile's origin (tile pixels)."""

    decoded: coding.Decoded
    x: float
    y: float
    peak: float


def attempt(plane: np.ndarray, layout: Layout) -> Attempt:
    """Reads a working frame whose tile is 128 pixels and upright, at any offset."""
    folded = spectrum.fold(perception.normalise(plane))
    return attempt_spectrum(spectrum.transform(folded), layout)


def attempt_spectrum(raw: np.ndarray, layout: Layout) -> Attempt:
    """Reads the spectrum of a folded tile."""
    white = spectrum.whiten(raw)
    x, y, peak = spectrum.pilot_peak(white, layout)
    soft = spectrum.chip_values(spectrum.shift(white, x, y), layout)
    return Attempt(coding.decode(soft), x, y, peak)


def read(
    image: np.ndarray,
    *,
    key: bytes | str | None = None,
    search: bool = True,
    time_budget: float | None = 5.0,
    confidence: bool = False,
) -> Reading:
    """Looks for a mark under ``key``.

    Args:
        image: uint8, H x W x 3, RGB.
        key: The key it was embedded with; None: the public key.
        search: Search scale, rotation, flip and aspect when the fast path finds nothing.
        time_budget: Seconds after which no further candidate is tried; None: no limit.
        confidence: Also make the map of where the mark was found.

    Returns:
        See ``Reading``; a picture too small to hold a mark gives payload None and p-value 1.
    """
    perception.check_image(image)
    layout = layout_for(key)
    if min(image.shape[:2]) < MIN_SIDE:
        return Reading(None, 1.0, attempts=0)
    clock = Clock(time_budget)
    found = attempt(perception.working_frame(image), layout)
    tally = _Tally(image, layout if confidence else None)
    matrix = np.eye(2) / perception.working_scale(*image.shape[:2])
    result = tally.add(found, matrix)
    if result is not None:
        return result
    if search:
        for matrix in search_geometries(image, layout, clock):
            found = attempt_geometry(image, matrix, layout)
            result = tally.add(found, matrix)
            if result is not None:
                return result
    return tally.nothing(search, clock)


class Clock:
    """A time budget in seconds; None never runs out."""

    def __init__(self, budget: float | None) -> None:
        self._end = None if budget is None else time.monotonic() + budget
        self.stopped = False

    def out(self) -> bool:
        if self._end is not None and time.monotonic() > self._end:
            self.stopped = True
        return self.stopped


class _Tally:
    """Counts attempts, and keeps the best score of those without a payload."""

    def __init__(self, image: np.ndarray, layout: Layout | None) -> None:
        self.attempts = 0
        self.best = 0.0
        self._image = image
        self._layout = layout

    def add(self, found: Attempt, matrix: np.ndarray) -> Reading | None:
        self.attempts += 1
        decoded = found.decoded
        if decoded.payload is not None:
            p = p_value(decoded.score, attempts=self.attempts, valid=True)
            if p <= MAX_P:
                return Reading(
                    decoded.payload,
                    p,
                    geometry=describe(matrix, found, self._image.shape),
                    bit_errors=decoded.errors,
                    attempts=self.attempts,
                    searched="fast" if self.attempts == 1 else "full",
                    confidence=self._confidence(found, matrix),
                )
        self.best = max(self.best, decoded.score)
        return None

    def _confidence(self, found: Attempt, matrix: np.ndarray) -> np.ndarray | None:
        if self._layout is None:
            return None
        fast = self.attempts == 1
        plane = perception.working_frame(self._image) if fast else rectify(self._image, matrix)
        return confidence_map(plane, found.decoded.codeword, (found.x, found.y), self._layout)

    def nothing(self, search: bool, clock: Clock) -> Reading:
        p = p_value(self.best, attempts=self.attempts, valid=False)
        how = "stopped" if clock.stopped else "full" if search else "fast"
        return Reading(None, p, attempts=self.attempts, searched=how)


def search_geometries(image: np.ndarray, layout: Layout, clock: Clock) -> Iterator[np.ndarray]:
    """Matrices worth decoding, 2 x 2: native pixels to working pixels. Likeliest aspect first."""
    plane = geometry.prepare(image)
    for aspect in ASPECTS:
        if clock.out():
            return
        count = DECODED[0] if aspect == 1 else DECODED[1]
        for candidate in geometry.candidates(plane, layout, aspect)[:count]:
            if clock.out():
                return
            yield TILE * candidate.lattice.T @ np.diag(plane.ratio)


def attempt_geometry(image: np.ndarray, matrix: np.ndarray, layout: Layout) -> Attempt:
    """Rectifies the picture with ``matrix`` and reads it."""
    return attempt(rectify(image, matrix), layout)


def rectify(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The picture's luma in the working frame that ``matrix`` leads to; float32."""
    height, width = image.shape[:2]
    scale = float(np.sqrt(abs(np.linalg.det(matrix))))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.diag([width / size[0], height / size[1]])
        width, height = size
    plane = perception.luma(image)
    corners = matrix @ np.array([[0, width, 0, width], [0, 0, height, height]], float)
    low, high = corners.min(axis=1), corners.max(axis=1)
    size = (int(min(MAX_SIDE, np.ceil(high[0] - low[0]))), int(min(MAX_SIDE, np.ceil(high[1] - low[1]))))
    move = -low + matrix @ np.array([0.5, 0.5]) - 0.5
    affine = np.concatenate([matrix, move[:, None]], axis=1)
    return cv2.warpAffine(
        plane,
        affine,
        size,
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=float(plane.mean()),
    )


def describe(matrix: np.ndarray, found: Attempt, shape: tuple[int, ...]) -> Geometry:
    """The geometry that a matrix stands for."""
    forward = np.linalg.inv(matrix) / perception.working_scale(shape[0], shape[1])
    flipped = bool(np.linalg.det(forward) < 0)
    if flipped:
        forward = forward @ np.diag([-1.0, 1.0])
    turn, stretch = polar(forward, side="left")
    angle = float(np.degrees(np.arctan2(turn[1, 0], turn[0, 0])))
    return Geometry(
        scale=float(np.sqrt(np.linalg.det(forward))),
        rotation=-angle % 360,
        flipped=flipped,
        aspect=float(stretch[0, 0] / stretch[1, 1]),
        offset=(found.x / TILE % 1, found.y / TILE % 1),
        matrix=(float(matrix[0, 0]), float(matrix[0, 1]), float(matrix[1, 0]), float(matrix[1, 1])),
    )
