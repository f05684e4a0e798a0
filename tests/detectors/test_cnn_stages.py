from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from countermark.core.corpus import Corpus
from countermark.core.errors import ConfigError
from countermark.core.stats import auroc
from countermark.detectors import FitSettings, load_detector, train_detector
from countermark.detectors.cnn_stages import StageDetector

Make = Callable[..., np.ndarray]
PLAIN = {"pretrained": "", "stages": [0, 1, 2]}


def test_a_head_on_random_stages_learns_and_reloads_the_same(
    tiny_corpus: Corpus, tmp_path: Path, checkered: Make, smooth: Make
) -> None:
    path = train_detector(
        tiny_corpus,
        tmp_path,
        name="stages",
        family="timm-stages",
        config=PLAIN,
        settings=FitSettings(seed=1, views=1),
    )
    images = [make(i) for make in (smooth, checkered) for i in range(500, 504)]
    detector = load_detector(path)
    scores = detector.score(images)
    assert auroc(np.repeat([0, 1], 4), scores) > 0.8
    assert np.array_equal(scores, load_detector(path).score(images))


def test_the_map_is_the_images_own_logit_on_average() -> None:
    network = StageDetector.create(PLAIN, 0)
    generator = np.random.default_rng(0)
    network.set_head(generator.normal(size=network.feature_shape[0]), 0.25)
    image = generator.integers(0, 256, (240, 320, 3)).astype(np.uint8)
    found = network.logit_map(image)
    assert found.ndim == 2 and found.shape[1] >= found.shape[0] >= 14
    assert found.mean() == pytest.approx(network.logits([image])[0], abs=1e-3)
    assert found.std() > 0


def test_stored_features_give_the_same_logits_as_images() -> None:
    from countermark.detectors.features import ALL_KINDS
    from countermark.detectors.views import make_views

    network = StageDetector.create(PLAIN, 0)
    generator = np.random.default_rng(1)
    weight = generator.normal(size=network.feature_shape[0])
    network.set_head(weight, -0.5)
    image = generator.integers(0, 256, (300, 260, 3)).astype(np.uint8)
    features = network.view_features(np.stack(make_views(image, ALL_KINDS)))[None]
    expected = network.head_input(features) @ weight - 0.5
    assert network.logits([image]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("config", [{"depth": 3}, {"backbone": "nothing_like_it", "pretrained": ""}])
def test_wrong_configs_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"timm"):
        StageDetector.create(config, 0)
