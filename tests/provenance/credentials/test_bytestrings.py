"""Soft-binding values are CBOR byte strings in the file, in every format, and the signature holds."""

from __future__ import annotations

import base64
import io

import c2pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark.core.errors import ProvenanceError
from countermark.core.results import VerificationState as State
from countermark.provenance.credentials.bytestrings import ByteStrings, _pieces
from countermark.provenance.credentials.contexts import MIME
from countermark.provenance.credentials.jumbf import boxes, manifest_store
from countermark.provenance.credentials.signing import sign_bytes
from countermark.provenance.credentials.softbinding import SoftBinding, known_algorithm
from countermark.provenance.credentials.verification import verify_image
from countermark.provenance.identities.store import create_identity, get_identity
from countermark.provenance.identities.trust import default_trust

BINDINGS = [
    SoftBinding("org.countermark.tile.1", b"\x00\xff345678"),
    SoftBinding("org.countermark.phash.1", bytes(range(32)), "fingerprint"),
    SoftBinding("org.countermark.long.1", bytes(range(256)) * 4, "fingerprint"),
]
HEADS = [b"\x48", b"\x58\x20", b"\x59\x04\x00"]


def raw_values(store: bytes) -> list[bytes]:
    """The CBOR items that stand after the key ``value`` in soft-binding assertions."""
    found = [content for label, _, content in boxes(store) if label.startswith("c2pa.soft-binding")]
    return [content.split(b"\x65value", 1)[1] for content in found]


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "tiff", "gif", "avif"])
def test_values_are_byte_strings_and_the_signature_holds(encoded, format):
    # 70 kB of parameters make JPEG cut the store into segments
    signed = sign_bytes(encoded(format), soft_bindings=BINDINGS, parameters={"note": "n" * 70_000})
    values = raw_values(signed.manifest)
    assert values == [head + binding.value for head, binding in zip(HEADS, BINDINGS, strict=True)]
    result = verify_image(signed.data)
    assert result.state is State.TRUSTED
    read = [each["data"] for each in result.manifest["assertions"] if "soft-binding" in each["label"]]
    assert [each["blocks"][0]["value"] for each in read] == [
        base64.b64encode(binding.value).decode() for binding in BINDINGS
    ]
    if format in ("png", "jpeg", "webp"):
        assert manifest_store(signed.data) == signed.manifest
    settings_ = {"trust": {"trust_anchors": default_trust().anchors_pem}}
    with (
        c2pa.Context.from_dict(settings_) as context,
        c2pa.Reader(MIME[format], io.BytesIO(signed.data), context=context) as reader,
    ):
        assert reader.get_validation_state() == "Trusted"


def test_svg_and_sidecar(encoded):
    svg = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><rect width="5" height="5"/></svg>'
    assert verify_image(sign_bytes(svg, soft_bindings=BINDINGS).data).state is State.TRUSTED
    signed = sign_bytes(encoded("png"), soft_bindings=BINDINGS, embed=False)
    assert signed.data == encoded("png")
    assert verify_image(encoded("png"), manifest=signed.manifest).state is State.TRUSTED


@pytest.mark.parametrize("algorithm", ["es384", "es512", "ps256", "ed25519"])
def test_every_algorithm(home, encoded, algorithm):
    create_identity("one", algorithm=algorithm)
    signed = sign_bytes(encoded("png"), identity="one", soft_bindings=BINDINGS)
    assert verify_image(signed.data).state is State.TRUSTED


def test_the_library_itself_writes_text(encoded):
    """The reason for all this: should it fail one day, the stand-ins may go."""
    from countermark.provenance.credentials.contexts import context
    from countermark.provenance.credentials.softbinding import to_assertion

    for value, kind in (("QUJD", 0x60), ([65, 66, 67], 0x80)):
        assertion = to_assertion(BINDINGS[0], value)  # type: ignore[arg-type]
        with c2pa.Builder({"assertions": [assertion]}, context=context()) as builder:
            store = builder.sign(get_identity().native_signer(), "image/png", io.BytesIO(encoded("png")))
        assert raw_values(store)[0][0] & 0xE0 == kind


def test_history_with_byte_strings_holds(encoded):
    first = sign_bytes(encoded("jpeg"), soft_bindings=BINDINGS)
    second = sign_bytes(first.data, soft_bindings=BINDINGS)
    assert [link.state for link in verify_image(second.data).chain] == ["trusted", "trusted"]


def test_unexpected_output_is_refused():
    strings = ByteStrings(BINDINGS[:1], "x")
    with pytest.raises(ProvenanceError) as caught:
        strings.finish(b"something else", b"", get_identity())
    assert caught.value.code == "softbinding.bytes"
    with pytest.raises(ProvenanceError) as caught:
        strings.for_asset(b"no store in here", b"a store" * 10, b"a store" * 10)
    assert caught.value.code == "softbinding.format"


@settings(max_examples=100, deadline=None)
@given(store=st.binary(min_size=64, max_size=600), cut=st.integers(20, 200), gap=st.integers(0, 40))
def test_pieces_are_found_however_the_store_is_cut(store, cut, gap):
    parts = [store[:64], *(store[at : at + cut] for at in range(64, len(store), cut))]
    separator = bytes(range(200, 200 + gap))
    asset = b"head" + separator.join(parts) + b"tail"
    try:
        pieces = _pieces(asset, store)
    except ProvenanceError:
        return
    assert b"".join(asset[place : place + length] for _, place, length in pieces) == store


@pytest.mark.parametrize("value", [b"", bytes(4097)])
def test_value_length_is_bounded(value):
    with pytest.raises(ValueError, match="1 to 4096"):
        SoftBinding("org.countermark.tile.1", value)


def test_algorithm_names():
    assert known_algorithm("com.adobe.trustmark.P") and known_algorithm("org.countermark.tile.1")
    assert not known_algorithm("com.example.nothing")
    for name in ("", "ä", "x" * 129):
        with pytest.raises(ValueError, match="ASCII"):
            SoftBinding(name, b"1")
