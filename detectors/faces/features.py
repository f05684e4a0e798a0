"""Features of a face: the tower's tokens, pooled inside the face, around it and outside.

A face that was put in differs from what is around it, in grain, sharpness or colour; so the means of both
stand side by side, and a linear head can take their difference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from countermark.detectors.faces.views import CLOSE, HEAD
from countermark.detectors.towers.engine import TowerEngine
from countermark.detectors.towers.shape import GRID, WIDTH

#: Half axes of a face and where the ring around it ends, in sides of the finder's box and in radii.
AXES, RING = (0.42, 0.52), 1.6
#: What is pooled of the head's view (first five) and of the face's.
POOLS = (
    *("head.class", "head.inside", "head.ring", "head.outside", "head.inside-std"),
    *("face.class", "face.mean", "face.std"),
)
#: Faces computed at a time.
BATCH = 8


def feature_size(blocks: Sequence[int]) -> int:
    """Features of one face."""
    return len(blocks) * len(POOLS) * WIDTH


def face_features(engine: TowerEngine, views: np.ndarray, blocks: Sequence[int]) -> np.ndarray:
    """float32 [n, feature_size(blocks)] of uint8 views [n, 2, 224, 224, 3] (``views.face_views``)."""
    found = np.empty((len(views), len(blocks), len(POOLS), WIDTH), np.float32)
    for start in range(0, len(views), BATCH):
        part = views[start : start + BATCH]
        for place, tokens in enumerate(engine.tokens(part.reshape(-1, *part.shape[2:]), blocks)):
            pairs = tokens.reshape(len(part), 2, *tokens.shape[1:])
            found[start : start + len(part), place] = [_pooled(head, face) for head, face in pairs]
    return found.reshape(len(views), -1)


def _pooled(head: np.ndarray, face: np.ndarray) -> np.ndarray:
    """[8, 768] of two views' tokens [197, 768], the class token first."""
    inside, ring, outside = _REGIONS
    around, close = head[1:], face[1:]
    return np.stack(
        [
            head[0],
            around[inside].mean(axis=0),
            around[ring].mean(axis=0),
            around[outside].mean(axis=0),
            around[inside].std(axis=0),
            face[0],
            close.mean(axis=0),
            close.std(axis=0),
        ]
    )


def _regions() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of the head view's 196 patches lie inside the face, in a ring around it, and outside."""
    places = ((np.arange(GRID) + 0.5) / GRID - 0.5) * HEAD
    x, y = np.meshgrid(places, places)
    radius = np.hypot(x / AXES[0], (y + 0.03) / AXES[1]).ravel()
    return radius < 1, (radius >= 1) & (radius < RING), radius >= RING


_REGIONS = _regions()
assert CLOSE < HEAD
