"""The trunk in onnxruntime computes what the network in PyTorch computes, in pieces as in one."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from countermark.core.errors import WeightsError
from countermark.detectors.regions import engine as module
from countermark.detectors.regions.engine import RegionEngine
from countermark.detectors.regions.shape import BLOCK, EMBEDDED, REACH

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


@pytest.mark.parametrize(("high", "wide"), [(720, 96), (96, 720), (344, 408)])
def test_pieces_give_what_the_whole_gives(
    arrays: Arrays, noise: Noise, monkeypatch: pytest.MonkeyPatch, high: int, wide: int
) -> None:
    engine = RegionEngine(arrays)
    picture = noise(high, wide)
    whole = engine.embeddings(picture)
    sizes = []
    monkeypatch.setattr(module, "PIECE", 20)
    run = engine._trunk.run
    monkeypatch.setattr(
        engine, "_trunk", SimpleNamespace(run=lambda o, x: (sizes.append(x["x"].shape), run(o, x))[1])
    )
    assert np.allclose(engine.embeddings(picture), whole, atol=1e-5)
    assert len(sizes) > 1 and max(max(size[1:3]) for size in sizes) <= (20 + 2 * REACH) * BLOCK


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
