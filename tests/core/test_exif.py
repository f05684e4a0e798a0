"""Directories are read within bounds: what lists more than there is reaches no library."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from countermark.core.errors import ImageError
from countermark.core.exif import EXIF_FOLDER, blobs, fields, modest, orientation
from countermark.core.images import encode_image, read_image


def directory(entries: list[tuple[int, int, int, int]], order: str = "<", more: bytes = b"") -> bytes:
    """A TIFF structure of one directory; ``more`` follows it."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    body = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return head + struct.pack(order + "H", len(entries)) + body + b"\0\0\0\0" + more


def bomb(number: int = 4000, size: int = 200_000) -> bytes:
    """Fields that all claim the same bytes, thousands of times what there is."""
    return directory([(1000 + n, 7, size, 8) for n in range(number)], more=bytes(size))


def test_fields_that_share_their_bytes_are_not_modest() -> None:
    assert modest(directory([(0x010F, 2, 6, 38)], more=b"Maker\0"))
    assert not modest(bomb())
    nested = directory([(EXIF_FOLDER, 4, 1, 26)], more=bomb()[8:])
    assert not modest(nested)
    assert not modest(directory([(273, 4, 200_000, 26)], more=bytes(800_000)))  # strips


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "tiff", "avif"])
def test_such_a_file_is_refused_before_it_is_decoded(format: str) -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    data = encode_image(pixels, format)
    blob = bomb(4000, 60_000)
    if format == "jpeg":
        parts = [blob[at : at + 60_000] for at in range(0, len(blob), 60_000)]
        segments = (b"\xff\xe1" + struct.pack(">H", len(p) + 8) + b"Exif\0\0" + p for p in parts)
        data = data[:2] + b"".join(segments) + data[2:]
    elif format == "tiff":
        data = blob
    else:
        data += b"Exif\0\0" + blob
    with pytest.raises(ImageError) as caught:
        read_image(data)
    assert caught.value.code == "image.unreadable"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(1, 9))
def test_every_orientation_is_the_one_that_pillow_writes(order: str, value: int) -> None:
    exif = Image.Exif()
    exif.endian = order
    exif[0x0112], exif[0x010F] = value, "Maker"
    blob = exif.tobytes()
    assert orientation(blob) == value
    assert fields(blob, [0x010F])[0x010F].text() == "Maker"


def test_nothing_said_and_nonsense_said() -> None:
    assert orientation(b"") is None and orientation(directory([(0x010F, 2, 4, 0)])) is None
    assert orientation(directory([(0x0112, 3, 1, 99)])) == 1


def test_fields_of_the_exif_directory_are_found() -> None:
    exif = Image.Exif()
    exif.get_ifd(EXIF_FOLDER)[0x9286] = b"ASCII\0\0\0words"
    assert fields(exif.tobytes(), [0x9286])[0x9286].raw == b"ASCII\0\0\0words"


@given(st.binary(max_size=200), st.sampled_from([b"II*\0", b"MM\0*", b""]))
def test_any_bytes(data: bytes, head: bytes) -> None:
    blob = head + data
    assert orientation(blob) in (None, *range(1, 9))
    assert isinstance(modest(blob), bool)
    for field in fields(blob, range(0x10000)).values():
        assert len(field.raw) <= len(blob)
        field.text(), field.number()
    for kind in ("jpeg", "png", "tiff"):
        assert all(isinstance(each, bytes) for each in blobs(kind, blob))


def test_a_file_as_cameras_write_it_is_let_in() -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Maker", "Model"
    exif.get_ifd(EXIF_FOLDER)[0x927C] = bytes(30_000)  # maker notes
    stream = io.BytesIO()
    Image.new("RGB", (40, 30)).save(stream, "JPEG", exif=exif)
    assert read_image(stream.getvalue()).width == 40
