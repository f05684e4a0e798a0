"""Redaction: the prompt is gone from the bytes, the rest verifies, nothing is removed unseen."""

from __future__ import annotations

import pytest

from countermark.core.errors import ProvenanceError
from countermark.core.results import VerificationState as State
from countermark.provenance.credentials.redaction import redact_bytes, redact_image
from countermark.provenance.credentials.signing import sign_bytes
from countermark.provenance.credentials.softbinding import SoftBinding
from countermark.provenance.credentials.verification import verify_image

SECRET = "a letter to nobody"


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "tiff", "gif", "avif"])
def test_prompt_is_gone_and_the_rest_holds(encoded, format):
    signed = sign_bytes(
        encoded(format),
        prompt=SECRET,
        seed=7,
        soft_bindings=[SoftBinding("org.countermark.tile.1", b"12345678")],
    )
    assert SECRET.encode() in signed.manifest  # a GIF cuts it into blocks
    public = redact_bytes(signed.data)
    assert SECRET.encode() not in public.data + public.manifest
    result = verify_image(public.data)
    assert result.state is State.TRUSTED
    assert [each["action"] for each in result.chain[0].actions] == ["c2pa.opened", "c2pa.redacted"]
    assert result.chain[0].actions[1]["reason"] == "c2pa.PII.present"
    assert result.digital_source_type == "trainedAlgorithmicMedia"
    spoiled = public.data[:-30] + bytes([public.data[-30] ^ 1]) + public.data[-29:]
    assert verify_image(spoiled).state is State.INVALID


def test_what_must_stay_stays(encoded):
    signed = sign_bytes(encoded("png"), seed=7)
    for labels, code in (
        (["c2pa.actions.v2"], "redaction.forbidden"),
        (["c2pa.hash.data"], "redaction.forbidden"),
        (["org.example.none"], "redaction.nothing"),
        ([], "redaction.nothing"),
    ):
        with pytest.raises(ProvenanceError) as caught:
            redact_bytes(signed.data, labels=labels)
        assert caught.value.code == code


def test_only_credentials_that_hold_are_redacted(encoded):
    signed = sign_bytes(encoded("png"), seed=7).data
    for data in (encoded("png"), signed[:-30] + bytes([signed[-30] ^ 1]) + signed[-29:]):
        with pytest.raises(ProvenanceError) as caught:
            redact_bytes(data)
        assert caught.value.code == "redaction.invalid"


def test_removing_unseen_is_noticed(encoded):
    signed = sign_bytes(encoded("png"), prompt=SECRET).data
    at = signed.index(SECRET.encode())
    blank = signed[:at] + b" " * len(SECRET) + signed[at + len(SECRET) :]
    result = verify_image(blank)
    assert result.state is State.INVALID
    assert "assertion.hashedURI.mismatch" in [each.code for each in result.problems]


def test_file(encoded, tmp_path):
    source = tmp_path / "a.png"
    source.write_bytes(sign_bytes(encoded("png"), prompt=SECRET).data)
    result = redact_image(source, tmp_path / "b.png")
    assert verify_image(result.path).manifest["label"] == result.manifest_id
