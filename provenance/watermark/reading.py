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

from countermark.core.memory import keep_memory
from countermark.provenance.watermark import coding, geometry, perception, spectrum
from countermark.provenance.watermark.layout import TILE, Layout, layout_for
from countermark.provenance.watermark.records import Geometry, Reading
from countermark.provenance.watermark.significance import MAX_P, p_value

#: Smallest side of a picture in which a mark is looked for.
MIN_SIDE = 48
#: Horizontal over vertical scale, besides 1.
ASPECTS = (1.025, 0.975, 1.05, 0.95, 1.075, 0.925, 1.1, 0.9)
#: Doubtful candidates that are tried at most; half of it among the stretched.
DECODED = 4
#: Peak (standard deviations) of pilots in the search from which a candidate is worth a try, and from
#: which it is tried at once.
WEAK_PEAK = 6.2
SURE_PEAK = 8.5
#: Peak of the pilots in the rectified picture from which it is decoded.
LEAST_PEAK = 5.0
#: Side of the square whose area the search needs of a picture.
BASE_SIDE = 1280
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
        time_budget: Processor seconds after which no further candidate is tried; None: no limit.
        confidence: Also make the map of where the mark was found.

    Returns:
        See ``Reading``; a picture too small to hold a mark gives payload None and p-value 1.
    """
    perception.check_image(image)
    keep_memory()
    layout = layout_for(key)
    if min(image.shape[:2]) < MIN_SIDE:
        return Reading(None, 1.0, attempts=0)
    clock = Clock(time_budget)
    frame = perception.working_frame(image)
    tally = _Tally(image, layout if confidence else None)
    unit = np.eye(2) / perception.working_scale(*image.shape[:2])
    for turn, found in fast_attempts(frame, layout):
        result = tally.add(found, turn @ unit)
        if result is not None:
            return result
    if search:
        base, ratio = search_base(image)
        for matrix in search_geometries(base, layout, clock):
            found = attempt(rectify(base, matrix), layout)
            if found.peak >= LEAST_PEAK:
                result = tally.add(found, matrix @ ratio)
                if result is not None:
                    return result
    return tally.nothing(search, clock)


def fast_attempts(frame: np.ndarray, layout: Layout) -> Iterator[tuple[np.ndarray, Attempt]]:
    """Reads a working frame as it is, then turned by quarters and mirrored where pilots stand out.

    Yields:
        2 x 2 matrix that turns the frame, and the attempt.
    """
    raw = spectrum.transform(spectrum.fold(perception.normalise(frame)))
    yield np.eye(2), attempt_spectrum(raw, layout)
    white = spectrum.whiten(raw)
    peaks = [(spectrum.pilot_peak(oriented(white, turn), layout)[2], i) for i, turn in enumerate(TURNS)]
    peak, index = max(peaks)
    if peak >= LEAST_PEAK:
        turn = TURNS[index]
        yield turn, attempt(_oriented_plane(frame, turn), layout)


#: Quarter turns and mirror images, without the identity.
TURNS = [
    np.array([[a, b], [c, d]], float)
    for a, b, c, d in (
        *((-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1)),
        *((0, 1, 1, 0), (0, -1, 1, 0), (0, 1, -1, 0), (0, -1, -1, 0)),
    )
]


def oriented(white: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """The spectrum of the turned tile: its value at ``turn @ k`` is the one at ``k``."""
    turned = white.T if turn[0, 0] == 0 else white
    if turn[0].sum() < 0:
        turned = np.roll(turned[:, ::-1], 1, axis=1)
    if turn[1].sum() < 0:
        turned = np.roll(turned[::-1], 1, axis=0)
    return turned


def _oriented_plane(plane: np.ndarray, turn: np.ndarray) -> np.ndarray:
    turned = plane.T if turn[0, 0] == 0 else plane
    turned = turned[:, ::-1] if turn[0].sum() < 0 else turned
    return np.ascontiguousarray(turned[::-1] if turn[1].sum() < 0 else turned)


class Clock:
    """A budget in seconds of this thread's processor time; None never runs out.

    Not of the clock on the wall: what a busy machine finds must not depend on what else it does.
    """

    def __init__(self, budget: float | None) -> None:
        self._end = None if budget is None else time.thread_time() + budget
        self.stopped = False

    def out(self) -> bool:
        if self._end is not None and time.thread_time() > self._end:
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
        from countermark.provenance.watermark.confidence import confidence_map

        base, ratio = search_base(self._image)
        plane = rectify(base, matrix @ np.linalg.inv(ratio))
        again = attempt(plane, self._layout)
        return confidence_map(plane, found.decoded.codeword, (again.x, again.y), self._layout)

    def nothing(self, search: bool, clock: Clock) -> Reading:
        p = p_value(self.best, attempts=self.attempts, valid=False)
        how = "stopped" if clock.stopped else "full" if search else "fast"
        return Reading(None, p, attempts=self.attempts, searched=how)


def search_base(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The luma that the search works on, at most 1280 x 1280 pixels' worth, and its scale (2 x 2)."""
    height, width = image.shape[:2]
    scale = np.sqrt(height * width) / BASE_SIDE
    if scale > 1:
        size = (max(1, round(width / scale)), max(1, round(height / scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    plane = perception.luma(image)
    return plane, np.diag([plane.shape[1] / width, plane.shape[0] / height])


def search_geometries(base: np.ndarray, layout: Layout, clock: Clock) -> Iterator[np.ndarray]:
    """Matrices worth decoding, 2 x 2: base pixels to working pixels; the sure ones at once."""
    planes: list[geometry.SearchPlane] = []
    for stretched, count in ((False, DECODED), (True, DECODED // 2)):
        doubtful: list[geometry.Candidate] = []
        for index, width in enumerate(geometry.widths(base)):
            if clock.out():
                return
            if not stretched:
                planes.append(geometry.prepare(base, width))
                found = geometry.candidates(planes[index], layout)
            else:
                found = geometry.stretched(planes[index], ASPECTS, layout)
            sure = [c for c in found if c.peak >= SURE_PEAK]
            yield from (candidate.matrix for candidate in sure[:2])
            doubtful += [c for c in found if WEAK_PEAK <= c.peak < SURE_PEAK]
        for candidate in sorted(doubtful, key=lambda c: -c.peak)[:count]:
            if clock.out():
                return
            yield candidate.matrix


def rectify(plane: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A picture's luma in the working frame that ``matrix`` leads to; float32."""
    height, width = plane.shape
    scale = float(np.sqrt(abs(np.linalg.det(matrix))))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        plane = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.diag([width / size[0], height / size[1]])
        width, height = size
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
        borderValue=float(cv2.mean(plane)[0]),
    )


def describe(matrix: np.ndarray, found: Attempt, shape: tuple[int, ...]) -> Geometry:
    """The geometry that a matrix stands for."""
    forward = np.linalg.inv(matrix) / perception.working_scale(shape[0], shape[1])
    flipped = bool(np.linalg.det(forward) < 0)
    if flipped:
        forward = forward @ np.diag([-1.0, 1.0])
    # Polar decomposition: forward = stretch @ turn.
    left, sizes, right = np.linalg.svd(forward)
    turn, stretch = left @ right, (left * sizes) @ left.T
    angle = float(np.degrees(np.arctan2(turn[1, 0], turn[0, 0])))
    return Geometry(
        scale=float(np.sqrt(np.linalg.det(forward))),
        rotation=-angle % 360,
        flipped=flipped,
        aspect=float(stretch[0, 0] / stretch[1, 1]),
        offset=(found.x / TILE % 1, found.y / TILE % 1),
        matrix=(float(matrix[0, 0]), float(matrix[0, 1]), float(matrix[1, 0]), float(matrix[1, 1])),
    )
