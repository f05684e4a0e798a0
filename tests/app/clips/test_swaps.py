"""Faces of clips, judged: which looks speak for a track, what is said, what a report shows."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import numpy as np
import pytest

from countermark.app.clips import scan as scanning
from countermark.app.clips.faces import SeenFace, Tracks
from countermark.app.clips.rule import pooled
from countermark.app.clips.scan import ClipSettings
from countermark.app.clips.swaps import Crops, FaceLook, swap_evidence
from countermark.app.scan.faces import FaceSearch
from countermark.app.scan.run import scan_stream
from countermark.app.scan.thumbnails import Collector
from countermark.core.results import Strength, Verdict
from countermark.core.weights import WeightsCard
from countermark.reports import render, scan_document
from countermark.reports.documents import load_schema


class Still:
    """A detector that finds nothing anywhere."""

    name = "still"
    card = WeightsCard(name="still", kind="detector", family="test")

    def score(self, images):
        return np.full(len(images), 0.1)

    def heatmap(self, image):
        return np.zeros(image.shape[:2], np.float32)

    def thresholds(self, max_fpr: float = 0.01):
        from types import SimpleNamespace

        return SimpleNamespace(likely=0.8, unsure=0.5, note="")


class Faces:
    """Stands for the finder and the expert: two faces, of which the second is put in where it is judged."""

    threshold = 0.9

    def __init__(self, score: float = 0.97) -> None:
        self.score = score

    def __call__(self, pixels):
        return [
            SeenFace((8.0, 8.0, 40.0, 40.0), 0.9, 0.2),
            SeenFace((72.0, 30.0, 32.0, 32.0), 0.8, self.score),
        ]


def add(tracks: Tracks, scores: list[float | None], sides: list[float]) -> None:
    for time, (score, side) in enumerate(zip(scores, sides, strict=True)):
        tracks.add(float(time), [SeenFace((10.0, 10.0, side, side), 0.9, score)])


def test_the_largest_faces_speak_for_a_track() -> None:
    tracks = Tracks()
    add(tracks, [0.1, 0.2, 0.9, 0.95, 0.9, 0.9, 0.9, None], [30, 31, 40, 41, 42, 43, 44, 45])
    (track,) = tracks.summary()
    assert track["frames"] == 8 and track["judged"] == 5
    assert track["put_in"] == pytest.approx(pooled([0.9, 0.95, 0.9, 0.9, 0.9]), abs=1e-4)


def test_one_look_is_not_enough() -> None:
    tracks = Tracks()
    add(tracks, [0.99, None, None], [40, 40, 40])
    (track,) = tracks.summary()
    assert track["judged"] == 1 and track["put_in"] is None
    assert swap_evidence(tracks.summary(), 0.9) is None


def test_what_stands_out_is_weak_and_named_with_its_times() -> None:
    tracks = Tracks()
    add(tracks, [0.95, 0.97, 0.96], [40, 40, 40])
    found = swap_evidence(tracks.summary(), 0.9)
    assert found.kind == "face" and found.points_to == "synthetic" and found.strength is Strength.WEAK
    assert "Face 1 (0:00.0 to 0:02.0) was likely put in" in found.sentence and "3 looks" in found.sentence
    assert found.detail["tracks"][0]["likely"] and found.detail["found"]
    below = swap_evidence(tracks.summary(), 0.99)
    assert below.points_to == "neither" and not below.detail["found"] and "missed" in below.sentence


def test_of_each_track_the_highest_face_is_kept() -> None:
    crops = Crops()
    tracks = Tracks()
    for time, (value, score) in enumerate([(20, 0.3), (200, 0.8), (90, 0.5)]):
        pixels = np.full((96, 128, 3), value, np.uint8)
        crops.offer(float(time), tracks.add(float(time), [SeenFace((20, 20, 40, 40), 0.9, score)]), pixels)
    ((jpeg, caption),) = crops.shown([1])
    assert caption == "Face 1, 0:01.0: 0.80, likely put in" and jpeg[:2] == b"\xff\xd8"
    for number in range(12):
        moved = [{"box": [20, 20, 40, 40], "score": 0.9, "track": number + 2, "put_in": 0.5}]
        crops.offer(9.0, moved, np.zeros((96, 128, 3), np.uint8))
    assert len(crops.kept) == 6, "of a crowd the first tracks only"


def test_a_scan_lists_judged_faces_and_a_report_draws_them(make_clip, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(scanning, "face_look", lambda *, judge: Faces() if judge else None)
    path = make_clip(tmp_path / "a.mp4", [np.full((96, 128, 3), 90, np.uint8)] * 20)
    collector = Collector(Still(), max_heatmaps=0)
    settings = ClipSettings(on_strongest=collector.frame, on_faces=collector.faces)
    asked = {"detector": Still(), "clips": settings, "mark_seconds": 0, "watch": collector}
    (result,) = scan_stream([path], faces=FaceSearch("on"), **asked)
    assert result.verdict is Verdict.NO_EVIDENCE, "it never decides"
    (face,) = [e for e in result.evidence if e.kind == "face"]
    assert face.detail["found"] and "Face 2" in face.sentence
    assert {t["track"]: t["put_in"] for t in result.clip.faces} == {1: 0.2, 2: 0.97}
    assert any(f["put_in"] == 0.97 for m in result.clip.timeline for f in m.faces)
    document = scan_document([result], settings={})
    jsonschema.validate(document, load_schema("scan"))
    page = render(document, "html", images=collector.images)
    assert "Face 2, 0:00.0: 0.97, likely put in" in page and "Face 1, 0:00.0: 0.20<" in page
    assert 'class="span high"' in page and 'class="span face"' in page


def test_faces_are_not_judged_unless_asked(make_clip, tmp_path: Path, monkeypatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(scanning, "face_look", lambda *, judge: asked.append(judge))
    path = make_clip(tmp_path / "a.mp4", [np.full((96, 128, 3), 90, np.uint8)] * 4)
    list(scan_stream([path], detector=Still(), mark_seconds=0))
    list(scan_stream([path], detector=Still(), mark_seconds=0, faces=FaceSearch("auto")))
    list(scan_stream([path], detector=Still(), mark_seconds=0, clips=ClipSettings(faces=False)))
    assert asked == [False, True]


def test_the_look_asks_the_expert_of_the_two_largest_only() -> None:
    look = FaceLook(judge=True)

    class Expert:
        threshold = 0.9

        def scores(self, image, faces):
            assert len(faces) == 2
            return np.array([0.4, np.nan])

    from types import SimpleNamespace

    look._expert = Expert()
    look._find = lambda pixels: [SimpleNamespace(box=(0, 0, n, n), score=0.9) for n in (90, 80, 70)]
    assert [face.put_in for face in look(np.zeros((96, 96, 3), np.uint8))] == [0.4, None, None]
    assert look.threshold == 0.9
