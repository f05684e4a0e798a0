"""Scanning: one row a file whatever it is, and nothing that one bad file can stop."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from countermark.app.scan.run import scan, scan_stream
from countermark.core.errors import ImageError
from countermark.core.images import encode_image
from countermark.core.results import Verdict
from countermark.core.weights import WeightsCard


@dataclass
class Bounds:
    likely: float = 0.8
    unsure: float = 0.5
    note: str = ""


class Brightness:
    """A detector whose score is the picture's mean grey, so that tests know it beforehand."""

    name = "brightness"
    card = WeightsCard(name="brightness", kind="detector", family="test")

    def score(self, images):
        if any(image[0, 0, 0] == 13 for image in images):
            raise ImageError("refused")
        return np.array([image.mean() / 255 for image in images])

    def thresholds(self, max_fpr: float = 0.01) -> Bounds:
        return Bounds()


def flat(value: int, side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


@pytest.fixture
def scanned(tmp_path):
    def run(files: dict[str, bytes], **options):
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        results = scan(tmp_path, detector=Brightness(), **options)
        return {result.path.rsplit("/", 1)[-1]: result for result in results}

    return run


def test_verdicts_follow_the_thresholds(scanned) -> None:
    found = scanned({f"{v}.png": encode_image(flat(v), "png") for v in (20, 160, 230)})
    assert [found[f"{v}.png"].verdict for v in (20, 160, 230)] == [
        Verdict.NO_EVIDENCE,
        Verdict.UNSURE,
        Verdict.LIKELY_SYNTHETIC,
    ]
    result = found["230.png"]
    assert result.score == pytest.approx(230 / 255) and result.width == 64 and len(result.sha256) == 64
    assert result.detector["name"] == "brightness" and result.thresholds == {"likely": 0.8, "unsure": 0.5}


def _saved(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def _bomb() -> bytes:
    body = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + b"IHDR"
        + body
        + struct.pack(">I", zlib.crc32(b"IHDR" + body))
    )


def test_every_kind_of_bad_file_gets_its_row(scanned) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.fromarray(np.full((40, 80, 3), 200, np.uint8))
    frames = [Image.new("RGB", (40, 40), c) for c in ("white", "black")]
    good = {
        "cmyk.jpg": _saved(wide.convert("CMYK"), "JPEG"),
        "sixteen.png": _saved(Image.fromarray(np.full((40, 40), 40_000, np.uint16)), "PNG"),
        "palette.png": _saved(wide.convert("P"), "PNG"),
        "animated.gif": _saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "turned.jpg": _saved(wide, "JPEG", exif=exif),
        "png-named.jpg": _saved(wide, "PNG"),
    }
    bad = {
        "empty.png": (b"", "image.empty"),
        "truncated.jpg": (_saved(wide, "JPEG")[:-200], "image.truncated"),
        "text.png": (b"hello, this is text", "image.unsupported"),
        "one.png": (encode_image(flat(200, 1), "png"), "image.too-small"),
        "bomb.png": (_bomb(), "image.too-many-pixels"),
    }
    found = scanned(good | {name: data for name, (data, _) in bad.items()})
    for name in good:
        assert found[name].error is None and found[name].verdict is not None, name
    for name, (_, code) in bad.items():
        assert found[name].error is not None and found[name].error.code == code, name
        assert found[name].verdict is None and found[name].error.message
    assert (found["turned.jpg"].width, found["turned.jpg"].height) == (40, 80)
    clip = found["animated.gif"].clip
    assert clip is not None and len(clip.timeline) == 2  # both frames were looked at


def test_one_refused_image_does_not_take_its_batch_along(scanned) -> None:
    found = scanned({"a.png": encode_image(flat(13), "png"), "b.png": encode_image(flat(240), "png")})
    assert found["a.png"].error is not None and found["a.png"].error.code == "detector.failed"
    assert found["b.png"].verdict is Verdict.LIKELY_SYNTHETIC


def test_missing_files_are_rows_too() -> None:
    (result,) = scan("no/such/file.png", detector=Brightness())
    assert result.error is not None and result.error.code == "image.missing"


def test_stress_turns_a_flip_into_unsure(tmp_path) -> None:
    class Nervous(Brightness):
        def score(self, images):
            return np.array([0.9 if image.shape[0] > 320 else 0.1 for image in images])

    (tmp_path / "a.png").write_bytes(encode_image(flat(100, 400), "png"))
    (calm,) = scan(tmp_path, detector=Nervous())
    (stressed,) = scan(tmp_path, detector=Nervous(), stress=True)
    assert calm.verdict is Verdict.LIKELY_SYNTHETIC and stressed.verdict is Verdict.UNSURE
    assert any(e.kind == "stress" and "does not hold" in e.sentence for e in stressed.evidence)


def test_stress_lists_every_delivery_and_keeps_a_verdict_that_holds(tmp_path) -> None:
    for name, value in (("steady.png", 230), ("quiet.png", 20)):
        (tmp_path / name).write_bytes(encode_image(flat(value, 400), "png"))
    quiet, steady = scan(tmp_path, detector=Brightness(), stress=True)
    assert steady.verdict is Verdict.LIKELY_SYNTHETIC and quiet.verdict is Verdict.NO_EVIDENCE
    (stress,) = [e for e in steady.evidence if e.kind == "stress"]
    assert set(stress.detail["scores"]) == {"q96", "320q90", "q75"} and "holds" in stress.sentence


def test_a_delivery_that_cannot_be_scored_does_not_end_the_scan(tmp_path) -> None:
    class Picky(Brightness):
        def score(self, images):
            if any(image.shape[0] == 320 for image in images):
                raise ImageError("refused")
            return super().score(images)

    (tmp_path / "a.png").write_bytes(encode_image(flat(230, 400), "png"))
    (result,) = scan(tmp_path, detector=Picky(), stress=True)
    assert result.error is None and result.verdict is Verdict.LIKELY_SYNTHETIC
    (stress,) = [e for e in result.evidence if e.kind == "stress"]
    assert stress.detail["scores"]["320q90"] is None and "320q90" not in stress.detail["verdicts"]


def test_stress_never_overrules_a_declaration(tmp_path, monkeypatch) -> None:
    from countermark.app.scan import gather as evidence
    from countermark.core.results import Evidence, Strength

    class Nervous(Brightness):
        def score(self, images):
            return np.array([0.9 if image.shape[0] > 320 else 0.1 for image in images])

    said = Evidence("mark", "synthetic", Strength.CERTAIN, "A mark is there.")
    monkeypatch.setattr(evidence, "mark_evidence", lambda image, seconds: [said])
    (tmp_path / "a.png").write_bytes(encode_image(flat(100, 400), "png"))
    (result,) = scan(tmp_path, detector=Nervous(), stress=True)
    assert result.verdict is Verdict.DECLARED_SYNTHETIC


def test_a_stopped_search_for_marks_is_stated(tmp_path, monkeypatch) -> None:
    from types import SimpleNamespace

    from countermark.provenance import watermark

    asked = []

    def read(pixels, *, search, time_budget):
        asked.append((search, time_budget))
        return SimpleNamespace(payload=None, p_value=1.0, searched="stopped" if search else "fast")

    monkeypatch.setattr(watermark, "read", read)
    (tmp_path / "a.png").write_bytes(encode_image(flat(20), "png"))
    (result,) = scan(tmp_path, detector=Brightness(), mark_seconds=1.5)
    assert asked == [(True, 1.5)]
    assert [e.detail["stopped_after"] for e in result.evidence if e.kind == "mark"] == [1.5]
    assert result.evidence[0].kind == "detector", "what decided comes first, not what was not finished"
    (fast,) = scan(tmp_path, detector=Brightness(), mark_seconds=0)
    assert asked[1] == (False, 0.0) and not [e for e in fast.evidence if e.kind == "mark"]


def test_a_second_opinion_is_listed_and_decides_nothing(tmp_path) -> None:
    class Opposite(Brightness):
        name = "opposite"

        def score(self, images):
            if any(image[0, 0, 0] == 200 for image in images):
                raise ImageError("refused")
            return np.array([1 - image.mean() / 255 for image in images])

    for value in (10, 200, 250):
        (tmp_path / f"{value:03d}.png").write_bytes(encode_image(flat(value), "png"))
    (tmp_path / "z.png").write_bytes(b"nothing")
    alone = scan(tmp_path, detector=Brightness())
    asked = scan(tmp_path, detector=Brightness(), second=Opposite())
    assert [r.verdict for r in alone] == [r.verdict for r in asked]
    assert [r.score for r in alone] == [r.score for r in asked]
    opinions = [[e for e in r.evidence if e.detail.get("second")] for r in asked]
    assert [len(o) for o in opinions] == [1, 0, 1, 0]
    assert opinions[0][0].points_to == "synthetic" and opinions[0][0].strength == "weak"
    assert opinions[2][0].points_to == "neither"
    assert [o[0].sentence for o in (opinions[0], opinions[2])] == [
        "Second opinion, 'opposite': 0.96, at or above its threshold of 0.80. It does not decide.",
        "Second opinion, 'opposite': 0.02, below its threshold of 0.80. It does not decide.",
    ]


def test_order_is_kept_over_many_chunks(tmp_path) -> None:
    for number in range(40):
        (tmp_path / f"{number:02d}.png").write_bytes(encode_image(flat(number * 5), "png"))
    seen = []
    results = list(
        scan_stream(
            [tmp_path], detector=Brightness(), marks=False, watch=lambda r, p: seen.append(p is not None)
        )
    )
    assert [r.path[-6:-4] for r in results] == [f"{n:02d}" for n in range(40)]
    assert len(seen) == 40 and all(seen)


def test_a_result_goes_out_before_the_next_picture_is_searched(tmp_path) -> None:
    asked = []

    class Search:
        mode = "on"

        def evidence(self, path, image):
            asked.append(path)

        judge = None

    for number in range(6):
        (tmp_path / f"{number}.png").write_bytes(encode_image(flat(40 * number), "png"))
    stream = scan_stream([tmp_path], detector=Brightness(), parts=Search())
    for count, result in enumerate(stream, 1):
        assert asked[-1] == result.path and len(asked) == count
