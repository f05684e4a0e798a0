"""The structure of the autoencoder: eight times down, back to the same size, whole where pictures tile."""

from __future__ import annotations

import doctest

import pytest
import torch

from countermark.core import autoencoder
from countermark.core.seeds import torch_seeded


def test_examples() -> None:
    found = doctest.testmod(autoencoder)
    assert found.attempted and not found.failed


@pytest.mark.parametrize("padding", ["zeros", "circular"])
def test_it_follows_a_picture_that_is_rolled_only_where_padding_is_circular(padding: str) -> None:
    with torch_seeded(3), torch.no_grad():
        decoder = autoencoder.build_decoder(padding).eval()  # type: ignore[arg-type]
        latents = torch.randn(1, autoencoder.CHANNELS, 4, 4)
        rolled = decoder(latents.roll(2, 3))
        moved = decoder(latents).roll(2 * autoencoder.DOWN, 3)
    assert torch.allclose(rolled, moved, atol=1e-4) == (padding == "circular")
