"""The CLIP tower that the detectors come with, as a feature extractor for KID and its kin.

Generators are trained against features of EfficientNet-Lite0 (``families.projected``), so that figures in
those features flatter them; the tower has never been looked at in training.
"""

from __future__ import annotations

import numpy as np

from countermark.core.features import Extractor
from countermark.detectors.towers.library import load_engine, load_state

TOWER = "clip-vit-b16"


def tower_extractor() -> Extractor:
    """Features [N, 768] of pictures at 224 px: the class token after the last block that is shipped,
    with its mean taken off and its spread set to 1."""
    depth = int(load_state(TOWER, 1)[1]["depth"])
    engine = load_engine(TOWER, depth)

    def transform(images: np.ndarray) -> np.ndarray:
        token = engine.pooled(np.ascontiguousarray(images), [depth], [0])[:, 0, 0]
        token = token - token.mean(axis=1, keepdims=True)
        found: np.ndarray = token / token.std(axis=1, keepdims=True)
        return found

    return Extractor(f"{TOWER} block {depth}", 224, transform)
