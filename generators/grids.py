"""Sample grids: many images on one sheet, as pixels or as a PNG file.

>>> import numpy as np
>>> sheet(np.zeros((6, 8, 8, 3), np.uint8), columns=3, gap=0).shape
(16, 24, 3)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from countermark.core.errors import ConfigError
from countermark.core.images import Pixels, write_image

if TYPE_CHECKING:
    from countermark.generators.base import LoadedGenerator


def sheet(
    images: np.ndarray, *, columns: int | None = None, gap: int = 2, scale: int = 1, background: int = 255
) -> Pixels:
    """Lays uint8 [N, H, W, 3 or 1] out row by row; returns uint8 RGB.

    Args:
        columns: Images in a row; by default about the square root of N.
        scale: Whole-number enlargement without smoothing.
    """
    count, height, width, channels = images.shape
    if not count:
        raise ConfigError("A grid needs at least one image.")
    columns = min(columns or int(np.ceil(np.sqrt(count))), count)
    rows = -(-count // columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), background, np.uint8)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = np.broadcast_to(
            image, (height, width, 3) if channels == 3 else (height, width, 1)
        )
    if scale > 1:
        size = (canvas.shape[1] * scale, canvas.shape[0] * scale)
        canvas = cv2.resize(canvas, size, interpolation=cv2.INTER_NEAREST)
    return canvas


def sample_grid(
    generator: LoadedGenerator,
    path: Path | str,
    *,
    count: int = 36,
    seed: int = 0,
    scale: int = 1,
    overwrite: bool = False,
) -> Path:
    """Writes a PNG of samples; a class-conditional generator gets one row a class (first ten)."""
    if generator.classes:
        names = generator.classes[:10]
        columns = max(count // len(names), 1)
        images = np.concatenate(
            [generator.sample(columns, seed=seed + columns * i, condition=c) for i, c in enumerate(names)]
        )
    else:
        images, columns = generator.sample(count, seed=seed), None
    return write_image(path, sheet(images, columns=columns, scale=scale), overwrite=overwrite)
