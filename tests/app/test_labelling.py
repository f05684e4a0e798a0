"""Signing with a label: in metadata, in the credential's time, and to be seen."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from countermark.app.labelling import LETTERS, Label
from countermark.app.sign import sign
from countermark.core.errors import ConfigError, CountermarkError
from countermark.core.images import read_image
from countermark.provenance.credentials.verification import verify_image
from countermark.provenance.metadata.labels import read_label

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "home"))


def picture(path: Path, side: int = 256, mode: str = "RGB", **options: object) -> Path:
    small = np.random.default_rng(2).integers(60, 200, (side // 16, side // 16, 3), dtype=np.uint8)
    whole = Image.fromarray(np.kron(small, np.ones((16, 16, 1), np.uint8))).convert(mode)
    whole.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.avif"])
@pytest.mark.parametrize("watermark", [True, False])
def test_labels_stand_in_the_metadata_and_under_the_signature(
    name: str, watermark: bool, tmp_path: Path
) -> None:
    source, target = picture(tmp_path / name), tmp_path / f"signed-{name}"
    signed = sign(source, target, generator="gen/3", label=Label("studio"), watermark=watermark, record=False)
    format = read_image(target).format
    found = read_label(target.read_bytes(), format)
    checked = verify_image(target)
    assert checked.state == "trusted"
    if name == "a.avif" and not watermark:
        assert any("Not labelled" in note for note in signed.notes) and found.term == ""
        return
    assert (found.term, found.system, found.version) == ("trainedAlgorithmicMedia", "gen", "3")
    assert found.aigc["Label"] == "1" and found.aigc["ContentProducer"] == "studio"
    assert len(found.aigc["ProduceID"]) == 16
    if watermark:
        assert found.aigc["ProduceID"] == signed.payload
    assert checked.chain[0].actions[0]["when"].endswith("Z")
    data = bytearray(target.read_bytes())
    at = data.index(b"ContentProducer")
    data[at] ^= 1
    assert verify_image(bytes(data)).state == "invalid"  # the label is covered by the credential


def test_the_credential_says_a_time_only_when_it_is_asked_to(tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png")
    sign(source, tmp_path / "b.png", watermark=False, record=False)
    assert "when" not in verify_image(tmp_path / "b.png").chain[0].actions[0]
    sign(source, tmp_path / "c.png", watermark=False, record=False, when="2026-11-28T12:00:00+01:00")
    assert verify_image(tmp_path / "c.png").chain[0].actions[0]["when"] == "2026-11-28T11:00:00Z"
    for wrong in ("yesterday", "2026-11-28T12:00:00"):
        with pytest.raises(CountermarkError) as caught:
            sign(source, tmp_path / "d.png", watermark=False, record=False, when=wrong)
        assert caught.value.code == "when.unknown" and not (tmp_path / "d.png").exists()


def test_a_label_says_what_the_credential_says(tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png")
    sign(source, tmp_path / "b.png", generator="gen/3", label=True, record=False)
    sign(tmp_path / "b.png", tmp_path / "c.png", generator="editor/1", label=True, record=False)
    found = read_label((tmp_path / "c.png").read_bytes(), "png")
    assert found.term == "compositeWithTrainedAlgorithmicMedia" and found.system == "editor"
    assert verify_image(tmp_path / "c.png").state == "trusted"
    for options in ({}, {"digital_source_type": "digitalCapture"}):
        with pytest.raises(CountermarkError) as caught:
            sign(tmp_path / "b.png", tmp_path / "d.png", label=True, record=False, **options)
        assert caught.value.code == "label.source-type" and not (tmp_path / "d.png").exists()


@pytest.mark.parametrize("size", [(256, 256), (640, 480), (900, 300)])
@pytest.mark.parametrize("watermark", [True, False])
def test_a_visible_label_is_large_enough_and_in_its_corner(
    size: tuple[int, int], watermark: bool, tmp_path: Path
) -> None:
    grey = np.full((size[1], size[0], 3), 200, dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    sign(tmp_path / "a.png", tmp_path / "b.png", label=Label(visible="AI"), watermark=watermark, record=False)
    drawn = read_image(tmp_path / "b.png").pixels
    white = np.argwhere(drawn.min(axis=2) > 240)
    assert white[:, 0].max() - white[:, 0].min() + 1 >= LETTERS * min(size)
    assert white[:, 1].max() < size[0] / 2 and white[:, 0].min() > size[1] / 2
    untouched = drawn[: size[1] // 2].astype(int) - 200
    assert np.abs(untouched).max() <= (12 if watermark else 0)


def test_what_a_visible_label_cannot_do_is_said(tmp_path: Path) -> None:
    transparent = Image.new("RGBA", (128, 128), (200, 30, 30, 0))
    transparent.save(tmp_path / "clear.png")
    frames = [Image.new("RGB", (64, 64), (90 * n, 0, 0)) for n in range(3)]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:])
    plain = picture(tmp_path / "a.png", 64)
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    cases: list[tuple[Path, Label, str]] = [
        (tmp_path / "clear.png", Label(visible="AI"), "label.transparent"),
        (tmp_path / "moving.webp", Label(visible="AI"), "output.loss"),
        (plain, Label(visible="generated by artificial intelligence"), "label.room"),
        (plain, Label(visible="a\nb"), "label.text"),
        (plain, Label(visible="生成"), "label.font"),
        (plain, Label(visible="AI", font=broken), "label.font"),
    ]
    for source, label, code in cases:
        with pytest.raises(CountermarkError) as caught:
            sign(source, tmp_path / f"out{source.suffix}", label=label, watermark=False, record=False)
        assert caught.value.code == code
    assert not (tmp_path / "out.png").exists()
    with pytest.raises(ConfigError):
        sign(plain, tmp_path / "x.png", label=Label(visible=" "), record=False)


def test_what_stood_in_the_metadata_stays(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x13B] = "an artist"
    picture(tmp_path / "a.jpg", exif=exif)
    sign(tmp_path / "a.jpg", tmp_path / "b.jpg", label=True, record=False)
    with Image.open(io.BytesIO((tmp_path / "b.jpg").read_bytes())) as opened:
        assert opened.getexif()[0x13B] == "an artist"
