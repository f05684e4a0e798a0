"""A user's doodle, whatever its size, paper and pen, as the condition that the network knows.

>>> import numpy as np
>>> page = np.full((300, 200, 3), 255, np.uint8)
>>> page[100:200, 98:102] = 0
>>> read_doodle(page, 96).shape
(96, 96, 5)

Dark lines on light paper and light ones on dark both work, as does ink on a transparent page
(which the image gate lays over white). Coloured strokes become colour hints.
"""

from __future__ import annotations

import cv2
import numpy as np

from countermark.core.errors import ConfigError
from countermark.core.images import Pixels
from countermark.generators.base import ImageSource, as_pixels
from countermark.generators.sketch.edges import assemble

#: Doodles of fewer pixels a side hold no drawing.
LEAST_SIDE = 8


def read_doodle(source: ImageSource, size: int) -> np.ndarray:
    """The condition for a doodle: float32 [size, size, 5], see ``edges``.

    Args:
        source: Path or bytes of an image, or uint8 [H, W, 3] RGB.
        size: Side that the network works at.

    Raises:
        ConfigError: ``generator.condition-small`` or ``generator.condition-empty`` (nothing is drawn).
        ImageError: the file is missing, damaged, or too large.
    """
    pixels = as_pixels(source)
    if min(pixels.shape[:2]) < LEAST_SIDE:
        raise ConfigError(
            f"A doodle of {pixels.shape[1]} x {pixels.shape[0]} pixels holds no drawing.",
            code="generator.condition-small",
            hint=f"Use {LEAST_SIDE} pixels a side or more.",
        )
    # Work at four times the size at most: thin lines survive, and huge scans cost little.
    pixels = _fit(pixels, 4 * size)
    light = pixels.astype(np.float32)
    border = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    paper = np.median(border, axis=0)
    distance = np.abs(light - paper).max(axis=2)
    if float(distance.max()) < 24:
        raise ConfigError(
            "Nothing is drawn on the doodle.",
            code="generator.condition-empty",
            hint="Draw dark lines on a light page.",
        )
    ink = np.clip((distance - 12) / max(0.6 * float(distance.max()), 24.0), 0, 1)
    saturation = light.max(axis=2) - light.min(axis=2)
    coloured = (saturation > 70) & (ink > 0.4)
    strokes = _shrink(np.where(coloured, 0, ink).astype(np.float32), size, thicken=True)
    mask = (_shrink(coloured.astype(np.float32), size) > 0.35).astype(np.float32)
    weight = coloured[..., None].astype(np.float32)
    colours = _shrink((light / 127.5 - 1) * weight, size) / np.maximum(
        _shrink(coloured.astype(np.float32), size)[..., None], 1e-3
    )
    top = float(strokes.max())
    return assemble(strokes / top if top > 0.1 else strokes, colours, mask)


def _fit(pixels: Pixels, side: int) -> Pixels:
    """Put on a square page of the border's colour, its side at most ``side``."""
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    if scale < 1:
        shape = (max(round(width * scale), 1), max(round(height * scale), 1))
        pixels = cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA)
        height, width = pixels.shape[:2]
    longest = max(height, width)
    top, left = (longest - height) // 2, (longest - width) // 2
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    paper = [int(v) for v in np.median(edge, axis=0)]
    return cv2.copyMakeBorder(
        pixels, top, longest - height - top, left, longest - width - left, cv2.BORDER_CONSTANT, value=paper
    )


def _shrink(values: np.ndarray, size: int, *, thicken: bool = False) -> np.ndarray:
    """To [size, size]; ``thicken`` widens thin lines first, which shrinking would turn to grey."""
    shrink = values.shape[0] / size
    if thicken and shrink > 1:
        reach = max(round(shrink / 1.5), 1)
        values = cv2.dilate(values, np.ones((reach, reach), np.uint8))
    way = cv2.INTER_AREA if shrink >= 1 else cv2.INTER_LINEAR
    return cv2.resize(values, (size, size), interpolation=way)
