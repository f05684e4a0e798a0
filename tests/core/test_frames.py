"""Frames and pages are counted from the file's structure, and only so far."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from countermark.core import frames
from countermark.core.frames import Frames, frames_of
from countermark.core.images import read_image


def several(format: str, number: int) -> bytes:
    pictures = [Image.new("RGB", (16, 12), (number * 9 % 256, n * 20 % 256, 7)) for n in range(number)]
    stream = io.BytesIO()
    pictures[0].save(stream, format, save_all=True, append_images=pictures[1:])
    return stream.getvalue()


@pytest.mark.parametrize("format", ["GIF", "TIFF"])
@pytest.mark.parametrize("number", [1, 2, 9])
def test_the_count_is_what_pillow_counts(format: str, number: int) -> None:
    data = several(format, number)
    assert frames_of(format.lower(), data) == Frames(number, True)
    assert Image.open(io.BytesIO(data)).n_frames == number


def test_a_long_file_is_not_walked_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_STEPS", 10)
    found = frames_of("gif", several("GIF", 9))
    assert not found.exact and 1 <= found.number < 9
    image = read_image(several("GIF", 9))
    assert image.notes == (f"animated: first of at least {found.number} frames",)


def test_directories_that_lead_in_a_circle() -> None:
    page = struct.pack("<HHHIII", 1, 256, 3, 1, 16, 8)
    assert frames_of("tiff", b"II*\0" + struct.pack("<I", 8) + page) == Frames(1, True)


def test_no_frame_is_opened_to_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import GifImagePlugin, TiffImagePlugin

    for plugin in (GifImagePlugin.GifImageFile, TiffImagePlugin.TiffImageFile):
        monkeypatch.setattr(plugin, "n_frames", property(lambda _: pytest.fail("counted")))
    assert read_image(several("GIF", 3)).frames == 3
    assert read_image(several("TIFF", 3)).frames == 3


@given(st.sampled_from(["gif", "tiff", "png"]), st.binary(max_size=120))
def test_any_bytes(kind: str, data: bytes) -> None:
    for head in (b"", b"GIF89a", b"II*\0\x08\0\0\0"):
        assert frames_of(kind, head + data).number >= 1
