"""What we rely on in c2pa-python, held against the installed version; run on the pin's floor and the newest.

pip install --no-deps --target old c2pa-python==0.37.12
PYTHONPATH=old pytest tests/provenance/credentials/test_library.py
"""

from __future__ import annotations

import io
import json
from typing import Any

import c2pa
import pytest

from countermark.core.results import VerificationState as State
from countermark.provenance.credentials.contexts import MIME, PURPOSES, context
from countermark.provenance.credentials.signing import sign_bytes
from countermark.provenance.credentials.verification import verify_image
from countermark.provenance.identities import certificates as certs
from countermark.provenance.identities.authority import authority_pem
from countermark.provenance.identities.identity import Identity
from countermark.provenance.identities.store import get_identity

FORMATS = ["jpeg", "png", "webp", "gif", "tiff", "avif"]


def read(data: bytes, mime: str, **settings: Any) -> dict[str, Any]:
    known = {"version": 1, "verify": {"remote_manifest_fetch": False}, **settings}
    with c2pa.Reader(mime, io.BytesIO(data), context=c2pa.Context.from_json(json.dumps(known))) as reader:
        store: dict[str, Any] = json.loads(reader.json())
        return store


def test_the_installed_version_is_within_the_pin():
    from importlib.metadata import requires

    from packaging.requirements import Requirement

    pin = next(Requirement(each) for each in requires("countermark") or () if each.startswith("c2pa-python"))
    from importlib.metadata import version

    assert version("c2pa-python") in pin.specifier


@pytest.mark.parametrize("format", FORMATS)
def test_what_we_sign_needs_no_apology(encoded, format):
    """No notice of bytes that the hash leaves out: not for AVIF (a setting), not for TIFF (its own tag)."""
    result = verify_image(sign_bytes(encoded(format)).data)
    assert result.state is State.TRUSTED and result.problems == ()


def test_space_added_to_an_avif_is_a_change(encoded):
    signed = sign_bytes(encoded("avif")).data
    assert verify_image(signed + (508).to_bytes(4, "big") + b"free" + bytes(500)).state is State.INVALID


@pytest.mark.parametrize("purpose", [each for each in PURPOSES if not each.endswith((".8", ".9"))])
def test_purposes_count_only_while_they_are_set(encoded, make_chain, purpose):
    """Without ``trust_config`` some versions know one purpose, some six: ours are always set."""
    chain, key, anchor = make_chain(eku=[purpose])
    identity = Identity("case", "es256", chain, _key=certs.load_key(key))
    signed = sign_bytes(encoded("png"), identity=identity).data
    assert verify_image(signed, trust=anchor).state is State.TRUSTED


def test_one_list_is_for_signers_and_time_stamps_alike(encoded):
    """Why ``guards`` looks at the chain again: the library cannot keep the two apart."""
    signed = sign_bytes(encoded("png")).data
    store = read(signed, "image/png", trust={"trust_anchors": authority_pem()})
    assert store["validation_state"] == "Trusted"


@pytest.mark.parametrize("format", ["webp", "tiff"])
def test_update_manifests_break_some_formats(encoded, format):
    """Why ``redaction`` writes a manifest with a hash of its own."""
    signed = sign_bytes(encoded(format)).data
    output = io.BytesIO()
    definition = {"claim_generator_info": [{"name": "t", "version": "1"}], "assertions": []}
    with c2pa.Builder(definition, context=context()) as builder:
        builder.set_intent(c2pa.C2paBuilderIntent.UPDATE)
        builder.sign(get_identity("default").native_signer(), MIME[format], io.BytesIO(signed), output)
    assert read(output.getvalue(), MIME[format])["validation_state"] == "Invalid"


def test_crjson_and_created_marks_are_there(encoded):
    signed = sign_bytes(encoded("png")).data
    with c2pa.Reader("image/png", io.BytesIO(signed), context=context()) as reader:
        assert json.loads(reader.crjson())["manifests"][0]["claim.v2"]["created_assertions"]
        store = json.loads(reader.json())
    actions = store["manifests"][store["active_manifest"]]["assertions"][0]
    assert actions["label"].startswith("c2pa.actions") and actions["created"] is True


def test_a_signer_needs_no_time_stamp_authority():
    assert get_identity("default").native_signer()
