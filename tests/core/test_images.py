"""The image gate: what it refuses, and with which code."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from countermark.core.errors import ImageError, OutputError
from countermark.core.images import (
    Limits,
    encode_image,
    iter_image_paths,
    read_bytes,
    read_image,
    sniff_format,
    write_image,
)

FORMATS = ("jpeg", "png", "webp", "avif", "gif", "tiff", "bmp")


def picture(height: int = 40, width: int = 60) -> np.ndarray:
    ramp = np.linspace(0, 255, height * width * 3).reshape(height, width, 3)
    return ramp.astype(np.uint8)


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + body + struct.pack(">I", zlib.crc32(b"IHDR" + body))
    return b"\x89PNG\r\n\x1a\n" + chunk


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_read_as_rgb(format: str) -> None:
    image = read_image(encode_image(picture(), format))
    assert (image.format, image.height, image.width) == (format, 40, 60)
    assert image.pixels.dtype == np.uint8 and image.pixels.shape == (40, 60, 3)


@pytest.mark.parametrize("format", ["png", "tiff", "bmp"])
def test_lossless_formats_keep_every_pixel(format: str) -> None:
    assert np.array_equal(read_image(encode_image(picture(), format)).pixels, picture())


def test_heic_is_read_where_its_library_is() -> None:
    heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    try:
        heif.from_pillow(Image.fromarray(picture(64, 64))).save(stream, quality=90)
    except Exception as error:  # a build without an encoder
        pytest.skip(f"pillow_heif cannot encode here: {error}")
    assert read_image(stream.getvalue()).format == "heif"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "image.empty"),
        (b"%PDF-1.7 not an image", "image.unsupported"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image.unsupported"),
        (encode_image(picture(), "jpeg")[:300], "image.truncated"),
        (encode_image(picture(400, 400), "png")[:200], "image.truncated"),
        (png_header(60_000, 60_000), "image.too-many-pixels"),
        (png_header(100_000, 1), "image.too-many-pixels"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 200, "image.unreadable"),
    ],
)
def test_bad_bytes_get_their_own_code(data: bytes, code: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(data)
    assert caught.value.code == code


def test_the_extension_says_nothing(tmp_path) -> None:
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(encode_image(picture(), "png"))
    assert read_image(path).format == "png"


def test_missing_folder_pipe_and_size_are_refused(tmp_path) -> None:
    for path, code in ((tmp_path / "no.png", "image.missing"), (tmp_path, "image.not-a-file")):
        with pytest.raises(ImageError) as caught:
            read_image(path)
        assert caught.value.code == code
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    with pytest.raises(ImageError) as caught:
        read_image(pipe)
    assert caught.value.code == "image.not-a-file"
    large = tmp_path / "large.png"
    large.write_bytes(encode_image(picture(), "png"))
    with pytest.raises(ImageError) as caught:
        read_image(large, Limits(max_bytes=10))
    assert caught.value.code == "image.too-large"


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = read_image(saved(Image.fromarray(picture(40, 60)), "JPEG", exif=exif, quality=95))
    assert (image.height, image.width) == (60, 40)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "CMYK", "I;16", "YCbCr", "F"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    if mode == "I;16":
        source = Image.fromarray((np.arange(400, dtype=np.uint16) * 160).reshape(20, 20))
        data = saved(source, "PNG")
    elif mode == "F":
        data = saved(Image.fromarray(np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)), "TIFF")
    else:
        converted = Image.fromarray(picture(20, 20)).convert(mode)
        data = saved(converted, "JPEG" if mode in ("CMYK", "YCbCr") else "PNG")
    image = read_image(data)
    assert image.pixels.shape == (20, 20, 3) and image.pixels.std() > 10


def test_alpha_lies_over_white() -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image = read_image(saved(clear, "PNG"))
    assert image.pixels.min() == 255 and "alpha laid over white" in image.notes


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    image = read_image(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert tuple(image.pixels[0, 0]) == (255, 0, 0)
    assert image.notes == ("animated: first of 2 frames",)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_give_an_image_or_a_typed_error(data) -> None:
    format = data.draw(st.sampled_from(FORMATS))
    content = bytearray(encode_image(picture(24, 24), format))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(1, len(content)))]
    try:
        image = read_image(bytes(content), Limits(max_pixels=1_000_000))
    except ImageError as error:
        assert error.code.startswith("image.")
    else:
        assert image.pixels.ndim == 3


@given(st.binary(max_size=64))
def test_sniffing_never_fails(data: bytes) -> None:
    assert sniff_format(data) is None or sniff_format(data) in (*FORMATS, "heif")


def test_writing_never_overwrites(tmp_path) -> None:
    path = write_image(tmp_path / "a.png", picture())
    with pytest.raises(OutputError) as caught:
        write_image(path, picture())
    assert caught.value.code == "output.exists"
    with pytest.raises(OutputError):
        write_image(tmp_path / "a.xyz", picture())
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_folder_walk_is_sorted_and_follows_no_links(tmp_path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/z.jpg", "a.PNG", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "link.png").symlink_to(tmp_path / "a.PNG")
    names = [p.relative_to(tmp_path).as_posix() for p in iter_image_paths([tmp_path])]
    assert names == ["a.PNG", "b/z.jpg"]
    missing = tmp_path / "gone.png"
    assert list(iter_image_paths([missing])) == [missing]


def test_an_error_reads_the_same_every_time() -> None:
    """Pillow names the stream by its address."""
    words = set()
    for _ in range(2):
        with pytest.raises(ImageError) as caught:
            read_image(b"\xff\xd8\xff no image")
        words.add(str(caught.value))
    assert len(words) == 1 and "0x" not in words.pop()


def test_a_folder_that_cannot_be_read_is_offered_to_the_gate(tmp_path, monkeypatch) -> None:
    """Permissions mean nothing to root, so the system's answer is made up here."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "a.png").write_bytes(b"")
    (tmp_path / "open" / ".countermark-1-0123456789ab-a.png").write_bytes(b"half")
    closed = str(tmp_path / "closed")

    def refuses(real):
        def call(path="."):
            if str(path) == closed:
                raise PermissionError(13, "Permission denied", closed)
            return real(path)

        return call

    monkeypatch.setattr(os, "scandir", refuses(os.scandir))
    monkeypatch.setattr(os, "listdir", refuses(os.listdir))
    found = list(iter_image_paths([tmp_path]))
    assert found == [tmp_path / "open" / "a.png", tmp_path / "closed"]
    with pytest.raises(ImageError, match="Permission denied"):
        read_bytes(tmp_path / "closed")
