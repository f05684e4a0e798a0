"""The sketch: 64 x 64 grey values with which a hit is re-checked, whatever was cut off or scaled.

>>> import numpy as np, cv2
>>> noise = np.random.default_rng(3).integers(0, 256, (12, 16, 3), dtype=np.uint8)
>>> image = cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)
>>> compare(sketch(image), image[20:220, 30:300]).score > CONFIRMED
True

``compare`` looks for the position at which the image lies on the sketch (template matching over
scales, then ECC refinement, Evangelidis and Psarakis 2008) and correlates the two after a
high-pass: smooth shading, which unrelated pictures share, does not count. Variants of one picture
(another frame, an edited copy) correlate too, but differ much in some places: the residual.

A sketch shows roughly what a picture shows. Keep the repository as private as its pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from countermark.core.errors import ProvenanceError
from countermark.core.images import Pixels
from countermark.provenance.fingerprint.hashing import reduce_grey

SIDE = 64

#: Length of a sketch.
SKETCH_BYTES = SIDE * SIDE

#: Score from which a hit counts as the same picture.
CONFIRMED = 0.66

_SCALES = np.arange(1.0, 0.42, -0.04)
_BORDERS = (0.96, 0.91, 0.86)
_COARSE, _FINE = 4.0, 1.5
_MIN_OVERLAP = 0.15
#: Pixel centres of the sketch to pixel centres at twice its size.
_DOUBLE = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]], np.float64)
_SURE = 0.9  # no second alignment is tried beyond this


#: (score, overlap) and the map from sketch to image coordinates that gives them.
Aligned = tuple[tuple[float, float], np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """How well an image lies on a sketch.

    Attributes:
        score: Correlation in [-1, 1] after alignment; ``CONFIRMED`` and above is the same picture.
        overlap: Share of the sketch that the image covers, in [0, 1].
        turned: How the image had to be turned first: ``""``, ``"mirrored"``, ``"90"``, ``"180"``, ``"270"``.
        residual: Largest local difference in grey levels, in [0, 255], once brightness and contrast
            agree; None when it was not asked for, or the score is below ``CONFIRMED``.
    """

    score: float
    overlap: float
    turned: str = ""
    residual: float | None = None

    @property
    def confirmed(self) -> bool:
        return self.score >= CONFIRMED


def sketch(image: Pixels) -> bytes:
    """The sketch of an image (uint8, H x W x 3, RGB): 4,096 grey values, row by row."""
    return reduce_grey(image, SIDE).tobytes()


def compare(stored: bytes, image: Pixels, *, turns: bool = False, exact: bool = False) -> Comparison:
    """Compares an image with a stored sketch.

    Args:
        stored: What ``sketch`` returned for the original.
        image: uint8, H x W x 3, RGB; may be a scaled, re-encoded or cropped copy.
        turns: Also try the image mirrored and turned by 90, 180 and 270 degrees.
        exact: Align more closely (some 10 ms) and give the ``residual``, which tells a copy from a
            variant of the same picture.

    Raises:
        ProvenanceError: ``stored`` is not a sketch.
    """
    if len(stored) != SKETCH_BYTES:
        raise ProvenanceError(f"A sketch has {SKETCH_BYTES} bytes, not {len(stored)}.", code="sketch.length")
    target = np.frombuffer(stored, np.uint8).reshape(SIDE, SIDE).astype(np.float32)
    # Every scale is made from this once: the full image may have many megapixels.
    grey = reduce_grey(image, 2 * SIDE)
    (score, overlap), warp = _compare(target, grey)
    turned = ""
    if turns and score < CONFIRMED:
        for name, other in _turned(grey):
            found, its_warp = _compare(target, other)
            if found[0] > score:
                (score, overlap), warp, turned, grey = found, its_warp, name, other
            if score >= CONFIRMED:
                break
    if not exact or score < CONFIRMED:
        return Comparison(score, overlap, turned)
    (score, overlap), warp = _polish(target, grey, warp)
    return Comparison(score, overlap, turned, _residual(target, grey, warp))


def _compare(target: np.ndarray, grey: np.ndarray) -> Aligned:
    query = _shrink(grey, SIDE)
    starts = [np.eye(2, 3, dtype=np.float32), _locate(target, grey)]
    tried = [(_correlation(target, grey, warp), warp) for warp in starts]
    for _, warp in sorted(tried, reverse=True, key=_score):
        if max(tried, key=_score)[0][0] >= _SURE:
            break
        refined = _refine(target, query, warp, _COARSE)
        if refined is not None:
            tried.append((_correlation(target, grey, refined), refined))
    best = max(tried, key=_score)
    if best[0][0] < _SURE:
        refined = _refine(target, query, best[1], _FINE)
        if refined is not None:
            tried.append((_correlation(target, grey, refined), refined))
    return max(tried, key=_score)


def _score(entry: Aligned) -> float:
    return entry[0][0]


def _locate(target: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """The map from sketch to image coordinates at the best of all scales, float32 2 x 3."""
    detail = _high_pass(target, _COARSE)
    best, warp = -2.0, np.zeros((2, 3), np.float32)
    for scale in _SCALES:  # the image is a part of the sketch
        side = round(SIDE * scale)
        score, (x, y) = _match(detail, _high_pass(_shrink(grey, side), _COARSE))
        if score > best:
            best, zoom = score, SIDE / side
            warp = np.array([[zoom, 0, (zoom - 1) / 2 - x * zoom], [0, zoom, (zoom - 1) / 2 - y * zoom]])
    whole = _high_pass(_shrink(grey, SIDE), _COARSE)
    for scale in _BORDERS:  # the sketch is a part of the image: something was put around it
        side = round(SIDE * scale)
        score, (x, y) = _match(whole, _high_pass(_shrink(target, side), _COARSE))
        if score > best:
            best, zoom = score, side / SIDE
            warp = np.array([[zoom, 0, x + (zoom - 1) / 2], [0, zoom, y + (zoom - 1) / 2]])
    return warp.astype(np.float32)


def _match(large: np.ndarray, small: np.ndarray) -> tuple[float, tuple[int, int]]:
    _, score, _, place = cv2.minMaxLoc(cv2.matchTemplate(large, small, cv2.TM_CCOEFF_NORMED))
    # Flat regions divide by zero inside the library.
    return (float(score) if np.isfinite(score) and abs(score) <= 1.001 else -2.0), (place[0], place[1])


def _refine(target: np.ndarray, query: np.ndarray, warp: np.ndarray, sigma: float) -> np.ndarray | None:
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
    everywhere = np.ones((SIDE, SIDE), np.uint8)
    one, other = _high_pass(target, sigma), _high_pass(query, sigma)
    try:
        _, refined = cv2.findTransformECC(
            one, other, warp.copy(), cv2.MOTION_AFFINE, criteria, everywhere, 5 if sigma > 2 else 3
        )
    except cv2.error:  # it did not converge, which is an answer
        return None
    # Shearing or squeezing everything together is no alignment.
    stretch = np.linalg.svd(refined[:, :2], compute_uv=False)
    return refined if np.isfinite(stretch).all() and 0.3 < stretch[1] <= stretch[0] < 3 else None


def _polish(target: np.ndarray, grey: np.ndarray, warp: np.ndarray) -> Aligned:
    """Moves each edge of the image by less than a pixel of the sketch as long as the score rises.

    ECC aligns 64 x 64 values and stays off by a part of a pixel for cropped copies.
    """
    best, place = _correlation(target, grey, warp), warp.astype(np.float64)
    step = 0.6
    while step >= 0.05:
        better = False
        for edge in range(4):
            for shift in (step, -step):
                axis, last = edge // 2, edge % 2
                moved = place.copy()
                moved[axis, axis] += (shift if last else -shift) / (SIDE - 1)
                moved[axis, 2] += 0 if last else shift
                found = _correlation(target, grey, moved.astype(np.float32))
                if found[0] > best[0] + 1e-5:
                    best, place, better = found, moved, True
                    break
        if not better:
            step /= 2
    return best, place.astype(np.float32)


def _residual(target: np.ndarray, grey: np.ndarray, warp: np.ndarray) -> float:
    """Largest mean difference, over some 8 x 8 values of the sketch, after a fit of gain and offset."""
    moved, _, inside = _lay(grey, warp)
    one, other = moved[inside].astype(np.float64), target[inside].astype(np.float64)
    spread = one.var()
    gain = float(((one - one.mean()) * (other - other.mean())).mean() / spread) if spread > 1e-6 else 0.0
    fitted = (moved - one.mean()) * gain + other.mean()
    area = inside.astype(np.float32)
    near = cv2.GaussianBlur(area, (0, 0), 3.0)
    gaps = cv2.GaussianBlur(np.abs(fitted - target).astype(np.float32) * area, (0, 0), 3.0)
    return float((gaps / np.maximum(near, 0.3))[inside].max())


def _lay(grey: np.ndarray, warp: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """The image as it lies on the sketch (float32), the share that it covers, and where (bool)."""
    # Moved at twice the sketch's resolution and averaged down, as the sketch itself was: linear
    # interpolation of 64 x 64 values would blur away the details that are compared.
    whole = _DOUBLE @ np.vstack([warp, [0, 0, 1]]) @ np.linalg.inv(_DOUBLE)
    size = (2 * SIDE, 2 * SIDE)
    flags = cv2.WARP_INVERSE_MAP
    moved = _shrink(cv2.warpAffine(grey, whole[:2], size, flags=flags | cv2.INTER_LINEAR), SIDE)
    covered = cv2.warpAffine(np.ones((SIDE, SIDE), np.uint8), warp, (SIDE, SIDE), flags=flags)
    inside = cv2.erode(covered, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_CONSTANT) > 0
    return moved, float(covered.mean()), inside


def _correlation(target: np.ndarray, grey: np.ndarray, warp: np.ndarray) -> tuple[float, float]:
    """Correlation of the details where the two overlap, and the share of the sketch where they do."""
    moved, overlap, inside = _lay(grey, warp)
    if overlap < _MIN_OVERLAP or inside.sum() < 64:
        return -1.0, overlap
    one = _high_pass(moved, _FINE)[inside]
    other = _high_pass(target, _FINE)[inside]
    one, other = one - one.mean(), other - other.mean()
    # One grey level of detail is the least that can be told from rounding.
    floor = float(inside.sum()) * 0.25
    norm = np.sqrt(max(float(one @ one), floor) * max(float(other @ other), floor))
    return float(one @ other) / float(norm), overlap


def _shrink(grey: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(grey.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)


def _high_pass(values: np.ndarray, sigma: float) -> np.ndarray:
    return values - cv2.GaussianBlur(values, (0, 0), sigma)


def _turned(grey: np.ndarray) -> list[tuple[str, np.ndarray]]:
    turns = [(str(90 * k), np.ascontiguousarray(np.rot90(grey, k))) for k in (1, 2, 3)]
    return [("mirrored", np.ascontiguousarray(grey[:, ::-1])), *turns]
