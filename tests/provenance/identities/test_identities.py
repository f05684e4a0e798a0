"""Identities: made privately, once, listed, imported, rotated, revoked."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption, pkcs12

from countermark.core.errors import ProvenanceError, UnknownNameError
from countermark.core.results import VerificationState as State
from countermark.provenance.credentials.signing import sign_bytes
from countermark.provenance.credentials.verification import verify_image
from countermark.provenance.identities import certificates as certs
from countermark.provenance.identities.lifecycle import expire_identity, revoke_identity, rotate_identity
from countermark.provenance.identities.store import (
    PASSPHRASE_VARIABLE,
    create_identity,
    get_identity,
    import_identity,
    list_identities,
    request_csr,
)


def issued(name: str = "Signer", algorithm: str = "es256"):
    authority = certs.make_authority("Test authority")
    key = certs.make_key(algorithm)
    return key, certs.make_leaf(key.public_key(), name, authority), authority


def test_default_is_made_on_first_use_with_private_permissions(home: Path):
    assert list_identities() == []
    identity = get_identity()
    assert (identity.algorithm, identity.kind) == ("es256", "development")
    for path in (home / "identities").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE((home / "identities").stat().st_mode) == 0o700
    assert get_identity().chain_pem == identity.chain_pem
    assert [each.name for each in list_identities()] == ["default"]


def test_first_use_by_many_at_once_gives_one_identity(home: Path):
    with ThreadPoolExecutor(8) as pool:
        chains = set(pool.map(lambda _: get_identity().chain_pem, range(16)))
    assert len(chains) == 1
    assert [each.name for each in (home / "identities").iterdir() if each.name.startswith(".")] == []


@pytest.mark.parametrize("algorithm", ["es256", "es384", "es512", "ps256", "ed25519"])
def test_every_algorithm_signs_and_is_trusted(home: Path, encoded, algorithm):
    create_identity("one", algorithm=algorithm)
    assert verify_image(sign_bytes(encoded("png"), identity="one").data).state is State.TRUSTED


def test_passphrase_protects_the_key(home: Path, monkeypatch: pytest.MonkeyPatch):
    create_identity("safe", passphrase="correct horse")
    assert b"ENCRYPTED" in (home / "identities" / "safe" / "key.pem").read_bytes()
    for wrong in (None, "wrong"):
        with pytest.raises(ProvenanceError) as caught:
            get_identity("safe", passphrase=wrong)
        assert caught.value.code == "key.passphrase"
    assert get_identity("safe", passphrase="correct horse").algorithm == "es256"
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "correct horse")
    assert get_identity("safe").algorithm == "es256"


def test_names(home: Path):
    with pytest.raises(UnknownNameError) as caught:
        get_identity("nobody")
    assert "keys create nobody" in str(caught.value)
    for name in ("../x", "", "a/b", "_authority", "x" * 65, ".hidden"):
        with pytest.raises(ProvenanceError):
            create_identity(name)
    create_identity("twice")
    with pytest.raises(ProvenanceError) as caught:
        create_identity("twice")
    assert caught.value.code == "identity.exists"


def test_csr_then_certificate(home: Path, encoded):
    from cryptography import x509

    request = request_csr("real", organization="News", common_name="News desk", country="NL")
    with pytest.raises(ProvenanceError) as caught:
        get_identity("real")
    assert caught.value.code == "identity.requested"
    parsed = x509.load_pem_x509_csr(request)
    assert parsed.is_signature_valid
    authority = certs.make_authority("Real authority")
    leaf = certs.make_leaf(parsed.public_key(), "News desk", authority)
    record = import_identity("real", chain=certs.to_pem(leaf, authority[1]))
    assert record.status == "active" and "News desk" in record.subject
    result = verify_image(sign_bytes(encoded("png"), identity="real").data, trust=certs.to_pem(authority[1]))
    assert result.state is State.TRUSTED


@pytest.mark.parametrize("secret", [None, b"secret"])
def test_pkcs12_import_orders_the_chain(home: Path, encoded, secret):
    key, leaf, authority = issued()
    encryption = BestAvailableEncryption(secret) if secret else NoEncryption()
    data = pkcs12.serialize_key_and_certificates(b"x", key, leaf, [authority[1]], encryption)
    import_identity("p12", pkcs12=data, passphrase=secret.decode() if secret else None)
    assert len(certs.load_chain(get_identity("p12").chain_pem)) == 2
    with pytest.raises(ProvenanceError) as caught:
        import_identity("other", pkcs12=data, passphrase="wrong")
    assert caught.value.code == "key.passphrase"


def test_import_refuses_what_does_not_fit(home: Path):
    key, leaf, _ = issued()
    other = certs.make_key("es256")
    with pytest.raises(ProvenanceError) as caught:
        import_identity("bad", chain=certs.to_pem(leaf), key=certs.key_to_pem(other))
    assert caught.value.code == "key.mismatch"
    with pytest.raises(ProvenanceError) as caught:
        import_identity("bad", chain=b"garbage", key=certs.key_to_pem(key))
    assert caught.value.code == "certificate.unreadable"
    with pytest.raises(ProvenanceError) as caught:
        import_identity("bad", chain=certs.to_pem(leaf), key=b"garbage")
    assert caught.value.code == "key.unreadable"
    with pytest.raises(ProvenanceError) as caught:
        import_identity("bad", chain=certs.to_pem(leaf))
    assert caught.value.code == "identity.incomplete"
    assert list_identities() == []


def test_rotation_keeps_name_and_old_signatures(home: Path, encoded):
    create_identity("mine", common_name="Desk, one")
    before = get_identity("mine")
    signed = sign_bytes(encoded("png"), identity="mine").data
    record = rotate_identity("mine")
    after = get_identity("mine")
    assert after.chain_pem != before.chain_pem and record.status == "active"
    assert verify_image(signed).state is State.TRUSTED
    assert verify_image(sign_bytes(encoded("png"), identity="mine").data).state is State.TRUSTED
    assert len(list((home / "identities" / "mine" / "retired").iterdir())) == 1


def test_imported_identity_is_not_rotated_here(home: Path):
    key, leaf, authority = issued()
    import_identity("ext", chain=certs.to_pem(leaf, authority[1]), key=certs.key_to_pem(key))
    with pytest.raises(ProvenanceError) as caught:
        rotate_identity("ext")
    assert caught.value.code == "identity.rotate"


def test_expired_by_hand_signs_no_more_but_stays_valid(home: Path, encoded):
    create_identity("old")
    signed = sign_bytes(encoded("png"), identity="old").data
    expire_identity("old")
    with pytest.raises(ProvenanceError) as caught:
        sign_bytes(encoded("png"), identity="old")
    assert caught.value.code == "identity.expired"
    assert verify_image(signed).state is State.TRUSTED


def test_revoked_is_refused_on_both_sides(home: Path, encoded):
    create_identity("leaked")
    signed = sign_bytes(encoded("png"), identity="leaked").data
    revoke_identity("leaked", "laptop stolen")
    with pytest.raises(ProvenanceError) as caught:
        sign_bytes(encoded("png"), identity="leaked")
    assert caught.value.code == "identity.revoked" and "laptop stolen" in str(caught.value)
    result = verify_image(signed)
    assert result.state is State.INVALID
    assert result.problems[0].code == "signingCredential.revoked"


def test_expired_default_is_renewed_by_itself(home: Path):
    create_identity("default", days=0)
    assert list_identities()[0].status == "expired"
    assert get_identity().kind == "development"
    assert list_identities()[0].status == "active"


def test_damaged_record_is_a_typed_error(home: Path):
    create_identity("x")
    (home / "identities" / "x" / "identity.json").write_text("{")
    with pytest.raises(ProvenanceError) as caught:
        get_identity("x")
    assert caught.value.code == "identity.damaged"
    create_identity("y")
    create_identity("z")
    (home / "identities" / "y" / "key.pem").write_bytes((home / "identities" / "z" / "key.pem").read_bytes())
    with pytest.raises(ProvenanceError) as caught:
        get_identity("y")
    assert caught.value.code == "identity.damaged"
