"""Header dimensions agree with Pillow's, and no bytes break the readers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark.core import headers
from countermark.core.headers import header_size, too_many_parts
from countermark.core.images import encode_image

FORMATS = ("png", "gif", "bmp", "jpeg", "webp")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("size", [(7, 5), (300, 21)])
def test_sizes_agree_with_the_encoder(format: str, size: tuple[int, int]) -> None:
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    assert header_size(format, encode_image(pixels, format)) == size


@given(st.sampled_from(FORMATS), st.binary(max_size=80))
def test_any_bytes_give_a_size_or_none(format: str, data: bytes) -> None:
    found = header_size(format, data)
    assert found is None or (len(found) == 2 and min(found) >= 0)


@given(st.sampled_from(FORMATS), st.integers(0, 60))
def test_cut_headers_are_none_or_right(format: str, length: int) -> None:
    data = encode_image(np.zeros((5, 7, 3), np.uint8), format)[:length]
    assert header_size(format, data) in (None, (7, 5))


def test_files_of_endless_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "MAX_PARTS", 100)
    png, jpeg = (encode_image(np.zeros((40, 40, 3), np.uint8), format) for format in ("png", "jpeg"))
    assert not too_many_parts("png", png) and not too_many_parts("jpeg", jpeg)
    at = png.index(b"IDAT") - 4
    assert too_many_parts("png", png[:at] + b"\0\0\0\0aaAa\0\0\0\0" * 200 + png[at:])
    assert too_many_parts("jpeg", jpeg[:2] + b"\xff\xfe\0\2" * 200 + jpeg[2:])


@pytest.mark.parametrize("format", ["tiff", "avif"])
def test_sizes_of_formats_whose_headers_lie_deeper(format: str) -> None:
    assert header_size(format, encode_image(np.zeros((48, 64, 3), np.uint8), format)) == (64, 48)
