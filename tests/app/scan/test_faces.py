from dataclasses import replace

import numpy as np
import pytest

from countermark.app.scan import faces
from countermark.app.scan.faces import (
    FaceSearch,
    Judged,
    Opinion,
    ask_faces,
    face_crops,
    face_evidence,
    face_search,
)
from countermark.app.scan.gather import Gathered
from countermark.core.errors import ConfigError, WeightsError
from countermark.core.images import LoadedImage, encode_image, read_image
from countermark.core.results import Failure, ScanResult, Strength, Verdict
from countermark.detectors.faces.find import Face


def judged(score: float | None, x: float = 10.4, side: float = 100.0) -> Judged:
    return Judged(Face((x, 20.0, side, side), 0.93, ((0.0, 0.0),) * 6), score)


@pytest.fixture
def image() -> LoadedImage:
    return read_image(encode_image(np.full((64, 64, 3), 120, np.uint8), "png"))


def test_a_face_above_the_threshold_points_to_synthetic_and_is_named_with_its_place() -> None:
    evidence = face_evidence(Opinion((judged(0.97), judged(0.2, 300)), 0.9))
    assert (evidence.kind, evidence.points_to) == ("face", "synthetic")
    assert "1 of 2 faces (100 x 100 pixels at 10, 20)" in evidence.sentence and "0.97" in evidence.sentence
    assert [one["likely"] for one in evidence.detail["faces"]] == [True, False]
    assert evidence.detail["faces"][0]["box"] == [10, 20, 100, 100]


def test_weak_evidence_says_that_it_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "STRENGTH", Strength.WEAK)
    evidence = face_evidence(Opinion((judged(0.97),), 0.9))
    assert evidence.strength is Strength.WEAK and "does not decide" in evidence.sentence


def test_a_face_below_the_threshold_points_nowhere_and_never_says_real() -> None:
    evidence = face_evidence(Opinion((judged(0.4),), 0.9))
    assert (evidence.points_to, evidence.strength) == ("neither", Strength.WEAK)
    assert "0.40" in evidence.sentence and "real" not in evidence.sentence.lower()


def test_a_face_that_is_too_small_is_listed_without_a_score() -> None:
    evidence = face_evidence(Opinion((judged(None),), 0.9))
    assert evidence.points_to == "neither" and "too small" in evidence.sentence
    assert evidence.detail["faces"][0]["score"] is None


def test_a_picture_without_faces_gives_no_evidence(image: LoadedImage) -> None:
    assert FaceSearch().evidence(image) is None


def test_modes(image: LoadedImage) -> None:
    asked: list[int] = []

    def judge(pixels: np.ndarray) -> Opinion:
        asked.append(pixels.shape[0])
        return Opinion((judged(0.5),), 0.9)

    assert FaceSearch("off", judge).evidence(image) is None and not asked
    assert FaceSearch("auto", judge).evidence(image) is not None
    reduced = replace(image, size=(4000, 4000))
    assert FaceSearch("auto", judge).evidence(reduced) is None
    assert FaceSearch("on", judge).evidence(reduced) is not None and len(asked) == 2
    with pytest.raises(ConfigError):
        FaceSearch("always")


def test_a_search_that_fails_says_so_and_stops_nothing(image: LoadedImage) -> None:
    def broken(pixels: np.ndarray) -> Opinion:
        raise WeightsError("The face expert's weights are damaged.")

    evidence = FaceSearch("auto", broken).evidence(image)
    assert evidence is not None and evidence.detail == {"failed": "weights.invalid"}
    assert evidence.points_to == "neither" and "could not be judged" in evidence.sentence


def test_boxes_are_those_of_the_whole_picture(image: LoadedImage) -> None:
    reduced = replace(image, size=(640, 640))
    evidence = FaceSearch("on", lambda pixels: Opinion((judged(0.97, 4, 20),), 0.9)).evidence(reduced)
    assert evidence is not None and evidence.detail["faces"][0]["box"] == [40, 200, 200, 200]


def test_judged_faces_are_cut_out_for_a_report() -> None:
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[40:60, 80:100] = (250, 10, 10)
    found = (Judged(Face((80, 40, 20, 20), 0.9, ((0.0, 0.0),) * 6), 0.97), judged(None, 30), judged(0.1, 900))
    evidence = face_evidence(Opinion(found, 0.9), scale=2.0)
    result = ScanResult("a.png", "00" * 32, None, None, (evidence,), width=400, height=200)
    ((jpeg, label),) = face_crops(result, pixels)
    assert label == "Face: 0.97, likely put in"
    crop = read_image(jpeg).pixels
    assert crop.shape == (30, 30, 3) and crop[15, 15, 0] > 200 and crop[2, 2, 0] < 60
    assert face_crops(replace(result, evidence=()), pixels) == ()


def test_single_pictures_are_searched_and_large_scans_only_on_demand() -> None:
    assert face_search("auto", 1) is not None and face_search("auto", faces.AUTO_FILES + 1) is None
    assert face_search("on", 10_000) is not None and face_search("off", 1) is None
    with pytest.raises(ConfigError):
        face_search("sometimes", 1)


def test_what_is_found_is_listed_and_decides_nothing(image: LoadedImage) -> None:
    gathered = Gathered("a.png", image, (), None)
    result = ScanResult("a.png", "00" * 32, Verdict.NO_EVIDENCE, 0.1)
    broken = ScanResult("b.png", None, None, None, error=Failure("image.empty", "Empty."))
    search = FaceSearch("on", lambda pixels: Opinion((judged(0.97),), 0.9))
    first, second = ask_faces(gathered, result, search), ask_faces(broken, broken, search)
    assert [one.kind for one in first.evidence] == ["face"]
    assert (first.verdict, first.score) == (Verdict.NO_EVIDENCE, 0.1) and second is broken
