"""Feature extractors: shapes, order, and the weights that are cut out of an old file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

from countermark.core import lite0
from countermark.core.errors import MissingExtraError, UnknownNameError, WeightsError
from countermark.core.features import EXTRACTORS, fit_square, load_extractor


def test_dct_tells_noise_from_flat_and_mirrors_from_themselves():
    extractor = load_extractor("dct")
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, 40, 50, 3), np.uint8)
    flat = np.full((2, 64, 64, 3), 127, np.uint8)
    a, b = extractor(noise), extractor(flat)
    assert a.shape == b.shape and a.dtype == np.float32 and np.isfinite(a).all()
    assert np.linalg.norm(a[0] - a[1]) < np.linalg.norm(a[0] - b[0])
    assert np.array_equal(b[0], b[1])


def test_mixed_sizes_and_grey():
    extractor = load_extractor("dct")
    images = [np.zeros((8, 9, 3), np.uint8), np.zeros((100, 30, 3), np.uint8), np.zeros((5, 5, 1), np.uint8)]
    assert len(extractor(images)) == 3
    assert len(extractor([])) == 0


def test_centre_square():
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, 2:6] = 200
    assert fit_square(image, 4).min() == 200


def test_unknown_extractor():
    with pytest.raises(UnknownNameError, match="dct"):
        load_extractor("clip")


def test_auto_falls_back(monkeypatch):
    monkeypatch.setattr(lite0.importlib.util, "find_spec", lambda name: None)
    assert load_extractor("auto").name == "dct"
    with pytest.raises(MissingExtraError, match="efficientnet-lite0"):
        EXTRACTORS.get("lite0")()


def test_a_changed_file_is_refused(monkeypatch):
    pytest.importorskip(lite0.PACKAGE)
    monkeypatch.setattr(lite0, "SHA256", "0" * 64)
    with pytest.raises(WeightsError, match="sha256"):
        lite0.lite0_tensors()


def test_lite0_recognises_photographs():
    pytest.importorskip(lite0.PACKAGE)
    china, flower = (fit_square(image, 224) for image in load_sample_images().images)
    network = lite0.load_lite0(classifier=True)
    pixels = torch.from_numpy(np.stack([china, flower])).permute(0, 3, 1, 2).float()
    top = network((pixels - 127) / 128).topk(3).indices.tolist()
    assert 698 in top[0]  # palace
    assert 985 in top[1] or 947 in top[1]  # daisy, mushroom
    assert load_extractor("lite0")(np.stack([china, flower])).shape == (2, 1280)
