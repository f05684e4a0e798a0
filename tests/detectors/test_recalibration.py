from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from countermark.core.errors import ConfigError, CorpusError, OutputError
from countermark.core.images import write_image
from countermark.core.weights import WeightsCard
from countermark.detectors import Detector
from countermark.detectors.base import DetectorNetwork
from countermark.detectors.recalibration import recalibrate, with_thresholds
from countermark.detectors.scoring.calibration import Calibrator
from countermark.detectors.scoring.thresholds import ThresholdTable


class Brightness(DetectorNetwork):
    family = "brightness"

    @classmethod
    def create(cls, config: dict, seed: int) -> "Brightness":
        return cls()

    @classmethod
    def restore(cls, config: dict, tensors: dict) -> "Brightness":
        return cls()

    def state(self) -> tuple[dict, dict]:
        return {}, {}

    def fit(self, samples: object, settings: object) -> dict:
        return {}

    def logits(self, images: list[np.ndarray]) -> np.ndarray:
        return np.array([image.mean() / 32 - 4 for image in images])

    def logit_map(self, image: np.ndarray) -> np.ndarray:
        return image.mean(axis=2) / 32 - 4


@pytest.fixture
def detector() -> Detector:
    card = WeightsCard(name="b", kind="detector", family="brightness", sha256="0" * 64)
    table = ThresholdTable.fit([0.1, 0.2], ["a", "a"])
    return Detector(Brightness(), card, Calibrator("platt", (1.0, 0.0)), table)


def _photos(folder: Path, count: int, smooth: Callable[..., np.ndarray]) -> Path:
    for index in range(count):
        write_image(folder / f"{index}.png", smooth(index, 32))
    return folder


def test_thresholds_follow_the_users_photographs(
    detector: Detector, tmp_path: Path, smooth: Callable[..., np.ndarray]
) -> None:
    photos = _photos(tmp_path / "mine", 30, smooth)
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    path = recalibrate(detector, [photos], 0.1, out=tmp_path / "t.json")
    own = with_thresholds(detector, path)
    scores = detector.score([smooth(index, 32) for index in range(30)])
    assert np.mean(scores >= own.thresholds(0.1).likely) <= 0.1
    assert own.thresholds(0.1) != detector.thresholds(0.1)
    with pytest.raises(OutputError):
        recalibrate(detector, [photos], 0.1, out=path)


def test_too_few_or_no_photographs_are_refused(
    detector: Detector, tmp_path: Path, smooth: Callable[..., np.ndarray]
) -> None:
    photos = _photos(tmp_path / "mine", 5, smooth)
    with pytest.raises(ConfigError, match="99"):
        recalibrate(detector, [photos], 0.01, out=tmp_path / "t.json")
    (tmp_path / "none").mkdir()
    with pytest.raises(CorpusError):
        recalibrate(detector, [tmp_path / "none"], out=tmp_path / "t.json")
    assert not (tmp_path / "t.json").exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": "x", "detector_sha256": "", "thresholds": {}}', "null"]
)
def test_other_files_are_refused(detector: Detector, tmp_path: Path, text: str) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(ConfigError):
        with_thresholds(detector, tmp_path / "t.json")


def test_thresholds_of_other_weights_are_refused(
    detector: Detector, tmp_path: Path, smooth: Callable[..., np.ndarray]
) -> None:
    path = recalibrate(detector, [_photos(tmp_path / "m", 12, smooth)], 0.1, out=tmp_path / "t.json")
    path.write_text(path.read_text().replace("0" * 64, "1" * 64))
    with pytest.raises(ConfigError, match="other weights"):
        with_thresholds(detector, path)
