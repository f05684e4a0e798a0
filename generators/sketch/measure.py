"""Measures of doodle to image: do the lines stay, and does the noise matter?

>>> edge_f1(canny_edges(photograph), photograph)                             # doctest: +SKIP
1.0
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from countermark.core.images import Pixels
from countermark.generators.sketch.edges import canny_edges


def edge_f1(strokes: np.ndarray, image: Pixels, *, reach: int = 2) -> float:
    """How well the edges of ``image`` agree with the strokes, in [0, 1].

    Precision is the share of the image's Canny edges within ``reach`` pixels of a stroke, recall
    the share of strokes within ``reach`` pixels of an edge; F1 is their harmonic mean.

    Args:
        strokes: Float [H, W] in [0, 1]; ink where above 0.5.
        image: uint8 [H, W, 3] RGB.
    """
    wanted, found = strokes > 0.5, canny_edges(image) > 0
    if not wanted.any() or not found.any():
        return float(not wanted.any() and not found.any())
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    near_wanted = cv2.dilate(wanted.astype(np.uint8), kernel) > 0
    near_found = cv2.dilate(found.astype(np.uint8), kernel) > 0
    precision, recall = float(near_wanted[found].mean()), float(near_found[wanted].mean())
    return 2 * precision * recall / max(precision + recall, 1e-12)


def diversity(one: np.ndarray, two: np.ndarray, extract: Callable[[np.ndarray], np.ndarray]) -> float:
    """Mean cosine distance of the features of two images of each doodle; 0 if z is ignored.

    Args:
        one, two: uint8 [N, H, W, 3], the same doodles with other seeds.
        extract: Images to features [N, D], such as ``core.features.load_extractor("lite0")``.
    """
    return distance(np.asarray(extract(one)), np.asarray(extract(two)))


def distance(one: np.ndarray, two: np.ndarray) -> float:
    """Mean cosine distance of features [N, D], row by row; equal rows count 0."""
    a, b = one.astype(np.float64), two.astype(np.float64)
    same = (a == b).all(axis=1)
    cosine = (a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)
    return float(np.where(same, 0.0, 1 - cosine).mean())
