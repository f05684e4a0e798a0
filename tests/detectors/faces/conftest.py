"""Drawn faces: the finder takes them for faces, and no photograph of anybody is needed."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest


def draw_face(side: int = 256, skin: tuple[int, int, int] = (224, 182, 156)) -> np.ndarray:
    """uint8 RGB [side, side, 3]: head and shoulders before a plain wall, the eyes at 44 % of the height."""
    scale = side * 4
    picture = np.full((scale, scale, 3), (150, 170, 190), np.uint8)
    dark = tuple(int(c * 0.93) for c in skin)

    def oval(x: float, y: float, wide: float, high: float, colour: tuple[int, ...], line: float = -1) -> None:
        middle, axes = (int(x * scale), int(y * scale)), (int(wide * scale), int(high * scale))
        thickness, end = (-1, 360) if line < 0 else (int(line * scale), 360)
        start = 180 if line > 0 else 0
        cv2.ellipse(picture, middle, axes, 0, start, end, colour, thickness, cv2.LINE_AA)

    oval(0.5, 1.0, 0.38, 0.25, (60, 70, 110))
    oval(0.5, 0.75, 0.1, 0.15, dark)
    oval(0.5, 0.42, 0.25, 0.32, (60, 40, 30))
    oval(0.5, 0.48, 0.21, 0.28, skin)
    for x in (0.29, 0.71):
        oval(x, 0.5, 0.03, 0.06, dark)
    for x in (0.41, 0.59):
        oval(x, 0.44, 0.045, 0.02, (245, 245, 245))
        oval(x, 0.44, 0.02, 0.02, (60, 40, 30))
        oval(x, 0.395, 0.05, 0.012, (70, 45, 35), 0.012)
    oval(0.5, 0.54, 0.025, 0.015, (190, 140, 120))
    oval(0.5, 0.64, 0.07, 0.02, (180, 80, 80))
    soft = cv2.GaussianBlur(picture, (0, 0), 0.006 * scale)
    return cv2.resize(soft, (side, side), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="session")
def drawn() -> Callable[..., np.ndarray]:
    return draw_face
