from pathlib import Path

import numpy as np
import pytest
import torch

from countermark.core.corpus import Corpus
from countermark.core.errors import ConfigError
from countermark.detectors import load_detector
from countermark.detectors.cnn_stages import StageDetector
from countermark.detectors.recipe import Recipe, train_recipe
from countermark.detectors.tuning import TunePart, cross_calibrate, schedule, tune

PLAIN = {"pretrained": "", "stages": [0, 1]}


def _views(count: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    views = generator.integers(90, 160, (count, 3, 64, 64, 3)).astype(np.uint8)
    views[1::2, :, ::2] //= 2  # every second item is striped
    return views


def _network() -> StageDetector:
    network = StageDetector.create(PLAIN, 0)
    network.set_head(np.zeros(network.feature_shape[0]), 0.0)
    return network


def test_tuning_learns_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    views, labels = _views(12), np.arange(12) % 2
    part = TunePart(steps=14, batch=6, learning_rate=3e-3)
    network, kept = _network(), tmp_path / "kept.safetensors"
    arguments = (views, np.arange(12), labels.astype(float), np.ones(12))
    assert not tune(network, *arguments, 14, part, seed=1, checkpoint=kept, minutes=0)
    assert kept.exists()
    assert tune(network, *arguments, 14, part, seed=1, checkpoint=kept)
    features = np.stack([network.view_features(v) for v in views])
    logits = network.head_input(features) @ network.weight.numpy() + float(network.bias)
    assert logits[labels == 1].min() > logits[labels == 0].max()
    assert not any(p.requires_grad for p in network.trunk.parameters())


def test_folded_weights_are_restored_as_they_were() -> None:
    network = _network()
    generator = np.random.default_rng(2)
    for module in network.trunk.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean += 0.1
    network.set_head(generator.normal(size=network.feature_shape[0]), 0.1)
    image = generator.integers(0, 256, (80, 90, 3)).astype(np.uint8)
    before = network.logits([image])
    network.fold()
    tensors, config = network.state()
    assert config["folded"] and not any("running_mean" in name for name in tensors)
    again = StageDetector.restore(config, tensors)
    assert network.logits([image]) == pytest.approx(before, abs=2e-2)
    assert again.logits([image]) == pytest.approx(before, abs=2e-2)


def test_the_rate_rises_and_falls() -> None:
    assert schedule(0) < schedule(0.1) > schedule(0.6) > schedule(1.0) > 0


def test_thresholds_come_from_other_folds() -> None:
    labels = np.tile([0, 0, 0, 1], 40)
    folds = np.repeat([0, 1], 80)
    logits = np.where(labels == 1, 2.0, -2.0) + 3.0 * folds + np.linspace(0, 0.5, 160)
    names = np.where(labels == 1, "g", "r").astype("U8")
    names = np.char.add(names, folds.astype(str))
    found = cross_calibrate(
        logits, labels, names, names, folds, np.ones(160, bool), calibrator="platt", max_fpr=0.05
    )
    # The second fold's scores lie three higher: by the first fold's threshold its real images are flagged.
    flagged = found.probabilities >= found.likely
    assert flagged[(folds == 1) & (labels == 0)].mean() > 0.9
    assert flagged[(folds == 0) & (labels == 0)].mean() == 0


def test_a_recipe_tunes_a_backbone(tiny_corpus: Corpus, tmp_path: Path) -> None:
    recipe = Recipe(
        name="small",
        seed=1,
        family="timm-stages",
        network=PLAIN,
        draws={"deliveries": ["native"], "histories": 0, "hard": 0, "twins": 0, "measured": []},
        calibration={"folds": 4, "kind": "platt"},
        tune={"steps": 4, "more": 2, "batch": 4, "held": 2},
    )
    path = train_recipe(recipe, [tiny_corpus.root], tmp_path / "out", work=tmp_path / "work")
    assert path is not None
    card = load_detector(path).card
    assert 0 < card.metrics["native"]["images"] < 48  # only what was held apart
    assert card.config["network"]["folded"] and card.trained["held_sources"]
    probe = recipe.model_copy(update={"family": "clip-probe", "network": {"trunk": "random", "depth": 1,
                                                                           "blocks": [1]}})  # fmt: skip
    with pytest.raises(ConfigError, match="timm-stages"):
        train_recipe(probe, [tiny_corpus.root], tmp_path / "out2", work=tmp_path / "work2")
