"""Pictures that every test machine has: scikit-learn's two photographs, and made ones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

PAYLOAD = bytes.fromhex("5a313233343500ff")


@pytest.fixture(scope="session")
def photograph() -> np.ndarray:
    """A temple, 427 x 640."""
    return np.ascontiguousarray(load_sample_image("china.jpg"))


@pytest.fixture(scope="session")
def flower() -> np.ndarray:
    """A flower before a soft background, 427 x 640."""
    return np.ascontiguousarray(load_sample_image("flower.jpg"))


@pytest.fixture(scope="session")
def marked(photograph: np.ndarray) -> np.ndarray:
    from countermark.provenance import watermark

    return watermark.embed(photograph, PAYLOAD)


@pytest.fixture(scope="session")
def clouds() -> np.ndarray:
    """Soft random texture, 400 x 500, with a flat sky above."""
    random = np.random.default_rng(11)
    noise = random.standard_normal((400, 500, 3)).astype(np.float32)
    rough = sum(cv2.GaussianBlur(noise, (0, 0), s) * s for s in (1.5, 4.0, 12.0))
    picture = np.clip(128 + 28 * np.asarray(rough), 0, 255)
    picture[:120] = (150, 180, 220)
    return picture.astype(np.uint8)
