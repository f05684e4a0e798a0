"""Folding keeps the numbers, and a detector scores with the folded network."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from countermark.detectors.families.convolutional import BackboneDetector
from countermark.detectors.scoring.inference import fold_batch_norms, for_scoring


def trained_looking(network: nn.Module, seed: int) -> nn.Module:
    draw = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            shape = module.running_mean.shape
            module.running_mean = torch.randn(shape, generator=draw)
            module.running_var = torch.rand(shape, generator=draw) + 0.5
            module.weight.data = torch.rand(shape, generator=draw) + 0.5
            module.bias.data = torch.randn(shape, generator=draw)
    return network.eval()


def test_folding_keeps_what_a_backbone_says() -> None:
    detector = BackboneDetector.create({"stage": 2, "side": 64}, seed=1)
    trained_looking(detector.model, 2)
    nn.init.normal_(detector.model.head.weight, generator=torch.Generator().manual_seed(3))
    fast = for_scoring(detector.model)
    assert not [m for m in fast.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [m for m in detector.model.modules() if isinstance(m, nn.BatchNorm2d)], "the original is kept"
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(4)) * 2 - 1
    with torch.inference_mode():
        before, after = detector.model(x), fast(x)
    assert torch.allclose(before, after, rtol=1e-3, atol=1e-3 * float(before.abs().max()))
    pixels = np.random.default_rng(5).integers(0, 256, (80, 90, 3)).astype(np.uint8)
    with torch.inference_mode():
        assert np.isfinite(detector.logits([pixels])).all()


def test_a_norm_that_does_not_follow_a_convolution_stays() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)).eval()
    assert fold_batch_norms(network) == 0 and isinstance(network[2], nn.BatchNorm2d)


def test_training_again_forgets_the_folded_copy(tiny_corpus) -> None:
    from countermark.detectors import FitSettings
    from countermark.detectors.training import corpus_samples

    detector = BackboneDetector.create({"stage": 1, "side": 32}, seed=1)
    samples, _ = corpus_samples(tiny_corpus)
    image = samples[0].load()
    with torch.inference_mode():
        before = detector.logits([image])
    detector.fit(samples[:12], FitSettings(steps=8, batch=4, learning_rate=0.05))
    with torch.inference_mode():
        x = detector.logits([image])
        assert not np.allclose(before, x)
