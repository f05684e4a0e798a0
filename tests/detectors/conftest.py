"""A tiny labelled corpus: smooth pictures called real, checkered ones called synthetic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from countermark.core.corpus import Corpus, CorpusRow, write_metadata
from countermark.core.images import write_image
from countermark.core.seeds import rng


def make_smooth(seed: int, side: int = 72) -> np.ndarray:
    noise = rng(seed, "smooth").integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)


def make_checkered(seed: int, side: int = 72) -> np.ndarray:
    base = make_smooth(seed, side).astype(np.int16)
    pattern = (np.indices((side, side)).sum(axis=0) // 2 % 2 * 2 - 1)[..., None] * 40
    return np.clip(base + pattern, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def smooth() -> Callable[..., np.ndarray]:
    return make_smooth


@pytest.fixture(scope="session")
def checkered() -> Callable[..., np.ndarray]:
    return make_checkered


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    rows = []
    for index in range(24):
        for label, make in (("real", make_smooth), ("synthetic", make_checkered)):
            name = f"{label}/{index:03d}.png"
            write_image(Path(folder, name), make(index + 1000 * (label == "real")))
            group = f"{label}-{index % 5}"
            rows.append(CorpusRow(name, label, group if label == "synthetic" else "", group))
    return write_metadata(folder, rows)
