"""The certificate doctor agrees with the library about what is refused, and says why."""

from __future__ import annotations

import datetime
import io

import c2pa
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from countermark.core.errors import ProvenanceError
from countermark.core.results import VerificationState as State
from countermark.provenance.credentials.contexts import context
from countermark.provenance.credentials.signing import sign_bytes
from countermark.provenance.credentials.verification import verify_image
from countermark.provenance.identities import certificates as certs
from countermark.provenance.identities.doctor import examine
from countermark.provenance.identities.identity import Identity
from countermark.provenance.identities.store import create_identity, get_identity
from countermark.provenance.source_types import expand

MAIL, TIME, CODE = "1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.8", "1.3.6.1.5.5.7.3.3"
SERVER, ANY, DOCUMENT = "1.3.6.1.5.5.7.3.1", "2.5.29.37.0", "1.3.6.1.5.5.7.3.36"
DAY = datetime.timedelta(days=1)

REFUSED = {
    "eku.missing": {"eku": None},
    "eku.any": {"eku": [ANY]},
    "eku.wrong": {"eku": [SERVER]},
    "eku.wrong ": {"eku": [CODE]},
    "eku.service": {"eku": [TIME]},
    "eku.mixed": {"eku": [MAIL, TIME]},
    "ku.missing": {"no_usage": True},
    "ku.wrong": {"usage": {"key_cert_sign": False, "crl_sign": True}},
    "ku.certsign": {"usage": {"digital_signature": True, "key_cert_sign": True}},
    "aki.missing": {"aki": False},
    "aki.missing ": {"aki": False, "self_signed": True},
    "extension.critical": {"critical": "1.2.3.4.5"},
    "chain.order": {"order": "root,leaf"},
    "expired": {"starts": -60 * DAY},
    "not-yet-valid": {"starts": 10 * DAY},
}


def signed_with(chain: str, key: bytes, data: bytes):
    private = certs.load_key(key)
    identity = Identity("case", certs.algorithm_of(private), chain, _key=private)
    return sign_bytes(data, identity=identity)


def bare_sign(chain: str, key: bytes, data: bytes) -> bytes:
    """The library alone, without the doctor."""
    action = {"action": "c2pa.created", "digitalSourceType": expand("digitalArt")}
    manifest = {"assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}]}
    identity = Identity("bare", certs.algorithm_of(certs.load_key(key)), chain, _key=certs.load_key(key))
    output = io.BytesIO()
    with c2pa.Builder(manifest, context=context()) as builder:
        builder.sign(identity.native_signer(), "image/png", io.BytesIO(data), output)
    return output.getvalue()


@pytest.mark.parametrize("case", REFUSED)
def test_every_reason_is_named_and_refused(make_chain, encoded, case):
    chain, key, anchor = make_chain(**REFUSED[case])
    found = examine(chain)
    code = f"certificate.{case.strip()}"
    problem = next(each for each in found if each.code == code)
    assert problem.severity == "failure" and problem.sentence.endswith(".")
    with pytest.raises(ProvenanceError) as caught:
        signed_with(chain, key, encoded("png"))
    assert caught.value.code == "signing.refused"
    assert problem.sentence in caught.value.message  # the doctor speaks when signing is refused
    try:  # and it is right: the library refuses too, or what it signs is not trusted
        signed = bare_sign(chain, key, encoded("png"))
    except c2pa.C2paError:
        return
    assert verify_image(signed, trust=anchor).state is not State.TRUSTED


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"usage": {"digital_signature": True}, "ca": False},
        {"middle_days": 30, "order": "leaf,middle"},
        {"key": rsa.generate_private_key(public_exponent=65537, key_size=2048)},
    ],
)
def test_good_chains_have_no_failures_and_are_trusted(make_chain, encoded, options):
    chain, key, anchor = make_chain(**options)
    assert [each for each in examine(chain) if each.severity == "failure"] == []
    signed = signed_with(chain, key, encoded("png"))
    assert verify_image(signed.data, trust=anchor).state is State.TRUSTED


def test_weak_and_foreign_keys(make_chain):
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    assert "certificate.key.size" in [each.code for each in examine(make_chain(key=small)[0])]
    bitcoin = ec.generate_private_key(ec.SECP256K1())
    chain, key, _ = make_chain(key=bitcoin)
    assert "certificate.key.curve" in [each.code for each in examine(chain)]
    with pytest.raises(ProvenanceError) as caught:
        certs.load_key(key)
    assert caught.value.code == "key.algorithm" and "secp256k1" in caught.value.message


def test_algorithm_must_fit_the_key(make_chain):
    from countermark.provenance.identities.identity import external_identity

    chain = make_chain(key=ec.generate_private_key(ec.SECP384R1()))[0]
    with pytest.raises(ProvenanceError) as caught:
        external_identity("x", "es256", chain, lambda data: b"")
    assert caught.value.code == "key.mismatch"


def test_self_signed_alone_and_with_expired_middle(make_chain):
    chain = make_chain(self_signed=True, order="leaf")[0]
    assert [(each.code, each.severity) for each in examine(chain)] == [("certificate.self-signed", "notice")]
    assert [each.code for each in examine(make_chain(order="leaf")[0])] == ["certificate.chain.alone"]
    found = examine(make_chain(middle_days=-1, order="leaf,middle,root")[0])
    assert [(each.code, each.where) for each in found] == [("certificate.expired", "certificate 2")]


def test_configured_use_is_good(make_chain):
    assert examine(make_chain(eku=[DOCUMENT])[0], ekus=[DOCUMENT]) == []
    assert examine(make_chain(eku=[CODE])[0], ekus=[CODE])[0].code == "certificate.eku.wrong"


def test_own_identities_are_healthy(home):
    for algorithm in certs.ALGORITHMS:
        create_identity(f"a-{algorithm}", algorithm=algorithm)
        assert examine(get_identity(f"a-{algorithm}").chain_pem) == []


@pytest.mark.parametrize(
    "pem", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_unreadable_certificates_are_typed_errors(pem):
    with pytest.raises(ProvenanceError) as caught:
        examine(pem)
    assert caught.value.code == "certificate.unreadable"
