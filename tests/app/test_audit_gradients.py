"""Gradients follow the logits that the detector itself gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from countermark.app.audit.gradients import differentiable
from countermark.detectors.cnn_stages import StageDetector


class Holder:
    """A detector as far as gradients ask: its network."""

    def __init__(self, network: StageDetector) -> None:
        self.network = network


def test_a_backbone_with_stages_has_gradients() -> None:
    network = StageDetector.create({"pretrained": "", "stages": [0, 1, 2]}, 0)
    network.set_head(np.random.default_rng(0).normal(size=network.feature_shape[0]), 0.5)
    side, logits = differentiable(Holder(network))
    image = np.random.default_rng(1).integers(0, 256, (side, side, 3)).astype(np.uint8)
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    x.requires_grad_(True)
    found = logits(x)
    assert found.shape == (1,)
    assert float(found.detach()) == pytest.approx(float(network.logits([image])[0]), abs=0.05)
    found.sum().backward()
    assert x.grad is not None and float(x.grad.abs().sum()) > 0
