import numpy as np
import pytest

from countermark.core.errors import WeightsError
from countermark.core.seeds import rng
from countermark.detectors import load_detector
from countermark.detectors.content.estimate import KindHead, shipped_head
from countermark.detectors.scoring.kinds import KINDS


def _head() -> KindHead:
    return KindHead(rng(0, "head").normal(size=(6, 8)).astype(np.float32), np.zeros(6, np.float32), KINDS)


def test_the_likeliest_kind_and_its_probability() -> None:
    features = rng(1, "features").normal(size=(5, 2, 4)).astype(np.float32)
    head = _head()
    logits = features.reshape(5, 8).astype(np.float64) @ head.weight.T.astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for found, row in zip(head.kinds(features), shares, strict=True):
        assert found.name == KINDS[int(row.argmax())]
        assert found.probability == pytest.approx(row.max(), abs=1e-5)


def test_a_head_survives_its_file() -> None:
    arrays, config = _head().state()
    again = KindHead.restore(config, arrays)
    assert np.abs(again.weight - _head().weight).max() < 2e-3 and again.names == KINDS


@pytest.mark.parametrize(
    "config", [{}, {"kinds": ["photograph"]}, {"kinds": [*KINDS[:5], "unicorn"]}, {"kinds": 3}]
)
def test_what_does_not_fit_is_refused(config: dict[str, object]) -> None:
    arrays, _ = _head().state()
    with pytest.raises(WeightsError):
        KindHead.restore(config, arrays)


def test_the_shipped_head_reads_what_the_default_detector_computes(
    photograph: np.ndarray, page: np.ndarray
) -> None:
    detector = load_detector()
    pictures = [photograph, page]
    scores, kinds = detector.examine(pictures)
    assert np.allclose(scores, detector.score(pictures))
    first, second = (kind.name for kind in kinds if kind)
    assert first == "photograph" and second in ("document", "screenshot")
    assert shipped_head().weight.shape[0] == len(KINDS)


def test_a_detector_without_such_features_names_no_kind(photograph: np.ndarray) -> None:
    scores, kinds = load_detector("lite").examine([photograph])
    assert len(scores) == 1 and kinds == [None]
    assert load_detector("lite").examine([])[1] == []


@pytest.fixture
def photograph() -> np.ndarray:
    from sklearn.datasets import load_sample_image

    return np.asarray(load_sample_image("china.jpg"))


@pytest.fixture
def page() -> np.ndarray:
    import cv2

    sheet = np.full((900, 640, 3), 250, np.uint8)
    for line in range(30):
        cv2.putText(sheet, "a written page has many words", (40, 40 + 28 * line), 0, 0.9, (20, 20, 20), 1)
    return sheet
