"""Verification: the states kept apart, the chain walked, every finding in a sentence."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from countermark.core.errors import ImageError, ProvenanceError
from countermark.core.results import VerificationState as State
from countermark.provenance.credentials.contexts import mime_of
from countermark.provenance.credentials.signing import sign_bytes
from countermark.provenance.credentials.verification import verify_image
from countermark.provenance.identities.trust import TrustList


def flipped(data: bytes, format: str) -> bytes:
    """One bit of the pixel data flipped."""
    at = {"png": data.find(b"IDAT") + 40, "jpeg": len(data) - 60, "webp": data.find(b"VP8") + 60}[format]
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_flipped_pixel_is_invalid(encoded, format):
    result = verify_image(flipped(sign_bytes(encoded(format)).data, format))
    assert result.state is State.INVALID
    assert "assertion.dataHash.mismatch" in [each.code for each in result.problems]
    assert "changed after it was signed" in result.summary


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_saved_again_is_absent(encoded, format):
    signed = sign_bytes(encoded(format)).data
    stream = io.BytesIO()
    Image.open(io.BytesIO(signed)).convert("RGB").save(stream, format.upper())
    result = verify_image(stream.getvalue())
    assert result.state is State.ABSENT
    assert result.problems == () and result.chain == () and result.manifest is None


def test_foreign_authority_is_intact_until_it_is_trusted(encoded, foreign):
    identity, anchor = foreign
    signed = sign_bytes(encoded("png"), identity=identity).data
    result = verify_image(signed)
    assert result.state is State.INTACT
    assert [each.code for each in result.problems] == ["signingCredential.untrusted"]
    assert "not on the trust list" in result.summary
    assert result.chain[0].signer == "Foreign signer"
    for trust in (anchor, anchor.encode(), TrustList("x", anchor), [anchor]):
        assert verify_image(signed, trust=trust).state is State.TRUSTED
    assert verify_image(signed, trust=[]).state is State.INTACT


def test_our_own_is_intact_for_somebody_else(encoded, foreign):
    signed = sign_bytes(encoded("png")).data
    assert verify_image(signed).state is State.TRUSTED
    assert verify_image(signed, trust=foreign[1]).state is State.INTACT


def test_trust_from_files(encoded, foreign, tmp_path: Path):
    identity, anchor = foreign
    pem, listed = tmp_path / "anchors.pem", tmp_path / "list.json"
    pem.write_text(anchor)
    content = {"schema": "countermark/trust-list/1", "name": "n", "date": "2026-01-01", "anchors": [anchor]}
    listed.write_text(json.dumps(content))
    signed = sign_bytes(encoded("png"), identity=identity).data
    assert verify_image(signed, trust=pem).state is State.TRUSTED
    assert verify_image(signed, trust=str(listed)).state is State.TRUSTED
    assert TrustList.load(listed).date == "2026-01-01"
    for bad in (b"nothing", b'{"schema": "x"}', b"{", b""):
        with pytest.raises(ProvenanceError) as caught:
            verify_image(signed, trust=bad)
        assert caught.value.code == "trust.unreadable"


def test_history_is_walked_and_tamper_in_it_found(encoded):
    parent = sign_bytes(encoded("png"), title="first")
    child = verify_image(sign_bytes(parent.data, title="second").data)
    assert child.state is State.TRUSTED
    assert [(link.depth, link.state, link.relationship) for link in child.chain] == [
        (0, "trusted", None),
        (1, "trusted", "parentOf"),
    ]
    assert child.digital_source_type == "trainedAlgorithmicMedia"
    spoiled = verify_image(sign_bytes(flipped(parent.data, "png"), title="second", name="first").data)
    assert spoiled.state is State.INVALID
    problem = spoiled.problems[0]
    assert (problem.code, problem.where) == ("assertion.dataHash.mismatch", parent.manifest_id)
    assert "In its history (first)" in spoiled.summary


def test_weakest_link_decides(encoded, foreign):
    parent = sign_bytes(encoded("png"), identity=foreign[0])
    result = verify_image(sign_bytes(parent.data).data)
    assert result.state is State.INTACT
    assert [link.state for link in result.chain] == ["trusted", "intact"]


def test_truncated_credential_is_invalid_and_truncated_image_is_not(encoded):
    signed = sign_bytes(encoded("jpeg")).data
    result = verify_image(signed[:2500])
    assert result.state is State.INVALID
    assert result.problems[0].code in ("countermark.manifest.unreadable", "countermark.manifest.bounds")
    result = verify_image(encoded("png")[:200])
    assert result.state is State.ABSENT and result.problems == ()  # whether it can be decoded is not asked


@pytest.mark.parametrize("data", [b"", b"hello", b"\0" * 4096])
def test_what_is_no_image_is_a_typed_error(data):
    with pytest.raises(ImageError):
        verify_image(data)


def test_missing_file_is_a_typed_error(tmp_path: Path):
    with pytest.raises(ImageError) as caught:
        verify_image(tmp_path / "none.png")
    assert caught.value.code == "image.missing"


def test_formats_without_credentials_are_absent(encoded):
    assert verify_image(encoded("bmp")).state is State.ABSENT


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xef\xbb\xbf",
        b"\n  ",
        b"<!-- drawn by hand -->\n",
        b'<?xml version="1.0" encoding="UTF-8"?>\n<!-- a -->\n',
        b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">\n',
        b'<?xml version="1.0"?><!DOCTYPE svg [ <!ENTITY a "b"> ]>',
    ],
)
def test_svg_is_known_by_its_root_element(head):
    svg = (
        head
        + b'<svg xmlns="http://www.w3.org/2000/svg" width="4" height="3"><rect width="4" height="3"/></svg>'
    )
    assert mime_of(svg) == "image/svg+xml"
    if head == b"\n  " or head.startswith(b"\xef"):
        return  # the library does not write into these
    signed = sign_bytes(svg).data
    assert verify_image(signed).state is State.TRUSTED


def test_other_xml_is_no_svg():
    for text in (b"<html><svg></svg></html>", b"<?xml version='1.0'?><rss/>", b"<!-- <svg> -->", b"<svgx>"):
        assert mime_of(text) is None
