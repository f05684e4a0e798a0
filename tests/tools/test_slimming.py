"""Narrow copies of a tower."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from slimming import slim_trunk
from tower_source import sample_views

from countermark.core.errors import TrainingError
from countermark.core.weights import WeightsCard
from countermark.detectors.recipes.store import DRAWN, ViewStore
from countermark.detectors.towers import library as towers
from countermark.detectors.towers.library import load_tower, load_trunk, save_trunk
from countermark.detectors.towers.vit import ClipTrunk


@pytest.fixture(scope="module")
def trunk() -> ClipTrunk:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = ClipTrunk(1)
        for weight in made.parameters():
            if weight.ndim == 2:
                torch.nn.init.normal_(weight, std=0.04)
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def views() -> torch.Tensor:
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (9, 14, 14, 3), dtype=np.uint8)
    return torch.from_numpy(coarse.repeat(16, axis=1).repeat(16, axis=2)).permute(0, 3, 1, 2).contiguous()


def test_heads_that_use_half_of_their_dimensions_lose_nothing(trunk: ClipTrunk, views: torch.Tensor) -> None:
    trunk = copy.deepcopy(trunk)
    qkv: Any = trunk.vit.blocks[0].attn.qkv
    unused = torch.arange(len(qkv.weight)) % 64 >= 32
    qkv.weight[unused], qkv.bias[unused] = 0, 0
    same = slim_trunk(trunk, views[:2], head_dim=32, hidden=3072)
    wanted, found = trunk(views[2:6], [1], (0, 1)), same(views[2:6], [1], (0, 1))
    assert torch.allclose(found, wanted, atol=1e-3 * float(wanted.abs().max()))


def test_a_narrow_copy_is_small_and_close_on_new_views(trunk: ClipTrunk, views: torch.Tensor) -> None:
    slim = slim_trunk(trunk, views[:6], head_dim=32, hidden=640, bits=5)
    assert sum(p.numel() for p in slim.vit.blocks.parameters()) < 0.4 * sum(
        p.numel() for p in trunk.vit.blocks.parameters()
    )
    wanted, found, before = (
        t.tokens(views[6:], [1])[0] for t in (trunk, slim, ClipTrunk(1, head_dim=32, hidden=640))
    )
    spread = (wanted - wanted.mean(dim=(0, 1))).square().mean()
    assert (found - wanted).square().mean() < 0.6 * spread < (before - wanted).square().mean()


def test_what_is_saved_is_what_was_fitted(
    trunk: ClipTrunk, views: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slim = slim_trunk(trunk, views[:2], head_dim=32, hidden=640, bits=4)
    card = WeightsCard(name="slim", kind="extractor", family="clip-vit-b16")
    save_trunk(tmp_path, slim, card, bits=4, group=64)
    monkeypatch.setattr(towers, "TOWERS", tmp_path)
    load_tower.cache_clear()
    try:
        loaded = load_trunk("slim", 1)
    finally:
        load_tower.cache_clear()
    assert (loaded.head_dim, loaded.hidden) == (32, 640)
    # fp16 for what is not packed; codes come back as they were rounded before fitting.
    assert torch.allclose(loaded(views[:2], [1]), slim(views[:2], [1]), atol=2e-2)
    restored = loaded.vit.blocks[0].attn.proj.weight
    assert torch.allclose(restored, slim.vit.blocks[0].attn.proj.weight, atol=1e-6)


def test_views_to_calibrate_on_are_drawn_ones(tmp_path: Path) -> None:
    store = ViewStore(tmp_path, 4)
    store.state[1:3] = DRAWN
    store.views[1], store.views[2] = 10, 20
    found = sample_views(store, 2, seed=0)
    assert found.shape == (2, 3, 224, 224) and sorted(found[:, 0, 0, 0].tolist()) == [10, 20]
    with pytest.raises(TrainingError, match="2 items are drawn"):
        sample_views(store, 3, seed=0)
