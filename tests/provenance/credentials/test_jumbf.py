"""Finding manifest stores: where they are, in every format, and never a crash on hostile bytes."""

from __future__ import annotations

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark.provenance.credentials.jumbf import (
    C2PA_TYPE,
    boxes,
    carries_store,
    certificates_of,
    has_credential,
    manifest_store,
)
from countermark.provenance.credentials.signing import sign_bytes


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "tiff", "gif", "avif"])
def test_store_is_found_where_there_is_one(encoded, format):
    signed = sign_bytes(encoded(format))
    assert not has_credential(encoded(format)) and not carries_store(encoded(format))
    assert manifest_store(encoded(format)) is None
    assert has_credential(signed.data) and carries_store(signed.data)
    assert manifest_store(signed.data) == signed.manifest
    assert manifest_store(signed.manifest) == signed.manifest


def test_long_stores_in_jpeg_are_put_together(encoded):
    signed = sign_bytes(encoded("jpeg"), parameters={"note": "n" * 200_000})
    assert manifest_store(signed.data) == signed.manifest


def test_certificates_by_manifest(encoded, foreign):
    first = sign_bytes(encoded("png"), identity=foreign[0])
    second = sign_bytes(first.data)
    found = certificates_of(second.manifest)
    assert set(found) == {first.manifest_id, second.manifest_id}
    leaf = x509.load_der_x509_certificate(found[first.manifest_id][0])
    assert "Foreign signer" in leaf.subject.rfc4514_string()


def test_cut_off_store_is_none_but_seen(encoded):
    signed = sign_bytes(encoded("png")).data
    cut = signed[: signed.find(C2PA_TYPE) + 200]
    assert manifest_store(cut) is None and has_credential(cut) and carries_store(cut)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_hostile_bytes_do_nothing(data):
    head = data.draw(st.sampled_from([b"", b"\xff\xd8\xff\xeb", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"]))
    body = data.draw(st.binary(max_size=300))
    middle = data.draw(st.sampled_from([b"", b"\0\0\0\x20jumb\0\0\0\x18jumd" + C2PA_TYPE, C2PA_TYPE]))
    blob = head + body + middle + data.draw(st.binary(max_size=300))
    carries_store(blob)
    store = manifest_store(blob)
    for _ in boxes(store or blob):
        pass
    certificates_of(store or blob)


def test_nested_boxes_are_bounded():
    box = b""
    for _ in range(500):
        box = (len(box) + 33).to_bytes(4, "big") + b"jumb" + b"\0\0\0\x19jumd" + bytes(17) + box
    assert len(list(boxes(box))) < 20
