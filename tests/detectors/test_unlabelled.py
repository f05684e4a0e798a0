import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from countermark.core.errors import ConfigError, CorpusError, OutputError
from countermark.core.images import write_image
from countermark.core.weights import WeightsCard
from countermark.detectors import Detector
from countermark.detectors.recalibration import with_thresholds
from countermark.detectors.scoring.calibration import Calibrator, logit
from countermark.detectors.scoring.thresholds import ThresholdTable
from countermark.detectors.unlabelled import fit_unlabelled
from tests.detectors.test_recalibration import Brightness


@pytest.fixture
def detector() -> Detector:
    card = WeightsCard(name="b", kind="detector", family="brightness", sha256="0" * 64)
    scores = 1 / (1 + np.exp(-np.linspace(-5, 2, 300)))
    return Detector(
        Brightness(), card, Calibrator("platt", (1.0, 0.0)), ThresholdTable.fit(scores, ["a"] * 300)
    )


def _pictures(folder: Path, count: int, level: float) -> Path:
    for index in range(count):
        pixels = np.full((32, 32, 3), min(255, round(level + 2 * index)), np.uint8)
        write_image(folder / f"{index}.png", pixels)
    return folder


def test_the_offset_of_a_folder_is_taken_from_the_scores(detector: Detector, tmp_path: Path) -> None:
    folder = _pictures(tmp_path / "inbox", 60, 60)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    seen: list[tuple[int, int]] = []
    path, file = fit_unlabelled(
        detector, [folder], out=tmp_path / "o.json", report=lambda done, files: seen.append((done, files))
    )
    assert file.pictures == 60 and seen[-1][1] == 61
    own = with_thresholds(detector, path)
    picture = [np.full((32, 32, 3), 120, np.uint8)]
    moved = logit(own.score(picture)) - logit(detector.score(picture))
    assert moved == pytest.approx(-file.offset, abs=1e-3)
    assert own.thresholds() == detector.thresholds()
    with pytest.raises(OutputError):
        fit_unlabelled(detector, [folder], out=path)


def test_too_few_or_no_pictures_write_nothing(detector: Detector, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="5 pictures"):
        fit_unlabelled(detector, [_pictures(tmp_path / "few", 5, 60)], out=tmp_path / "o.json")
    (tmp_path / "none").mkdir()
    with pytest.raises(CorpusError):
        fit_unlabelled(detector, [tmp_path / "none"], out=tmp_path / "o.json")
    assert not (tmp_path / "o.json").exists()


@pytest.mark.parametrize(
    "change", [{"offset": 99}, {"offset": "x"}, {"detector_sha256": "1" * 64}, {"more": 1}, {"share": -1}]
)
def test_changed_files_are_refused(
    detector: Detector, tmp_path: Path, change: dict[str, object], smooth: Callable[..., np.ndarray]
) -> None:
    path, _ = fit_unlabelled(detector, [_pictures(tmp_path / "inbox", 55, 60)], out=tmp_path / "o.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError):
        with_thresholds(detector, path)
