import numpy as np
import pytest

from countermark.core.seeds import rng
from countermark.core.weights import read_card
from countermark.detectors import Detector, list_detectors, load_detector
from countermark.detectors.library import WEIGHTS


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_detector("default")


def test_cards_are_listed_with_figures_and_limits() -> None:
    names = list_detectors()
    assert names[0] == "default"
    for card in (read_card(WEIGHTS / f"{name}.safetensors") for name in names):
        assert card.kind == "detector" and card.metrics and card.limits and card.training_data


def test_default_scores_repeat_and_stay_in_range(detector: Detector) -> None:
    images = [rng(i).integers(0, 256, (200 + 50 * i, 300, 3)).astype(np.uint8) for i in range(3)]
    scores = detector.score(images)
    assert np.array_equal(scores, detector.score(images))
    assert scores.min() >= 0 and scores.max() <= 1


def test_default_thresholds_fall_with_the_rate(detector: Detector) -> None:
    rates = (0.005, 0.01, 0.05, 0.2)
    likely = [detector.thresholds(rate).likely for rate in rates]
    assert likely == sorted(likely, reverse=True)
    assert all(t.unsure <= t.likely for t in map(detector.thresholds, rates))


def test_photographs_that_come_with_scikit_learn_are_not_flagged(detector: Detector) -> None:
    from sklearn.datasets import load_sample_images

    scores = detector.score(load_sample_images().images)
    assert np.all(scores < detector.thresholds().likely)


def test_default_heatmap_covers_the_image(detector: Detector) -> None:
    heatmap = detector.heatmap(rng(1).integers(0, 256, (230, 410, 3)).astype(np.uint8))
    assert heatmap.shape == (230, 410) and heatmap.dtype == np.float32
    assert heatmap.min() >= 0 and heatmap.max() <= 1


def test_shipped_weights_fit_the_package() -> None:
    from countermark.detectors.library import WEIGHTS
    from countermark.detectors.towers.library import TOWERS

    lite = [*TOWERS.glob("clip-vit-b16-slim*"), *WEIGHTS.glob("lite*")]
    default = [*set(TOWERS.glob("clip-vit-b16*")) - set(lite), *WEIGHTS.glob("default*")]
    assert sum(f.stat().st_size for f in default) <= 60_000_000
    assert 0 < sum(f.stat().st_size for f in lite) <= 10_000_000
    assert all(f.stat().st_size < 20_000_000 for f in (*default, *lite))
