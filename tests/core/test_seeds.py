"""Local randomness: a seed and labels decide, nothing global does."""

from __future__ import annotations

import numpy as np
import torch

from countermark.core.seeds import derive, rng, torch_rng, torch_seeded


def test_labels_and_seed_decide() -> None:
    assert derive(1, "a", 2) == derive(1, "a", "2") != derive(1, "a", 3)
    assert derive(1, "ab") != derive(1, "a", "b")
    assert rng(3, "x").integers(1000) == rng(3, "x").integers(1000)


def test_global_generators_are_left_alone() -> None:
    np.random.seed(0)
    torch.manual_seed(0)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    rng(1).random(5)
    torch.randn(3, generator=torch_rng(1))
    assert np.array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.get_rng_state())


def test_seeded_torch_draws_the_same_and_leaves_no_trace() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with torch_seeded(7):
        one = torch.rand(3)
    with torch_seeded(7):
        two = torch.rand(3)
    assert torch.equal(one, two) and torch.equal(torch.rand(3), expected)
