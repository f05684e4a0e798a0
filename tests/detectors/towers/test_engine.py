"""The engine without PyTorch against the module in PyTorch, and its 8-bit products against float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from countermark.core.errors import ConfigError
from countermark.detectors.towers.engine import (
    TowerEngine,
    cut_patches,
    exact_products,
    measure_ranges,
    pool_tokens,
)
from countermark.detectors.towers.shape import ALL_POOLS
from countermark.detectors.towers.vit import ClipTrunk

WIDTHS = [{}, {"head_dim": 32, "hidden": 640}]


def made(widths: dict[str, int]) -> tuple[ClipTrunk, dict[str, np.ndarray]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        trunk = ClipTrunk(2, **widths).eval().requires_grad_(False)
        for name, value in trunk.vit.state_dict().items():
            # Biases and gains that differ from 0 and 1, or mistakes in them would not show.
            value.add_(torch.randn(value.shape) * (0.2 if "norm" in name or "bias" in name else 0.02))
    return trunk, {name: value.numpy() for name, value in trunk.vit.state_dict().items()}


def views(count: int, seed: int = 3) -> np.ndarray:
    """Noise of several scales, so that views differ."""
    random = np.random.default_rng(seed)
    found = [
        np.kron(random.integers(0, 256, (n, n, 3)), np.ones((224 // n, 224 // n, 1)))
        for n in (7, 14, 28, 56, 112)
    ]
    return np.stack([found[i % len(found)] for i in range(count)]).astype(np.uint8)


def in_torch(trunk: ClipTrunk, batch: np.ndarray, blocks: list[int]) -> list[np.ndarray]:
    with torch.inference_mode():
        return [t.numpy() for t in trunk.tokens(torch.from_numpy(batch).permute(0, 3, 1, 2), blocks)]


@pytest.mark.parametrize("widths", WIDTHS)
def test_float32_is_the_module_in_pytorch(widths: dict[str, int]) -> None:
    trunk, state = made(widths)
    engine = TowerEngine(state, depth=2, head_dim=trunk.head_dim, precision="float32")
    batch = views(3)
    for found, wanted in zip(engine.tokens(batch, [2, 1]), in_torch(trunk, batch, [2, 1]), strict=True):
        assert found.shape == (3, 197, 768) and found.dtype == np.float32
        assert np.abs(found - wanted).max() < 1e-4
    pooled = engine.pooled(batch, [1, 2], ALL_POOLS)
    with torch.inference_mode():
        wanted = trunk(torch.from_numpy(batch).permute(0, 3, 1, 2), [1, 2]).numpy()
    assert np.abs(pooled - wanted).max() < 1e-4


@pytest.mark.skipif(not exact_products(), reason="8-bit products saturate here, so that they are not used")
@pytest.mark.parametrize("widths", WIDTHS)
def test_eight_bits_are_close_and_have_no_bias(widths: dict[str, int]) -> None:
    trunk, state = made(widths)
    ranges = measure_ranges(state, views(5), depth=2, head_dim=trunk.head_dim)
    engine = TowerEngine({**state, **ranges}, depth=2, head_dim=trunk.head_dim)
    assert engine.precision == "int8"
    batch = views(5)
    exact = in_torch(trunk, batch, [2])[0]
    found = engine.tokens(batch, [2])[0]
    start = in_torch(trunk, batch, [1])[0]
    update = np.std(exact - start)
    assert 0 < np.std(found - exact) < 0.05 * update
    # Over the views that the ranges were measured on, the mean of every channel is right.
    off = (found - exact)[:, 1:].mean(axis=(0, 1))
    assert np.abs(off).max() < 0.002 * update


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_view_does_not_depend_on_the_views_beside_it(precision: str) -> None:
    _, state = made({})
    ranges = measure_ranges(state, views(2), depth=1)
    engine = TowerEngine({**state, **ranges}, depth=1, precision=precision)
    batch = views(4)
    together = engine.pooled(batch, [1])
    alone = np.concatenate([engine.pooled(batch[i : i + 1], [1]) for i in range(4)])
    assert np.array_equal(together, alone)


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _, state = made({})
    engine = TowerEngine(state, depth=1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    one = engine.pooled(views(3), [1])
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert np.array_equal(engine.pooled(views(3), [1]), one)


def test_patches_are_cut_row_by_row() -> None:
    batch = views(2)
    patches = cut_patches(batch)
    assert patches.shape == (2, 196, 768)
    assert np.array_equal(patches[1, 15].reshape(16, 16, 3), batch[1, 16:32, 16:32])


def test_pools_are_class_mean_and_deviation() -> None:
    tokens = np.random.default_rng(0).standard_normal((2, 197, 768)).astype(np.float32)
    found = pool_tokens(tokens)
    assert np.array_equal(found[:, 0], tokens[:, 0])
    assert np.allclose(found[:, 1], tokens[:, 1:].mean(axis=1))
    assert np.allclose(found[:, 2], tokens[:, 1:].std(axis=1, ddof=1))


def test_mistakes_are_named() -> None:
    _, state = made({})
    with pytest.raises(ConfigError):
        TowerEngine(state, depth=1, precision="bf16")
    with pytest.raises(ConfigError, match="ranges"):
        TowerEngine(state, depth=1, precision="int8")
    engine = TowerEngine(state, depth=1)
    assert engine.precision == "float32"
    with pytest.raises(ConfigError):
        engine.tokens(views(1), [2])
    with pytest.raises(ConfigError):
        engine.tokens(views(1).astype(np.float32), [1])
