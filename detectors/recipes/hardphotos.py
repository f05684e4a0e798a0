"""Hard pictures made on the fly: screenshots, collages, heavy edits and scans of other pictures.

Editors meet photographs that were laid out, retouched, printed and scanned. Each maker here turns
pictures of a corpus into such a one. Both classes go through the same makers at the same rate, so
that the frame of a screenshot or the grain of a scan tells nothing about the class.

>>> import numpy as np
>>> from countermark.core.seeds import rng
>>> pictures = [np.full((300, 400, 3), 40 * i, np.uint8) for i in range(4)]
>>> make_hard("collage", pictures, rng(1)).shape[2]
3
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from countermark.core.images import Pixels
from countermark.core.registry import Registry

Maker = Callable[[Sequence[Pixels], np.random.Generator], Pixels]

#: Makers of hard pictures by name; each takes one to four pictures of one class.
HARD: Registry[Maker] = Registry("hard picture")
SHORTEST, LONGEST = 480, 900


def make_hard(name: str, pictures: Sequence[Pixels], generator: np.random.Generator) -> Pixels:
    """A hard picture, uint8 RGB, of at least 240 x 240.

    Args:
        name: ``screenshot``, ``collage``, ``edit`` or ``scan``.
        pictures: One or more uint8 RGB pictures of one class; ``collage`` uses up to four.
        generator: Everything random is drawn from it.

    Raises:
        UnknownNameError: names the known makers.
    """
    return np.ascontiguousarray(HARD.get(name)(pictures, generator))


def _add(name: str) -> Callable[[Maker], Maker]:
    def register(maker: Maker) -> Maker:
        HARD.register(name, maker)
        return maker

    return register


def _fit(picture: Pixels, width: int, height: int) -> Pixels:
    """Fills ``width`` x ``height``: scaled, then cut to the middle."""
    factor = max(width / picture.shape[1], height / picture.shape[0])
    size = (max(width, round(picture.shape[1] * factor)), max(height, round(picture.shape[0] * factor)))
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    return scaled[top : top + height, left : left + width]


@_add("screenshot")
def _screenshot(pictures: Sequence[Pixels], generator: np.random.Generator) -> Pixels:
    """A window: bars, lines of text as a page draws them, and the picture at screen resolution."""
    height, width = int(generator.integers(SHORTEST, LONGEST)), int(generator.integers(SHORTEST, LONGEST))
    dark = generator.random() < 0.4
    paper = int(generator.integers(15, 50) if dark else generator.integers(235, 256))
    ink = (220, 220, 220) if dark else (40, 40, 40)
    page = np.full((height, width, 3), paper, np.uint8)
    bar = int(generator.integers(20, 56))
    page[:bar] = generator.integers(0, 256, 3)
    share = float(generator.uniform(0.45, 0.95))
    box_w, box_h = max(240, int(width * share)), max(240, int((height - bar) * share))
    box_w, box_h = min(box_w, width), min(box_h, height - bar)
    left = int(generator.integers(width - box_w + 1))
    page[bar : bar + box_h, left : left + box_w] = _fit(pictures[0], box_w, box_h)
    for base in range(bar + box_h + 18, height - 6, int(generator.integers(16, 26))):
        text = "".join(chr(int(c)) for c in generator.integers(97, 123, int(generator.integers(8, 60))))
        cv2.putText(page, text, (12, base), cv2.FONT_HERSHEY_SIMPLEX, 0.45, ink, 1, cv2.LINE_AA)
    return page


@_add("collage")
def _collage(pictures: Sequence[Pixels], generator: np.random.Generator) -> Pixels:
    """Two to four pictures in a grid with a border."""
    columns, rows = [(2, 1), (1, 2), (2, 2)][int(generator.integers(3))]
    width, height = int(generator.integers(SHORTEST, LONGEST)), int(generator.integers(SHORTEST, LONGEST))
    gap = int(generator.integers(0, 14))
    page = np.empty((height, width, 3), np.uint8)
    page[:] = generator.integers(0, 256, 3)
    for cell in range(columns * rows):
        top, left = cell // columns * height // rows, cell % columns * width // columns
        wide, high = width // columns - gap, height // rows - gap
        page[top : top + high, left : left + wide] = _fit(pictures[cell % len(pictures)], wide, high)
    return page


@_add("edit")
def _edit(pictures: Sequence[Pixels], generator: np.random.Generator) -> Pixels:
    """Retouching: smoothed skin and noise, tone curve, saturation, vignette, sharpening, a filter."""
    image = pictures[0]
    if generator.random() < 0.6:
        tone, space = float(generator.uniform(20, 70)), float(generator.uniform(3, 9))
        image = cv2.bilateralFilter(image, 7, tone, space)
    value = image.astype(np.float32) / 255
    value = np.clip(value, 1e-4, 1) ** float(np.exp(generator.uniform(-0.5, 0.5)))
    contrast = float(generator.uniform(0.7, 1.6))
    value = (value - 0.5) * contrast + 0.5 + generator.uniform(-0.06, 0.06, 3).astype(np.float32)
    grey = value.mean(axis=2, keepdims=True)
    value = grey + (value - grey) * float(generator.choice([0.0, 0.5, 1.3, 1.8], p=[0.15, 0.25, 0.35, 0.25]))
    if generator.random() < 0.4:
        rows, columns = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.shape[:2]), indexing="ij")
        value *= (1 - float(generator.uniform(0.1, 0.5)) * (rows**2 + columns**2) / 2)[..., None]
    result = np.clip(value * 255, 0, 255).astype(np.uint8)
    if generator.random() < 0.6:
        soft = cv2.GaussianBlur(result, (0, 0), float(generator.uniform(0.8, 2.5)))
        amount = float(generator.uniform(0.3, 1.5))
        result = cv2.addWeighted(result, 1 + amount, soft, -amount, 0)
    return result


@_add("scan")
def _scan(pictures: Sequence[Pixels], generator: np.random.Generator) -> Pixels:
    """A print or film on the scanner: tilt, grain, fading, dust, scratches, often one colour."""
    image = pictures[0]
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(generator.uniform(-2, 2)), 1.02)
    border = tuple(int(c) for c in generator.integers(200, 256, 3))
    value = cv2.warpAffine(image, turn, (width, height), flags=cv2.INTER_CUBIC, borderValue=border)
    value = cv2.GaussianBlur(value, (0, 0), float(generator.uniform(0.4, 1.3))).astype(np.float32)
    tone = generator.random()
    if tone < 0.6:
        grey = value @ np.array([0.299, 0.587, 0.114], np.float32)
        sepia = np.array([1.0, 0.93, 0.78], np.float32) if tone < 0.3 else np.ones(3, np.float32)
        value = grey[..., None] * sepia
    low, high = float(generator.uniform(0, 45)), float(generator.uniform(210, 255))
    value = low + value * (high - low) / 255
    coarse = float(generator.uniform(1.0, 2.5))
    shape = (max(2, int(height / coarse)), max(2, int(width / coarse)))
    grain = cv2.resize(generator.normal(size=shape).astype(np.float32), (width, height))
    value += grain[..., None] * float(generator.uniform(2, 12))
    for _ in range(int(generator.integers(0, 25))):
        place = (int(generator.integers(width)), int(generator.integers(height)))
        cv2.circle(value, place, int(generator.integers(1, 3)), (245, 245, 240), -1, cv2.LINE_AA)
    for _ in range(int(generator.integers(0, 3))):
        column = int(generator.integers(width))
        other = int(np.clip(column + generator.integers(-8, 9), 0, width - 1))
        cv2.line(value, (column, 0), (other, height - 1), (230, 230, 225), 1, cv2.LINE_AA)
    return np.clip(value, 0, 255).astype(np.uint8)
