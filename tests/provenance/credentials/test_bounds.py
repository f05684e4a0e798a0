"""Memory bombs in manifests are stopped before the library reads them, in every format."""

from __future__ import annotations

import base64
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark.core.errors import ProvenanceError
from countermark.core.results import VerificationState as State
from countermark.provenance.credentials import bounds
from countermark.provenance.credentials.bounds import out_of_bounds, plausible
from countermark.provenance.credentials.jumbf import stores
from countermark.provenance.credentials.signing import sign_bytes
from countermark.provenance.credentials.verification import verify_image


def bombed(data: bytes) -> bytes:
    """A text of ten bytes now says that it has 1.8 GB."""
    at = data.find(b"jnotAllowed")
    assert at > 0
    return data[:at] + b"\x7a" + data[at + 1 :]


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "tiff", "gif", "avif"])
def test_bombs_are_invalid_without_being_read(encoded, format):
    signed = sign_bytes(encoded(format)).data
    assert out_of_bounds(signed) is None and out_of_bounds(encoded(format)) is None
    result = verify_image(bombed(signed))
    assert result.state is State.INVALID
    assert [each.code for each in result.problems] == ["countermark.manifest.bounds"]
    with pytest.raises(ProvenanceError) as caught:
        sign_bytes(bombed(signed))
    assert caught.value.code == "history.unreadable"
    with pytest.raises(ProvenanceError):
        sign_bytes(encoded("png"), parents=[bombed(signed)])


def test_bombs_in_sidecars_and_svg(encoded):
    beside = sign_bytes(encoded("png"), embed=False).manifest
    assert verify_image(encoded("png"), manifest=beside).state is State.TRUSTED
    assert verify_image(encoded("png"), manifest=bombed(beside)).state is State.INVALID
    svg = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><rect width="5" height="5"/></svg>'
    signed = sign_bytes(svg)
    changed = signed.data.replace(
        base64.b64encode(signed.manifest), base64.b64encode(bombed(signed.manifest))
    )
    assert changed != signed.data
    assert verify_image(changed).problems[0].code == "countermark.manifest.bounds"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_stays_small(encoded, tmp_path):
    """In a process of its own. Its own peak: ``getrusage`` would carry over the parent's."""
    path = tmp_path / "bomb.png"
    path.write_bytes(bombed(sign_bytes(encoded("png")).data))
    script = (
        "import re, sys, pathlib\n"
        "from countermark.provenance.credentials.verification import verify_image\n"
        "state = verify_image(sys.argv[1]).state\n"
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print(state, re.search(r'VmHWM:\\s+(\\d+)', status)[1])\n"
    )
    run = subprocess.run([sys.executable, "-c", script, path], check=True, capture_output=True, text=True)
    state, peak = run.stdout.split()
    assert state == "invalid"
    assert int(peak) < 300_000


@pytest.mark.parametrize(
    "content",
    [
        b"\x7a\xff\xff\xff\xff",
        b"\x5b\0\0\0\1\0\0\0\0",
        b"\x9a\x10\0\0\0",
        b"\xbb" + b"\xff" * 8,
        b"\xc1\x7a\0\1\0\0a",
    ],
)
def test_lengths_beyond_the_box(content):
    assert not plausible(content)
    assert not plausible(b"\xa1\x61k" + content)
    assert plausible(b"\x58\x20" + content.ljust(32, b"\0")[:32])  # inside a string it is only text


def test_long_heads_with_honest_lengths_are_fine():
    for content in (
        b"\x7a\0\0\0\x03abc",
        b"\x5b" + (300).to_bytes(8, "big") + bytes(300),
        b"\x9a\0\0\0\x02\1\2",
    ):
        assert plausible(content)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes(content):
    plausible(content)
    out_of_bounds(content)
    for head in (b"\xff\xd8\xff\xeb\0\x20JP", b"GIF89a", b"<svg><c2pa:manifest>"):
        out_of_bounds(head + content)


def box(kind: bytes, body: bytes) -> bytes:
    return (len(body) + 8).to_bytes(4, "big") + kind + body


def store(*inside: bytes) -> bytes:
    """A manifest store around some boxes, as ``stores`` finds it."""
    described = box(b"jumd", b"c2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71\x03c2pa\0")
    return box(b"jumb", described + b"".join(inside))


def test_compressed_manifests_have_one_budget(monkeypatch):
    brotli = pytest.importorskip("brotli")
    monkeypatch.setattr(bounds, "_MAX_UNPACKED", 1_000_000)
    packed = box(b"brob", brotli.compress(bytes(400_000)))
    assert out_of_bounds(store(packed, packed)) is None
    small = store(*[packed] * 40)
    assert len(small) < 3000
    unpacked = []
    real = bounds._unpack
    monkeypatch.setattr(bounds, "_unpack", lambda *a: unpacked.append(real(*a)) or unpacked[-1])
    assert out_of_bounds(small) == "countermark.manifest.bounds"
    assert sum(map(len, unpacked)) < 1_500_000


def test_boxes_over_each_other_are_not_read_again_and_again():
    heads = (1_000_000).to_bytes(4, "big") + b"cbor"
    data = store(box(b"free", heads * 20_000))
    assert out_of_bounds(data) == "countermark.manifest.bounds"
    assert out_of_bounds(store(*[box(b"cbor", b"\xa0")] * 500)) is None


def test_a_store_is_given_once_and_the_rest_once():
    marker = b"\xff\xff\xff\xffjumb\0\0\0\x20jumdc2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71"
    data = marker * 30 + bytes(10_000)
    assert sum(map(len, stores(data))) <= 2 * len(data)


def test_items_without_end(monkeypatch):
    monkeypatch.setattr(bounds, "_MAX_ITEMS", 1000)
    assert out_of_bounds(store(box(b"cbor", b"\x7a\0\0\0\1a" + bytes(500)))) is None
    assert out_of_bounds(store(box(b"cbor", b"\x7a\0\0\0\1a" + bytes(5000)))) == "countermark.manifest.bounds"
    halves = box(b"cbor", b"\x7a\0\0\0\1a" + bytes(600))
    assert out_of_bounds(store(halves, halves)) == "countermark.manifest.bounds"
