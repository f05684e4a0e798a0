"""The trunk in onnxruntime computes what the network in PyTorch computes, in strips as in one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from countermark.core.errors import WeightsError
from countermark.detectors.regions import engine as module
from countermark.detectors.regions.engine import RegionEngine
from countermark.detectors.regions.shape import EMBEDDED

Arrays = dict[str, np.ndarray]
Noise = Callable[..., np.ndarray]


def test_it_computes_what_the_network_computes(noise: Noise) -> None:
    torch = pytest.importorskip("torch")
    from region_training.network import RegionNetwork, folded

    torch.manual_seed(0)
    network = RegionNetwork().train()
    for step in range(4):
        network(torch.from_numpy(noise(64, 64, step)).permute(2, 0, 1)[None])
    network.eval()
    picture = noise(120, 200, 9)
    with torch.inference_mode():
        expected = network(torch.from_numpy(picture).permute(2, 0, 1)[None])[0].numpy()
    assert np.abs(RegionEngine(folded(network)).logits(picture) - expected).max() < 1e-4


def test_strips_give_what_the_whole_gives(
    arrays: Arrays, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = RegionEngine(arrays)
    picture = noise(720, 96)
    whole = engine.embeddings(picture)
    monkeypatch.setattr(module, "STRIP_PIXELS", 96 * 8 * 40)
    assert np.allclose(engine.embeddings(picture), whole, atol=1e-5)


def test_rests_at_the_edge_are_cut(arrays: Arrays, noise: Noise) -> None:
    engine = RegionEngine(arrays)
    picture = noise(71, 90)
    assert engine.logits(picture).shape == (8, 11)
    assert np.array_equal(engine.logits(picture), engine.logits(picture[:64, :88]))


def test_one_block_is_enough(arrays: Arrays, noise: Noise) -> None:
    found = RegionEngine(arrays).logits(noise(8, 8))
    assert found.shape == (1, 1) and np.isfinite(found).all()


def test_a_flat_picture_gives_numbers(arrays: Arrays) -> None:
    assert np.isfinite(RegionEngine(arrays).logits(np.zeros((64, 64, 3), np.uint8))).all()


@pytest.mark.parametrize("name", ["residual.weight", "wide.2.bias", "hidden.weight"])
def test_missing_and_misshapen_arrays_are_refused(arrays: Arrays, name: str) -> None:
    misshapen = {**arrays, name: np.zeros((EMBEDDED + 1, 2), np.float32)}
    missing = {key: value for key, value in arrays.items() if key != name}
    for wrong in (missing, misshapen):
        with pytest.raises(WeightsError, match=name):
            RegionEngine(wrong)
