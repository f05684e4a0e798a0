"""Raw photographs are told apart: nobody scores an embedded preview as if it were the picture."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from countermark.app.scan.folders import walk
from countermark.core.errors import ImageError
from countermark.core.images import read_image
from countermark.core.raw import is_raw


def tiff(*entries: tuple[int, int, int], order: str = "<") -> bytes:
    """A TIFF of one directory with these tags: number, type (3 short, 4 long), value."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    body = struct.pack(f"{order}H", len(entries))
    for tag, kind, value in entries:
        packed = struct.pack(f"{order}I", value) if kind == 4 else struct.pack(f"{order}HH", value, 0)
        body += struct.pack(f"{order}HHI", tag, kind, 1) + packed
    return head + body + b"\0" * 8


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "entry", [(0xFE, 4, 1), (0x103, 3, 34713), (0x106, 3, 32803), (0xC612, 4, 0x01040000)]
)
def test_first_directories_of_raw_photographs(order: str, entry: tuple[int, int, int]) -> None:
    data = tiff((0x100, 3, 160), entry, order=order)
    assert is_raw(data)
    with pytest.raises(ImageError, match="embedded preview") as caught:
        read_image(data)
    assert caught.value.code == "image.raw" and "JPEG" in caught.value.hint


@pytest.mark.parametrize(
    "head", [b"FUJIFILMCCD-RAW 0201", b"IIRO\x08", b"II*\0\x10\0\0\0CR\x02\0", b"\0\0\0\x18ftypcrx \0\0"]
)
def test_cameras_own_kinds(head: bytes) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(head + bytes(64))
    assert caught.value.code == "image.raw"


def test_a_plain_tiff_is_none() -> None:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(stream, "TIFF")
    assert not is_raw(stream.getvalue()) and read_image(stream.getvalue()).format == "tiff"


@given(st.binary(max_size=400))
def test_nothing_breaks_it(rest: bytes) -> None:
    assert isinstance(is_raw(b"II*\0" + rest), bool) and isinstance(is_raw(rest), bool)


def test_a_folder_counts_them(tmp_path: Path) -> None:
    (tmp_path / "one.NEF").write_bytes(tiff((0xFE, 4, 1)))
    files, left_out = walk(tmp_path)
    reasons = left_out if isinstance(left_out, dict) else dict.fromkeys(r for _, r in left_out)
    assert not files and list(reasons) == ["raw photographs"]
