"""Scanning clips: one row each, a timeline, a rule that can be checked by hand, and every bad input a row."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from countermark.app.clips.faces import SeenFace, Tracks, overlap
from countermark.app.clips.rule import clock, judged, pooled, stretches
from countermark.app.clips.scan import ClipSettings, frame_name
from countermark.app.scan.run import scan, scan_stream
from countermark.core.images import encode_image
from countermark.core.results import Strength, Verdict
from countermark.core.video.sampling import Sampling
from countermark.core.weights import WeightsCard
from countermark.provenance.watermark.frames import FrameMarker
from countermark.reports import render, scan_document
from countermark.reports.documents import load_schema


@dataclass
class Bounds:
    likely: float = 0.8
    unsure: float = 0.5
    note: str = ""


class Brightness:
    """A detector whose score is the frame's mean grey."""

    name = "brightness"
    card = WeightsCard(name="brightness", kind="detector", family="test")

    def score(self, images):
        return np.array([image.mean() / 255 for image in images])

    def thresholds(self, max_fpr: float = 0.01) -> Bounds:
        return Bounds()


def flat(value: int) -> np.ndarray:
    return np.full((96, 128, 3), value, np.uint8)


PLAIN = ClipSettings(faces=False)


def scanned(path: Path, **options):
    settings = options.pop("clips", PLAIN)
    return scan(path, detector=Brightness(), clips=settings, mark_seconds=0, **options)


