"""Texts made to drive regular expressions, and blocks made to unpack without end, cost next to nothing."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable

import pytest
from PIL import Image, PngImagePlugin

from countermark.provenance.metadata.blocks import MAX_TEXTS, read_blocks
from countermark.provenance.metadata.boxes import MAX_BYTES, items
from countermark.provenance.metadata.generators import mentioned_generator, named_generator
from countermark.provenance.metadata.reading import read_metadata
from countermark.provenance.metadata.rules import from_text, from_xmp
from countermark.provenance.metadata.windows import MAX_PLACES, Windowed, unescaped

#: Passes over a megabyte (see the fixture). Most of these cost 1 to 5; with plain expressions each took
#: minutes, or would have taken years.
ENOUGH = 100
MEGABYTE = 1 << 20


def texts() -> dict[str, str]:
    return {
        "spaces after a name": "AISystemUsed>" + " " * MEGABYTE,
        "names and spaces": ("AIPromptInformation>" + " " * 400) * 2500,
        "digits that can be cut anywhere": "stable diffusion" + "1" * 5000 + "_",
        "versions": "gemini" + " 1" * 5000 + "_",
        "names": "DigitalSourceType " * 58_000,
        "labels": "AIGC:{" * 170_000,
        "settings": "Steps: 1\n" * 110_000,
        "kinds": '{"class_type":"flux' + "x" * 80 + '"}' * 2000,
        "a long number": "&#" + "1" * 100_000 + ";",
        "entities": "&a" * (MEGABYTE // 2),
        "quotes": "Label" + "&quot;" * 100_000,
        "nodes": "".join(f'"class_type":"flux{n}{"x" * 80}"' for n in range(2500)),
        "nesting": "[" * 200_000,
    }


@pytest.mark.parametrize("name", texts())
def test_no_text_takes_long(name: str, passes: Callable[[Callable[[], object]], float]) -> None:
    text = texts()[name]

    def read() -> None:
        from_xmp(text)
        for field in ("Description", "parameters", "prompt", "Software", "Comment", "AIGC"):
            from_text(field, text)

    assert passes(read) < ENOUGH


@pytest.mark.parametrize(
    "text",
    [
        "Stable Diffusion", "Stable Diffusion XL", "stable diffusion web ui", "Stable Diffusion 1.5",
        "stable-diffusion v1.5", "Stable Diffusion xl 1.0", "StableDiffusion2.1", "sdxl",
        "gemini", "Google Gemini 2.5 Flash Image", "Gemini2.0", "gemini pro", "Stable Diffusion 3.5-large",
    ],
)  # fmt: skip
def test_names_with_versions_are_still_names(text: str) -> None:
    assert named_generator(text) is not None
    assert mentioned_generator(f"made with {text}, they say") is not None


def test_matches_do_not_overlap_and_end() -> None:
    pattern = Windowed("ab", "ab(ab|x)", size=4)
    assert [match[0] for match in pattern.finditer("ababab abx")] == ["abab", "abx"]
    assert len(list(Windowed("a", "a", size=1).finditer("a" * 1000))) == MAX_PLACES
    assert Windowed("a", "a.*b", size=5, flags=re.DOTALL).search("a" + "-" * 9 + "b") is None


def test_what_cannot_be_unescaped_stays() -> None:
    assert unescaped("&lt;") == "<"
    assert unescaped("&#" + "9" * 5000 + ";").startswith("&#9")


def test_texts_unpack_within_one_budget() -> None:
    packed = zlib.compress(bytes(MEGABYTE), 9)
    body = b"key\0\0" + packed
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    data = b"\x89PNG\r\n\x1a\n" + chunk * 500
    found = read_blocks(data, "png")
    assert sum(len(text) for _, text in found.texts) <= MAX_TEXTS + len(found.texts)
    assert len(found.texts) < 20


def test_an_item_is_not_read_again_and_again() -> None:
    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body) + 8) + kind + body

    infe = b"".join(box(b"infe", b"\x02\0\0\0" + struct.pack(">HH", n, 0) + b"Exif\0") for n in range(200))
    extent = struct.pack(">II", 8, 5000)
    places = b"".join(struct.pack(">HHH", n, 0, 250) + extent * 250 for n in range(200))
    iloc = b"\0\0\0\0\x44\0" + struct.pack(">H", 200) + places
    meta = b"\0\0\0\0" + box(b"iinf", b"\0\0\0\0" + struct.pack(">H", 200) + infe) + box(b"iloc", iloc)
    found = list(items(box(b"ftyp", b"avif" + bytes(6000)) + box(b"meta", meta)))
    assert 1 <= len(found) <= 16 and all(len(body) <= MAX_BYTES for *_, body in found)


def test_exif_that_claims_gigabytes_is_read_within_bounds(
    passes: Callable[[Callable[[], object]], float],
) -> None:
    entries = b"".join(struct.pack("<HHII", 0x010E + n, 2, 900_000, 8) for n in range(3000))
    blob = b"II*\0\x08\0\0\0" + struct.pack("<H", 3000) + entries + bytes(900_000)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(blob)) + b"eXIf" + blob + bytes(4)
    assert passes(lambda: read_metadata(data, "png")) < ENOUGH


def test_a_number_in_a_comment_does_not_cost_the_file(tmp_path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", "<x CreatorTool='&#" + "7" * 9000 + ";'/>")
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG", pnginfo=info)
    assert isinstance(read_metadata(stream.getvalue(), "png"), list)
