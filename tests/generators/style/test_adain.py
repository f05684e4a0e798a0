"""Statistics of features, adapted and mixed."""

from __future__ import annotations

import numpy as np
import torch

from countermark.generators.base import to_tensor
from countermark.generators.style import encoder as encoders
from countermark.generators.style.adain import AdainConfig, AdainDecoder, adapt, distance, measure, mix
from countermark.generators.style.training import calibrate

FILTERS = encoders.load_encoder("filters")


TINY = AdainConfig(encoder="filters", channels=(67, 67, 67, 67), width=4)


def content(height: int = 48, width: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    wave = 60 + 50 * np.sin(rows / 3) * np.cos(columns / 5)
    return np.stack([rows * 4 % 256, columns * 3 % 256, wave], -1).astype(np.uint8)


def stripes(side: int = 48, gap: int = 4) -> np.ndarray:
    rows, columns = np.mgrid[0:side, 0:side]
    on = ((rows + columns) // gap % 2).astype(np.uint8)
    return np.stack([on * 220, on * 60 + 20, 200 - on * 180], -1).astype(np.uint8)


def decoder() -> AdainDecoder:
    torch.manual_seed(0)
    network = AdainDecoder(TINY).eval().requires_grad_(False)
    calibrate(network, FILTERS, to_tensor(content()[None]))
    torch.nn.init.normal_(network.out.weight, std=0.2)
    return network


def test_adapted_features_have_the_statistics_of_the_style() -> None:
    network = decoder()
    one, two = (network.features(FILTERS, to_tensor(i[None])) for i in (content(48, 48), stripes()))
    adapted = measure(adapt(one, measure(one), measure(two)))
    assert float(distance(adapted, measure(two))) < 1e-3 * float(distance(measure(one), measure(two)))


def test_mixing_statistics_mixes_the_adapted_features() -> None:
    network = decoder()
    maps, one, two = (
        network.features(FILTERS, to_tensor(i[None])) for i in (content(48, 48), stripes(), stripes(48, 9))
    )
    own = measure(maps)
    apart = [adapt(maps, own, measure(style)) for style in (one, two)]
    together = adapt(maps, own, mix([measure(one), measure(two)], [1.0, 3.0]))
    for a, b, c in zip(*apart, together, strict=True):
        assert torch.allclose(0.25 * a + 0.75 * b, c, atol=1e-4)