def test_a_clip_gets_a_verdict_and_a_timeline(make_clip, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", [flat(30)] * 20)
    (result,) = scanned(path)
    assert result.verdict is Verdict.NO_EVIDENCE and result.error is None
    assert result.score == pytest.approx(30 / 255, abs=0.03) and result.format == "mp4"
    assert (result.width, result.height) == (128, 96) and len(result.sha256) == 64
    clip = result.clip
    assert clip.seconds == pytest.approx(2.0) and clip.codec == "h264" and clip.rate == 10
    assert 8 <= len(clip.timeline) <= 20 and all(m.score is not None for m in clip.timeline)
    assert [m.time for m in clip.timeline] == sorted(m.time for m in clip.timeline)
    sentence = next(e.sentence for e in result.evidence if e.kind == "detector")
    assert "still pictures" in sentence and "no proof" in sentence
    assert result.detector["name"] == "brightness" and "sha256" in result.detector


def test_the_score_is_the_mean_of_log_odds() -> None:
    odds = [math.log(s / (1 - s)) for s in (0.2, 0.6, 0.9)]
    assert pooled([0.2, 0.6, 0.9]) == pytest.approx(1 / (1 + math.exp(-sum(odds) / 3)))
    assert 0 < pooled([0.0, 0.0]) < pooled([1.0, 1.0]) < 1


def test_a_stretch_above_the_threshold_is_named_and_makes_it_unsure(make_clip, tmp_path: Path) -> None:
    frames = [flat(20)] * 40 + [flat(235)] * 10 + [flat(20)] * 30
    path = make_clip(tmp_path / "a.mp4", frames, g="2", bf="0")
    kept: list[tuple[str, float, np.ndarray]] = []
    settings = ClipSettings(
        sampling=Sampling(24, scenes=0.0), faces=False, on_strongest=lambda p, t, x: kept.append((p, t, x))
    )
    (result,) = scanned(path, clips=settings)
    assert result.verdict is Verdict.UNSURE and result.score < 0.5
    (part,) = [e for e in result.evidence if e.kind == "frames"]
    assert part.strength is Strength.WEAK and 3.8 < part.detail["start"] < part.detail["end"] < 5.1
    assert result.evidence[0] is part, "what decided stands first"
    assert [p["what"] for p in result.clip.parts] == ["score"]
    assert all(4.0 <= time < 5.0 for _, time, _ in kept[:2]) and kept[0][2].mean() > 200
    assert tuple(time for _, time, _ in kept) == result.clip.strongest


def test_a_few_frames_make_no_stretch() -> None:
    assert stretches([(n, 0.9) for n in range(2)], 0.8) == []
    scored = [(float(n), 0.9 if 3 <= n < 6 else 0.1) for n in range(40)]
    assert stretches(scored, 0.8) == [], "three of forty are less than an eighth"
    assert judged(0.1, [(0, 1)], 0.8, 0.5) is Verdict.UNSURE
    assert judged(0.9, [(0, 1)], 0.8, 0.5) is Verdict.LIKELY_SYNTHETIC
    assert clock(3599.99) == "59:59.9"


def test_a_mark_in_a_part_declares_the_clip(make_clip, drawn_frames, tmp_path: Path) -> None:
    plain = drawn_frames(30)
    marker = FrameMarker(b"8 bytes!")
    frames = [marker.mark(f) if 10 <= n < 20 else f for n, f in enumerate(plain)]
    (result,) = scanned(make_clip(tmp_path / "a.mp4", frames, g="5"))
    assert result.verdict is Verdict.DECLARED_SYNTHETIC
    mark = next(e for e in result.evidence if e.kind == "mark")
    assert mark.strength is Strength.CERTAIN and mark.detail["payload"] == b"8 bytes!".hex()
    (span,) = mark.detail["spans"]
    assert 0.7 <= span["start"] <= 1.1 and 1.8 <= span["end"] <= 2.8, "as exact as a window of frames"
    assert result.evidence[0] is mark, "what decided stands first"


def test_stress_and_a_second_opinion_are_of_all_frames(make_clip, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", [flat(240)] * 6)
    (result,) = scanned(path, stress=True, second=Brightness())
    assert result.verdict is Verdict.LIKELY_SYNTHETIC
    stress = next(e for e in result.evidence if e.kind == "stress")
    assert stress.detail["holds"] and set(stress.detail["scores"]) == {"q96", "320q90", "q75"}
    assert any(e.detail.get("second") for e in result.evidence)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_animated_pictures_are_looked_at_in_all_their_frames(tmp_path: Path, format: str) -> None:
    values = [20, 30, 235, 240, 245, 238, 20, 25]
    pictures = [Image.fromarray(flat(value)) for value in values]
    path = tmp_path / f"a.{format.lower()}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
    (result,) = scanned(path)
    assert result.verdict is Verdict.UNSURE and len(result.clip.timeline) == len(values)
    assert not any("first of" in e.sentence for e in result.evidence)


def test_bad_files_are_rows_and_good_ones_beside_them_are_scanned(make_clip, tmp_path: Path) -> None:
    good = make_clip(tmp_path / "good.mp4", [flat(40)] * 4)
    data = good.read_bytes()
    (tmp_path / "picture.mp4").write_bytes(encode_image(flat(50), "png"))
    (tmp_path / "clip.png").write_bytes(data)
    (tmp_path / "cut.mp4").write_bytes(data[: data.index(b"moov") - 4])
    (tmp_path / "list.mov").write_text("#EXTM3U\nhttp://127.0.0.1/a.ts\n")
    (tmp_path / "nothing.webm").write_bytes(b"")
    found = {Path(r.path).name: r for r in scanned(tmp_path)}
    assert len(found) == 6
    assert found["good.mp4"].clip and found["clip.png"].clip and found["clip.png"].format == "mp4"
    assert found["picture.mp4"].clip is None and found["picture.mp4"].format == "png"
    assert found["cut.mp4"].error.code == "clip.damaged" and found["cut.mp4"].error.hint
    assert found["list.mov"].error.code == "image.unsupported"
    assert found["nothing.webm"].error is not None


def test_frames_that_are_too_small_are_said_to_be(make_clip, tmp_path: Path) -> None:
    (result,) = scanned(make_clip(tmp_path / "a.mp4", [np.zeros((16, 16, 3), np.uint8)] * 4))
    assert result.error.code == "image.too-small" and result.verdict is None


def test_what_was_seen_before_the_damage_is_kept(make_clip, tmp_path: Path, monkeypatch) -> None:
    from countermark.core.video import reader

    path = make_clip(tmp_path / "a.mp4", [flat(40)] * 10)
    receive, calls = reader.receive, []

    def ends(stream, *, most):
        calls.append(1)
        return receive(stream, most=most) if len(calls) < 5 else None

    monkeypatch.setattr(reader, "receive", ends)
    (result,) = scanned(path)
    assert result.verdict is Verdict.NO_EVIDENCE and len(result.clip.timeline) == 3
    assert "stopped" in result.clip.stopped
    assert any("came before" in e.sentence for e in result.evidence if e.kind == "file")


def test_faces_keep_their_number_while_they_move() -> None:
    tracks = Tracks()
    for time in range(6):
        faces = [SeenFace((10.0 + 4 * time, 20.0, 40.0, 40.0), 0.9)] if time != 3 else []
        if time > 1:
            faces.append(SeenFace((200.0, 20.0, 30.0, 30.0), 0.8))
        numbers = [face["track"] for face in tracks.add(float(time), faces)]
        assert numbers == ([1] if time != 3 else []) + ([2] if time > 1 else [])
    assert [(t["track"], t["frames"], t["end"]) for t in tracks.summary()] == [(1, 5, 5.0), (2, 4, 5.0)]
    assert (
        overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(1 / 3)
        and overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0
    )


def test_documents_and_reports_show_the_timeline(make_clip, tmp_path: Path) -> None:
    from countermark.app.scan.thumbnails import Collector

    class Explains(Brightness):
        def heatmap(self, image):
            return np.zeros(image.shape[:2], np.float32)

    path = make_clip(tmp_path / "<b>.mp4", [flat(20)] * 20 + [flat(240)] * 10)
    collector = Collector(Explains())
    settings = ClipSettings(faces=False, on_strongest=collector.frame)
    (result,) = scan_stream([path], detector=Explains(), clips=settings, mark_seconds=0, watch=collector)
    document = scan_document([result], settings={})
    jsonschema.validate(document, load_schema("scan"))
    page = render(document, "html", images=collector.images)
    assert 'class="timeline"' in page and page.count("<figcaption>") >= len(result.clip.strongest)
    assert "<b>.mp4" not in page and "still" in page
    assert frame_name(str(path), result.clip.strongest[0]) in collector.images
    console = render(document, "console", width=120)
    assert "█" in console and "0:03.0" in console
    assert asdict(result)["clip"]["rule"]


def test_a_picture_has_no_timeline(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_image(flat(10), "png"))
    (result,) = scanned(tmp_path / "a.png")
    document = scan_document([result], settings={})
    jsonschema.validate(document, load_schema("scan"))
    assert document["results"][0]["clip"] is None
    assert 'class="timeline"' not in render(document, "html")
