"""Parts of detectors as modules, against the same in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from countermark.detectors.families.modules import HeadModule
from countermark.detectors.fitting.quadratic import fit_quadratic
from countermark.detectors.scoring.heads import Head


@pytest.mark.parametrize("piece", [0, 4])
def test_a_head_as_a_module_gives_its_logits_and_slopes(piece: int) -> None:
    x = np.random.default_rng(0).normal(3, 2, size=(90, 12)).astype(np.float32)
    y = (np.abs(x[:, 0] - 3) > 1.4).astype(float)
    head = fit_quadratic(x, y, np.ones(90), C=1.0, rank=5, piece=piece)
    given = torch.from_numpy(x).requires_grad_(True)
    logits = HeadModule(head)(given)
    assert np.allclose(logits.detach().numpy(), head.logits(x), atol=1e-4)
    logits.sum().backward()
    assert given.grad is not None
    assert np.allclose(given.grad.numpy(), head.slopes(x), atol=1e-4)


def test_a_plain_head_is_one_product() -> None:
    head = Head.plain(np.arange(3.0), 0.5)
    assert HeadModule(head)(torch.ones(1, 3)).tolist() == [3.5]
