"""The sketch: 64 x 64 grey values with which a hit is re-checked, whatever was cut off or scaled.

>>> import numpy as np, cv2
>>> noise = np.random.default_rng(3).integers(0, 256, (12, 16, 3), dtype=np.uint8)
>>> image = cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)
>>> compare(sketch(image), image[20:220, 30:300]).score > CONFIRMED
True

``compare`` looks for the position at which the image lies on the sketch (template matching over
scales, then ECC refinement, Evangelidis and Psarakis 2008) and correlates the two after a
high-pass: smooth shading, which unrelated pictures share, does not count.

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


@dataclass(frozen=True)
class Comparison:
    """How well an image lies on a sketch.

    Attributes:
        score: Correlation in [-1, 1] after alignment; ``CONFIRMED`` and above is the same picture.
        overlap: Share of the sketch that the image covers, in [0, 1].
        turned: How the image had to be turned first: ``""``, ``"mirrored"``, ``"90"``, ``"180"``, ``"270"``.
    """

    score: float
    overlap: float
    turned: str = ""

    @property
    def confirmed(self) -> bool:
        return self.score >= CONFIRMED


def sketch(image: Pixels) -> bytes:
    """The sketch of an image (uint8, H x W x 3, RGB): 4,096 grey values, row by row."""
    return reduce_grey(image, SIDE).tobytes()


def compare(stored: bytes, image: Pixels, *, turns: bool = False) -> Comparison:
    """Compares an image with a stored sketch.

    Args:
        stored: What ``sketch`` returned for the original.
        image: uint8, H x W x 3, RGB; may be a scaled, re-encoded or cropped copy.
        turns: Also try the image mirrored and turned by 90, 180 and 270 degrees.

    Raises:
        ProvenanceError: ``stored`` is not a sketch.
    """
    if len(stored) != SKETCH_BYTES:
        raise ProvenanceError(f"A sketch has {SKETCH_BYTES} bytes, not {len(stored)}.", code="sketch.length")
    target = np.frombuffer(stored, np.uint8).reshape(SIDE, SIDE).astype(np.float32)
    # Every scale is made from this once: the full image may have many megapixels.
    grey = reduce_grey(image, 2 * SIDE)
    best = _compare(target, grey)
    if turns and not best.confirmed:
        for name, other in _turned(grey):
            found = _compare(target, other)
            if found.score > best.score:
                best = Comparison(found.score, found.overlap, name)
            if best.confirmed:
                break
    return best


def _compare(target: np.ndarray, grey: np.ndarray) -> Comparison:
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
    return Comparison(*max(tried, key=_score)[0])


def _score(entry: tuple[tuple[float, float], np.ndarray]) -> float:
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


def _correlation(target: np.ndarray, grey: np.ndarray, warp: np.ndarray) -> tuple[float, float]:
    """Correlation of the details where the two overlap, and the share of the sketch where they do."""
    # Moved at twice the sketch's resolution and averaged down, as the sketch itself was: linear
    # interpolation of 64 x 64 values would blur away the details that are compared.
    whole = _DOUBLE @ np.vstack([warp, [0, 0, 1]]) @ np.linalg.inv(_DOUBLE)
    size = (2 * SIDE, 2 * SIDE)
    flags = cv2.WARP_INVERSE_MAP
    moved = _shrink(cv2.warpAffine(grey, whole[:2], size, flags=flags | cv2.INTER_LINEAR), SIDE)
    covered = cv2.warpAffine(np.ones((SIDE, SIDE), np.uint8), warp, (SIDE, SIDE), flags=flags)
    overlap = float(covered.mean())
    inside = cv2.erode(covered, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_CONSTANT) > 0
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
