"""Containers are told by content; boxes of any bytes end."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark.core.errors import ClipError
from countermark.core.video.boxes import boxes, refuse_references, within
from countermark.core.video.containers import container_for, sniff_clip
from countermark.core.video.wire import receive


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x18ftypisom\0\0\2\0isomavc1", "mp4"),
        (b"\0\0\0\x14ftypqt  \0\0\2\0qt  ", "mov"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "mov"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm", "webm"),
        (b"\x1a\x45\xdf\xa3\xa3\x42\x82\x88matroska", "mkv"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", None),
        (b"\0\0\0\x1cftypheic\0\0\0\0mif1heic", None),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", None),
        (b"#EXTM3U\n", None),
        (b"ffconcat version 1.0\n", None),
        (b"", None),
    ],
)
def test_the_first_bytes_decide(head: bytes, name: str | None) -> None:
    assert sniff_clip(head) == name


def test_extensions_stand_for_containers() -> None:
    assert [container_for(each) for each in (".MP4", ".qt", ".webm", ".mkv", ".png")] == [
        "mp4", "mov", "webm", "mkv", None,
    ]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=400) | st.binary(max_size=64).map(lambda b: (b"\0\0\0\x20moov\0\0\0\x18trak" + b) * 4)
)
def test_any_bytes_are_walked_to_an_end(data: bytes) -> None:
    stream = io.BytesIO(data)
    assert sum(size for _, _, size in boxes(stream)) <= len(data)
    list(within(stream))
    try:
        refuse_references(stream, "a")
    except ClipError as error:
        assert error.code == "clip.references"


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=100))
def test_any_answer_is_a_message_or_none(data: bytes) -> None:
    try:
        found = receive(io.BytesIO(data), most=50)
    except ValueError:
        return
    assert found is None or len(found[1]) == found[0]["bytes"]
