"""Large pictures: taken over in strips, reduced on the way, turned as they are to be shown."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from countermark.core import decoding, images
from countermark.core.decoding import orientation_of, reduction, to_rgb, turned
from countermark.core.errors import ImageError
from countermark.core.images import DEFAULT_LIMITS, Limits, encode_image, read_image


def picture(height: int, width: int) -> np.ndarray:
    coarse = np.random.default_rng(3).integers(0, 256, (height // 16 + 1, width // 16 + 1, 3))
    return cv2.resize(coarse.astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything over 64 pixels counts as large, and a strip has a few rows."""
    monkeypatch.setattr(decoding, "REDUCED_SIDE", 64)
    monkeypatch.setattr(decoding, "_STRIP_PIXELS", 3000)


@pytest.mark.parametrize("value", range(1, 9))
def test_pictures_are_turned_as_pillow_turns_them(value: int) -> None:
    pixels = picture(20, 31)
    image, exif = Image.fromarray(pixels), Image.Exif()
    exif[0x0112] = value
    image.info["exif"] = exif.tobytes()
    wanted = np.asarray(ImageOps.exif_transpose(image))
    assert orientation_of(image) == value
    assert np.array_equal(turned(pixels, value), wanted)
    assert np.array_equal(turned(pixels[..., 0], value), wanted[..., 0])


def test_xmp_turns_where_exif_says_nothing() -> None:
    image = Image.new("RGB", (4, 4))
    image.info["xmp"] = b'<x tiff:Orientation="6"/>'
    assert orientation_of(image) == 6
    image.info["exif"] = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0"
    assert orientation_of(image) == 3


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "P", "RGBA", "CMYK", "1", "I;16", "F"])
def test_strips_give_what_the_whole_gives(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if mode == "I;16":
        image = Image.fromarray((np.arange(70 * 90, dtype=np.uint16) * 9).reshape(70, 90))
    elif mode == "F":
        image = Image.fromarray(np.linspace(0, 3, 70 * 90, dtype=np.float32).reshape(70, 90))
    else:
        image = Image.fromarray(picture(70, 90)).convert(mode)
    notes: list[str] = []
    whole, clear = to_rgb(image, notes)
    monkeypatch.setattr(decoding, "_STRIP_PIXELS", 900)
    again: list[str] = []
    pieces, layer = to_rgb(image, again)
    assert np.array_equal(whole, pieces) and notes == again
    assert (clear is None) == (layer is None) and (clear is None or np.array_equal(clear, layer))


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "tiff", "gif", "bmp", "avif"])
def test_a_large_picture_is_looked_at_reduced(format: str, small: None) -> None:
    pixels = picture(300, 420)
    data = encode_image(pixels, format)
    image, whole = read_image(data, reduce=True), read_image(data)
    assert (image.width, image.height) == (whole.width, whole.height) == (420, 300)
    assert whole.size is None and image.size == (420, 300)
    assert image.pixels.shape == (75, 105, 3) and reduction(420, 300) == 4
    wanted = cv2.resize(whole.pixels, (105, 75), interpolation=cv2.INTER_AREA)
    assert np.abs(wanted.astype(int) - image.pixels).mean() < 1.5


def test_a_reduced_picture_is_turned_too(small: None) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(picture(300, 420)).save(stream, "JPEG", exif=exif)
    image = read_image(stream.getvalue(), reduce=True)
    assert (image.width, image.height, image.pixels.shape) == (300, 420, (105, 75, 3))


def test_transparency_of_a_reduced_picture_is_laid_over_white(small: None) -> None:
    stream = io.BytesIO()
    Image.new("RGBA", (300, 300), (0, 0, 0, 0)).save(stream, "PNG")
    image = read_image(stream.getvalue(), reduce=True)
    assert image.pixels.min() == 255 and image.alpha is None


@pytest.mark.parametrize("clear", [False, True])
def test_a_large_webp_is_not_given_to_pillow(clear: bool, small: None, monkeypatch) -> None:
    pixels = picture(200, 300)
    source = Image.fromarray(np.dstack([pixels, np.full((200, 300), 90, np.uint8)]) if clear else pixels)
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    source.save(stream, "WEBP", exif=exif, lossless=True)
    whole = read_image(stream.getvalue())
    monkeypatch.setattr(images.Image, "open", lambda *_, **__: pytest.fail("Pillow was asked"))
    image = read_image(stream.getvalue(), reduce=True)
    assert (image.width, image.height, image.notes) == (whole.width, whole.height, whole.notes)
    assert (image.width, image.height, image.pixels.shape) == (200, 300, (100, 66, 3))
    wanted = cv2.resize(whole.pixels[:, 2:], (66, 100), interpolation=cv2.INTER_AREA)
    assert np.abs(wanted.astype(int) - image.pixels).mean() < 1.5


def test_a_small_picture_is_left_as_it_is() -> None:
    data = encode_image(picture(40, 60), "jpeg")
    assert np.array_equal(read_image(data, reduce=True).pixels, read_image(data).pixels)


def test_a_jpeg_that_passes_over_its_picture_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_MAX_PASSED", 1_000_000)
    stream = io.BytesIO()
    Image.fromarray(picture(200, 200)).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    assert read_image(data).width == 200
    at = data.rindex(b"\xff\xda")
    with pytest.raises(ImageError) as caught:
        read_image(data[:-2] + data[at:-2] * 40 + data[-2:])
    assert caught.value.code == "image.unreadable"


@pytest.mark.parametrize("format", ["AVIF", "HEIF"])
def test_what_is_only_decoded_whole_has_a_limit_of_its_own(format: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(picture(64, 80)).save(stream, format)
    assert read_image(stream.getvalue()).width == 80
    with pytest.raises(ImageError) as caught:
        read_image(stream.getvalue(), Limits(max_whole=64 * 80 - 1))
    assert caught.value.code == "image.too-many-pixels"
    assert read_image(encode_image(picture(64, 80), "jpeg"), Limits(max_whole=1)).width == 80
    assert DEFAULT_LIMITS.max_whole < DEFAULT_LIMITS.max_pixels
