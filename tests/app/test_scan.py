"""Scanning: one row a file whatever it is, and nothing that one bad file can stop."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from countermark.app.scan import scan, scan_stream
from countermark.core.errors import ImageError
from countermark.core.images import encode_image
from countermark.core.results import Verdict
from countermark.core.weights import WeightsCard


@dataclass
class Bounds:
    likely: float = 0.8
    unsure: float = 0.5


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
    assert any("first of 2 frames" in e.sentence for e in found["animated.gif"].evidence)


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
