"""Shapes of the part that is exchanged: ellipses, polygons, brush strokes, segments of the picture.

>>> import numpy as np
>>> from countermark.core.seeds import rng
>>> picture = rng(0).integers(0, 256, (96, 128, 3)).astype(np.uint8)
>>> mask = draw_mask(picture, rng(1))
>>> mask.shape, bool(0 < mask.mean() < 0.6)
((96, 128), True)
"""

from __future__ import annotations

import cv2
import numpy as np

from countermark.core.images import Pixels

SMALLEST, LARGEST = 0.02, 0.4


def draw_mask(picture: Pixels, generator: np.random.Generator) -> np.ndarray:
    """Float32 H x W in [0, 1]: 2-40 % of the picture, hard or soft at the edge."""
    height, width = picture.shape[:2]
    for _ in range(6):
        share = float(np.exp(generator.uniform(np.log(SMALLEST * 1.2), np.log(LARGEST))))
        kind = int(generator.integers(5))
        if kind == 0:
            hard = _ellipse(height, width, share, generator)
        elif kind == 1:
            hard = _polygon(height, width, share, generator)
        elif kind == 2:
            hard = _brush(height, width, share, generator)
        elif kind == 3:
            hard = _segment(picture, share, generator)
        else:
            hard = _rectangle(height, width, share, generator)
        if SMALLEST <= float(hard.mean()) <= LARGEST * 1.3:
            break
    else:
        hard = _ellipse(height, width, 0.1, generator)
    soft = hard.astype(np.float32)
    if generator.random() < 0.6:
        soft = np.clip(cv2.GaussianBlur(soft, (0, 0), float(generator.uniform(0.6, 5))), 0, 1)
    return soft


def _place(height: int, width: int, generator: np.random.Generator) -> tuple[float, float]:
    return float(generator.uniform(0.1, 0.9) * width), float(generator.uniform(0.1, 0.9) * height)


def _ellipse(height: int, width: int, share: float, generator: np.random.Generator) -> np.ndarray:
    aspect = float(np.exp(generator.uniform(-0.7, 0.7)))
    radius = np.sqrt(share * height * width / np.pi)
    axes = (max(2, round(radius * aspect)), max(2, round(radius / aspect)))
    centre = tuple(round(n) for n in _place(height, width, generator))
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, centre, axes, float(generator.uniform(0, 180)), 0, 360, 1, -1)
    return mask


def _rectangle(height: int, width: int, share: float, generator: np.random.Generator) -> np.ndarray:
    aspect = float(np.exp(generator.uniform(-0.7, 0.7)))
    side = np.sqrt(share * height * width)
    wide, high = min(width, max(4, int(side * aspect))), min(height, max(4, int(side / aspect)))
    top, left = int(generator.integers(height - high + 1)), int(generator.integers(width - wide + 1))
    mask = np.zeros((height, width), np.uint8)
    mask[top : top + high, left : left + wide] = 1
    return mask


def _polygon(height: int, width: int, share: float, generator: np.random.Generator) -> np.ndarray:
    corners = int(generator.integers(5, 12))
    angles = np.sort(generator.uniform(0, 2 * np.pi, corners))
    radius = np.sqrt(share * height * width / np.pi) * generator.uniform(0.6, 1.6, corners)
    x, y = _place(height, width, generator)
    points = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
    return mask


def _brush(height: int, width: int, share: float, generator: np.random.Generator) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    thick = max(8, round(np.sqrt(share * height * width) * float(generator.uniform(0.3, 0.7))))
    point = np.array(_place(height, width, generator))
    heading = float(generator.uniform(0, 2 * np.pi))
    for _ in range(40):
        heading += float(generator.normal(0, 0.7))
        other = point + thick * float(generator.uniform(0.4, 1.2)) * np.array(
            [np.cos(heading), np.sin(heading)]
        )
        other = np.clip(other, 0, [width - 1, height - 1])
        ends = [tuple(int(n) for n in end) for end in (point, other)]
        cv2.line(mask, ends[0], ends[1], 1, thick)
        point = other
        if mask.mean() >= share:
            break
    return mask


def _segment(picture: Pixels, share: float, generator: np.random.Generator) -> np.ndarray:
    """What belongs together by colour and place: one connected piece of a coarse clustering."""
    height, width = picture.shape[:2]
    factor = 96 / max(height, width)
    small = cv2.resize(picture, (max(8, round(width * factor)), max(8, round(height * factor))))
    small = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), (0, 0), 1.5).astype(np.float32)
    rows, columns = np.meshgrid(*(np.linspace(0, 60, n) for n in small.shape[:2]), indexing="ij")
    values = np.concatenate([small, rows[..., None], columns[..., None]], axis=2).reshape(-1, 5)
    values = values.astype(np.float32)
    centres = values[generator.integers(0, len(values), int(generator.integers(6, 16)))]
    for _ in range(4):
        nearest = ((values[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
        for number in range(len(centres)):
            if np.any(nearest == number):
                centres[number] = values[nearest == number].mean(axis=0)
    labels = nearest.reshape(small.shape[:2])
    best, gap = np.zeros(labels.shape, np.uint8), np.inf
    for number in range(len(centres)):
        count, parts, stats, _ = cv2.connectedComponentsWithStats((labels == number).astype(np.uint8))
        for part in range(1, count):
            distance = abs(np.log(stats[part, cv2.CC_STAT_AREA] / labels.size / share))
            if distance < gap and generator.random() < 0.8:
                best, gap = (parts == part).astype(np.uint8), distance
    large = cv2.resize(best.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return (cv2.GaussianBlur(large, (0, 0), 3) > 0.45).astype(np.uint8)
