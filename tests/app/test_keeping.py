"""Signing loses nothing in silence: metadata, frames and bits stay where they can, and what goes is named."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import countermark as cm
from countermark.app.marking import encode_with_notes, mark
from countermark.core.errors import OutputError
from countermark.core.images import read_image
from countermark.core.results import VerificationState
from countermark.provenance.metadata.blocks import read_blocks
from countermark.provenance.metadata.carrying import has_places, without_places

XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description tiff:Orientation="6" '
    'exif:GPSLatitude="45,30.5N" photoshop:City="Genova" dc:rights="Ana Ruiz"/></rdf:RDF></x:xmpmeta>'
)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "home"))


def pixels(seed: int = 5) -> np.ndarray:
    coarse = np.random.default_rng(seed).normal(128, 50, (12, 16, 3)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (320, 256), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def exif(orientation: int = 6) -> bytes:
    made = Image.Exif()
    made[0x10F], made[0x110], made[0x112], made[0x8298] = "Canon", "EOS R6", orientation, "(c) Ana Ruiz"
    made.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0a comment"
    made.get_ifd(0x8825).update({1: "N", 2: (45.0, 30.0, 30.0), 3: "E", 4: (9.0, 11.0, 0.0)})
    return made.tobytes()


def iim(**fields: str) -> bytes:
    numbers = {"byline": 80, "city": 90, "credit": 110}
    body = b"".join(
        b"\x1c\x02" + bytes([numbers[name]]) + struct.pack(">H", len(value)) + value.encode()
        for name, value in fields.items()
    )
    body = (
        b"Photoshop 3.0\0"
        + b"8BIM\x04\x04\0\0"
        + struct.pack(">I", len(body))
        + body
        + b"\0" * (len(body) % 2)
    )
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


def saved(format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels()).save(stream, format, **options)
    return stream.getvalue()


def photograph(format: str) -> bytes:
    """A picture with all the metadata that its container can hold."""
    if format == "JPEG":
        data = saved("JPEG", quality=92, exif=exif(), xmp=XMP.encode(), comment=b"a word", dpi=(300, 300))
        return data[:2] + iim(byline="Ana Ruiz", city="Genova", credit="Agency") + data[2:]
    if format == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("Author", "Ana Ruiz")
        info.add_itxt("XML:com.adobe.xmp", XMP)
        info.add_itxt("Título", "ñ", zip=True)
        return saved("PNG", exif=exif(), pnginfo=info, dpi=(300, 300))
    if format == "TIFF":
        tags = {700: XMP.encode(), 33432: "(c) Ana Ruiz", 271: "Canon", 272: "EOS R6"}
        return saved("TIFF", tiffinfo=tags, dpi=(300, 300))
    return saved(format, exif=exif(), xmp=XMP.encode())


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_marking_keeps_what_the_container_can_hold(format: str) -> None:
    image = read_image(photograph(format))
    marked = mark(image, image.format, payload=b"8 bytes!")
    assert marked.payload and marked.notes == ()
    with Image.open(io.BytesIO(marked.data)) as written:
        tags, dpi = dict(written.getexif()), written.info.get("dpi")
        written.load()
        folder = written.getexif().get_ifd(0x8769)
        texts = dict(getattr(written, "text", {}))
    assert (tags[271], tags[272], tags[33432]) == ("Canon", "EOS R6", "(c) Ana Ruiz")
    assert tags.get(0x112, 1) == 1  # the pixels were turned
    blocks = read_blocks(marked.data, image.format)
    assert len(blocks.xmp) == 1 and "Ana Ruiz" in blocks.xmp[0] and 'tiff:Orientation="1"' in blocks.xmp[0]
    if format != "TIFF":
        assert folder[0x9286] == b"ASCII\0\0\0a comment"
        assert has_places(marked.data, image.format)
    if format in ("JPEG", "PNG", "TIFF"):
        assert [round(float(each)) for each in dpi] == [300, 300]
    if format == "JPEG":
        assert ("comment", "a word") in blocks.texts
        assert dict(blocks.iptc) == {"By-line": "Ana Ruiz", "City": "Genova", "Credit": "Agency"}
    if format == "PNG":
        assert texts["Author"] == "Ana Ruiz" and texts["Título"] == "ñ"
    assert np.array_equal(read_image(marked.data).pixels.shape, image.pixels.shape)


@pytest.mark.parametrize(
    ("source", "target", "lost"),
    [
        ("JPEG", "png", ["IPTC", "a comment"]),
        ("JPEG", "webp", ["IPTC", "a comment", "dots per inch"]),
        ("PNG", "jpeg", ["text fields (Author"]),
        ("WEBP", "jpeg", []),
        ("JPEG", "tiff", ["a comment"]),
        ("TIFF", "png", []),
    ],
)
def test_what_another_container_cannot_hold_is_named(source: str, target: str, lost: list[str]) -> None:
    image = read_image(photograph(source))
    data, notes = encode_with_notes(image, image.pixels, target)
    assert len(notes) == len(lost), notes
    for words in lost:
        assert any(words in note and note.startswith("Lost") for note in notes)
    with Image.open(io.BytesIO(data)) as written:
        assert written.getexif()[271] == "Canon"


def animated(format: str) -> bytes:
    stream = io.BytesIO()
    first, *more = [Image.fromarray(pixels(seed)) for seed in (5, 6, 7)]
    options = {} if format in ("TIFF", "MPO") else {"duration": 100}
    first.save(stream, format, save_all=True, append_images=more, **options)
    return stream.getvalue()


@pytest.mark.parametrize("format", ["TIFF", "MPO", "GIF"])
def test_all_frames_stay(format: str, tmp_path: Path) -> None:
    ending = {"PNG": ".png", "TIFF": ".tif", "MPO": ".jpg"}.get(format, f".{format.lower()}")
    source, target = tmp_path / f"a{ending}", tmp_path / f"b{ending}"
    source.write_bytes(animated(format))
    told: list[str] = []
    signed = cm.sign(source, target, on_note=told.append)
    assert signed.payload is None and any(note.startswith("Not marked") for note in signed.notes)
    assert told and set(told) <= set(signed.notes)
    before, after = read_image(source), read_image(target)
    assert before.frames == after.frames == 3
    assert cm.verify(target).state is VerificationState.TRUSTED


def test_a_signed_tiff_of_several_pages_can_be_scanned(tmp_path: Path) -> None:
    """Its manifest stands in a last directory without dimensions (C2PA 2.2, A.3.5)."""
    (tmp_path / "a.tif").write_bytes(animated("TIFF"))
    cm.sign(tmp_path / "a.tif", tmp_path / "b.tif")
    image = read_image(tmp_path / "b.tif")
    assert image.frames == 3 and image.notes == ("several: first of 3 pages",)


def test_more_than_eight_bits_stay(tmp_path: Path) -> None:
    deep = np.random.default_rng(1).integers(0, 65_535, (256, 320, 3)).astype(np.uint16)
    for ending in (".png", ".tif"):
        source, target = tmp_path / f"a{ending}", tmp_path / f"b{ending}"
        assert cv2.imwrite(str(source), deep)
        signed = cm.sign(source, target)
        assert signed.payload is None and "16 bits a channel" in " ".join(signed.notes)
        assert np.array_equal(cv2.imread(str(target), cv2.IMREAD_UNCHANGED), deep)


def test_a_loss_is_taken_only_when_it_is_allowed(tmp_path: Path) -> None:
    source = tmp_path / "a.tif"
    source.write_bytes(animated("TIFF"))
    with pytest.raises(OutputError) as caught:
        cm.sign(source, tmp_path / "b.png")
    assert caught.value.code == "output.loss" and not (tmp_path / "b.png").exists()
    told: list[str] = []
    signed = cm.sign(source, tmp_path / "b.png", allow_loss=True, on_note=told.append)
    assert signed.payload and "Lost: all but the first of 3 frames." in told
    assert read_image(tmp_path / "b.png").frames == 1


def test_ink_colours_stay(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(pixels()).convert("CMYK").save(stream, "JPEG")
    (tmp_path / "a.jpg").write_bytes(stream.getvalue())
    signed = cm.sign(tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert signed.payload is None and "CMYK" in " ".join(signed.notes)
    with Image.open(tmp_path / "b.jpg") as written:
        assert written.mode == "CMYK"


@pytest.mark.parametrize(
    ("format", "watermark"),
    [
        ("JPEG", True),
        ("JPEG", False),
        ("PNG", True),
        ("PNG", False),
        ("WEBP", False),
        ("AVIF", False),
        ("TIFF", False),
    ],
)
def test_places_go_when_that_is_asked(format: str, watermark: bool, tmp_path: Path) -> None:
    ending = {"JPEG": ".jpg", "TIFF": ".tif"}.get(format, f".{format.lower()}")
    source = tmp_path / f"a{ending}"
    source.write_bytes(photograph(format))
    kept = cm.sign(source, tmp_path / f"b{ending}", watermark=watermark)
    assert "where it was taken" in " ".join(kept.notes)
    cm.sign(source, tmp_path / f"c{ending}", watermark=watermark, drop_places=True)
    data = (tmp_path / f"c{ending}").read_bytes()
    image = read_image(data)
    assert not has_places(data, image.format) and b"Genova" not in data and b"45,30.5N" not in data
    assert "Ana Ruiz" in read_blocks(data, image.format).xmp[0]
    assert cm.verify(tmp_path / f"c{ending}").state is VerificationState.TRUSTED
    with Image.open(io.BytesIO(data)) as written:
        assert not [v for v in written.getexif().get_ifd(0x8825).values() if v not in (b"", "", None)]


def test_the_credential_gets_no_metadata_unasked(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photograph("JPEG"))
    cm.sign(tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert "Ana Ruiz" not in str(cm.verify(tmp_path / "b.jpg").manifest)


@pytest.mark.parametrize("damage", range(12))
def test_damaged_metadata_is_carried_or_left_out(damage: int) -> None:
    rng = np.random.default_rng(damage)
    for format in ("JPEG", "PNG", "WEBP"):
        data = bytearray(photograph(format))
        for at in rng.integers(20, 700, 6):
            data[at] ^= int(rng.integers(1, 255))
        without_places(bytes(data), format.lower())
        _decoded(bytes(data), lambda image: encode_with_notes(image, image.pixels, "jpeg"))


def _decoded(data: bytes, then: Callable[[Any], object]) -> None:
    from countermark.core.errors import CountermarkError

    try:
        image = read_image(data)
    except CountermarkError:
        return
    then(image)
