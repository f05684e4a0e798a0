"""The even space: there and back, more even than before, the same whatever the order."""

from __future__ import annotations

import torch

from countermark.core.autoencoder import CHANNELS
from countermark.generators.latents.space import LatentSpace


def _uneven(count: int = 64) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    plain = torch.randn(count, CHANNELS, 4, 4, generator=draw)
    mixing = torch.randn(CHANNELS, CHANNELS, generator=draw) * torch.logspace(0, -2, CHANNELS)
    return torch.einsum("nchw,dc->ndhw", plain, mixing) + 3


def test_there_and_back_is_the_identity():
    latents = _uneven()
    space = LatentSpace().measure(latents)
    assert torch.allclose(space.back(space.there(latents)), latents, atol=1e-3)


def test_axes_are_uncorrelated_and_more_even():
    latents = _uneven()
    spread = {even: LatentSpace().measure(latents, even).there(latents) for even in (0.0, 0.7, 1.0)}
    ratios = {}
    for even, found in spread.items():
        flat = found.permute(1, 0, 2, 3).flatten(1)
        cov = torch.cov(flat)
        assert (cov - cov.diag().diag()).abs().max() < 1e-2 * cov.diag().max()
        assert torch.isclose(cov.diag().mean(), torch.tensor(1.0), atol=0.05)
        ratios[even] = float((cov.diag().max() / cov.diag().min()).sqrt())
    assert ratios[0.0] > ratios[0.7] > ratios[1.0]


def test_one_channel_without_spread_does_no_harm():
    latents = _uneven()
    latents[:, 5] = 0
    found = LatentSpace().measure(latents).there(latents)
    assert bool(found.isfinite().all())
