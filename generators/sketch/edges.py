"""Edges of a photograph, and doodles made of them: the free pairs of doodle and photograph.

>>> import numpy as np
>>> doodle(np.zeros((96, 96, 3), np.uint8), np.random.default_rng(0)).shape
(96, 96, 5)

A *condition* is float32 [H, W, 5]: strokes in [0, 1] (1 is ink), colour hints in [-1, 1] (RGB, 0
where there are none) and a mask that says where the hints are.
"""

from __future__ import annotations

import cv2
import numpy as np

from countermark.core.images import Pixels

#: Channels of a condition: strokes, three of colour, mask.
CHANNELS = 5


def soft_edges(pixels: Pixels, sigma: float = 1.2) -> np.ndarray:
    """Strength of the outlines, float32 [H, W] in [0, 1].

    The gradient of the blurred image in CIE Lab, thinned across the edge and softened: somewhat
    like the output of a holistically-nested network (``hed``), but it knows nothing of objects.
    """
    lab = cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).astype(np.float32), (0, 0), sigma)
    across, down = cv2.Scharr(lab, cv2.CV_32F, 1, 0), cv2.Scharr(lab, cv2.CV_32F, 0, 1)
    thin = _thin(np.sqrt(across**2 + down**2).max(axis=2))
    top = max(float(np.quantile(thin, 0.98)), 120.0)
    return np.clip(cv2.GaussianBlur(thin, (0, 0), 0.6) / top * 1.4, 0, 1).astype(np.float32)


def _thin(strength: np.ndarray) -> np.ndarray:
    """An edge is where the strength is about as high as the highest beside it; elsewhere it is weaker."""
    peak = cv2.dilate(strength, np.ones((3, 3), np.uint8))
    return np.where(strength >= 0.92 * peak, strength, 0.3 * strength).astype(np.float32)


def drawn(outline: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Strokes from outlines of ``hed``, float32 [H, W] in [0, 1]: the weak ones left out, mostly thinned."""
    least = float(generator.uniform(0.1, 0.5))
    if generator.random() < 0.7:
        outline = _thin(outline)
    return np.clip((outline - least) / (0.85 - least), 0, 1).astype(np.float32)


def canny_edges(pixels: Pixels, sigma: float = 1.2, low: float = 40, high: float = 110) -> np.ndarray:
    """Canny's edges (1986) of the blurred grey image, float32 [H, W], 0 or 1."""
    grey = cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (0, 0), sigma)
    return (cv2.Canny(grey, low, high, L2gradient=True) > 0).astype(np.float32)


def wobble(strokes: np.ndarray, generator: np.random.Generator, reach: float = 1.5) -> np.ndarray:
    """Moves every point by up to about ``reach`` pixels, neighbours alike, as a hand does."""
    height, width = strokes.shape
    field = generator.standard_normal((2, height, width)).astype(np.float32)
    shift = [cv2.GaussianBlur(f, (0, 0), max(min(height, width) / 16, 1.0)) for f in field]
    shift = [s / max(float(np.abs(s).max()), 1e-6) * reach for s in shift]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    return cv2.remap(
        strokes, columns + shift[0], rows + shift[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def rub_out(strokes: np.ndarray, generator: np.random.Generator, share: float = 0.25) -> np.ndarray:
    """Erases soft patches that hold about ``share`` of the area: lines that nobody drew."""
    height, width = strokes.shape
    grains = generator.standard_normal((height, width)).astype(np.float32)
    noise = cv2.GaussianBlur(grains, (0, 0), max(min(height, width) / 14, 1.0))
    return np.where(noise < np.quantile(noise, share), 0, strokes).astype(np.float32)


def long_lines(strokes: np.ndarray, least: float) -> np.ndarray:
    """Without the strokes that join fewer than ``least`` points: who draws by hand leaves these out."""
    count, marks, found, _ = cv2.connectedComponentsWithStats((strokes > 0.3).astype(np.uint8))
    kept = found[:, cv2.CC_STAT_AREA] >= least
    if count < 2 or not kept[1:].any():
        return strokes
    kept[0] = False
    near = cv2.dilate(kept[marks].astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.where(near > 0, strokes, 0).astype(np.float32)


def scribbles(pixels: Pixels, generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """``count`` short lines in the colours below them: hints [H, W, 3] in [-1, 1], mask [H, W]."""
    height, width = pixels.shape[:2]
    smooth = cv2.GaussianBlur(pixels, (0, 0), max(min(height, width) / 24, 0.5))
    hints, mask = np.zeros(pixels.shape, np.float32), np.zeros((height, width), np.float32)
    for _ in range(count):
        start = generator.uniform(0.1, 0.9, 2) * (width, height)
        end = start + generator.normal(0, 0.12, 2) * (width, height)
        colour = smooth[int(start[1]), int(start[0])].astype(np.float32) / 127.5 - 1
        a, b = [(int(p[0]), int(p[1])) for p in (start, end)]
        thickness = max(1, min(height, width) // 24)
        cv2.line(hints, a, b, [float(c) for c in colour], thickness)
        cv2.line(mask, a, b, 1.0, thickness)
    return hints, mask


def doodle(
    pixels: Pixels,
    generator: np.random.Generator,
    *,
    plain: bool = False,
    outline: np.ndarray | None = None,
) -> np.ndarray:
    """The condition for a photograph, float32 [H, W, 5], different at every call.

    Mixes soft and Canny edges, then leaves out short ones, wobbles, thickens and erases at random; in four
    of ten it adds colour scribbles.

    Args:
        plain: Only strokes, not disturbed: what is measured on.
        outline: Outlines of ``hed``, float32 [H, W] in [0, 1], that take the place of soft edges.
    """
    if plain:
        strokes = np.maximum(canny_edges(pixels), 0.6 * soft_edges(pixels))
        return assemble(strokes)
    sigma = float(generator.uniform(0.7, 1.8))
    kind = generator.random()
    if kind < 0.4:
        strokes = soft_edges(pixels, sigma) if outline is None else drawn(outline, generator)
    elif kind < 0.8:
        high = float(generator.uniform(60, 160))
        strokes = canny_edges(pixels, sigma, high * 0.4, high)
    else:
        soft = soft_edges(pixels, sigma) if outline is None else outline
        strokes = np.maximum(canny_edges(pixels, sigma), soft * 0.7)
    if generator.random() < 0.6:
        strokes = long_lines(strokes, float(generator.uniform(0.1, 0.8)) * strokes.shape[1])
    if generator.random() < 0.5:
        strokes = wobble(strokes, generator, float(generator.uniform(0.3, 2.0)))
    if generator.random() < 0.35:
        strokes = cv2.dilate(strokes, np.ones((2, 2), np.uint8))
    if generator.random() < 0.4:
        strokes = rub_out(strokes, generator, float(generator.uniform(0.05, 0.35)))
    if generator.random() < 0.4:
        return assemble(strokes, *scribbles(pixels, generator, int(generator.integers(1, 8))))
    return assemble(strokes)


def assemble(
    strokes: np.ndarray, hints: np.ndarray | None = None, mask: np.ndarray | None = None
) -> np.ndarray:
    """Strokes [H, W], hints [H, W, 3] and mask [H, W] as one condition, float32 [H, W, 5]."""
    height, width = strokes.shape
    out = np.zeros((height, width, CHANNELS), np.float32)
    out[..., 0] = np.clip(strokes, 0, 1)
    if hints is not None and mask is not None:
        out[..., 1:4] = np.clip(hints, -1, 1) * mask[..., None]
        out[..., 4] = mask
    return out
