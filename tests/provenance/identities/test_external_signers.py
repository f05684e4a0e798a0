"""Keys held elsewhere: callbacks, and a worked example against a software HSM over PKCS#11."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from countermark.core.errors import ProvenanceError
from countermark.core.results import VerificationState as State
from countermark.provenance.credentials.signing import sign_bytes
from countermark.provenance.credentials.softbinding import SoftBinding
from countermark.provenance.credentials.verification import verify_image
from countermark.provenance.identities import certificates as certs
from countermark.provenance.identities.identity import external_identity

BINDING = SoftBinding("org.countermark.tile.1", b"12345678")
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
)


def issue(public_key, name="KMS key"):
    authority = certs.make_authority("KMS authority")
    leaf = certs.make_leaf(public_key, name, authority)
    return certs.to_pem(leaf, authority[1]), certs.to_pem(authority[1])


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "der"])
@pytest.mark.parametrize("bindings", [(), (BINDING,)], ids=["plain", "soft-binding"])
def test_callback_may_return_raw_or_der(encoded, raw, bindings):
    key = certs.make_key("es256")
    chain, anchor = issue(key.public_key())
    seen: list[int] = []

    def sign(data: bytes) -> bytes:
        seen.append(len(data))
        return certs.sign_with(key, "es256", data) if raw else key.sign(data, ec.ECDSA(hashes.SHA256()))

    identity = external_identity("kms", "es256", chain, sign)
    signed = sign_bytes(encoded("png"), identity=identity, soft_bindings=bindings)
    assert verify_image(signed.data, trust=anchor).state is State.TRUSTED
    assert len(seen) == 1 and signed.identity == "kms"


@pytest.mark.parametrize("bindings", [(), (BINDING,)], ids=["plain", "soft-binding"])
def test_failing_callback_is_a_typed_error(encoded, bindings):
    chain, _ = issue(certs.make_key("es256").public_key())

    def sign(data: bytes) -> bytes:
        raise TimeoutError("the vault is closed")

    with pytest.raises(ProvenanceError) as caught:
        sign_bytes(
            encoded("png"), identity=external_identity("kms", "es256", chain, sign), soft_bindings=bindings
        )
    assert caught.value.code == "key.callback" and "the vault is closed" in caught.value.message


def test_signature_of_another_key_is_not_trusted(encoded):
    chain, anchor = issue(certs.make_key("es256").public_key())
    other = certs.make_key("es256")
    identity = external_identity("kms", "es256", chain, lambda data: certs.sign_with(other, "es256", data))
    assert (
        verify_image(sign_bytes(encoded("png"), identity=identity).data, trust=anchor).state is State.INVALID
    )


def test_software_hsm(encoded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The key is made in the token, never leaves it, and signs through PKCS#11."""
    module = next((path for path in MODULES if os.path.exists(path)), None)
    if module is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM is not installed (Debian: apt-get install softhsm2)")
    pkcs11 = pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
    from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters

    tokens = tmp_path / "tokens"
    tokens.mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    init = [
        "softhsm2-util",
        "--init-token",
        "--free",
        "--label",
        "signing",
        "--pin",
        "1234",
        "--so-pin",
        "5678",
    ]
    subprocess.run(init, check=True, capture_output=True)
    token = pkcs11.lib(module).get_token(token_label="signing")
    with token.open(rw=True, user_pin="1234") as session:
        curve = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
        parameters = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
        public, private = parameters.generate_keypair(store=True, label="leaf")
        public_key = serialization.load_der_public_key(encode_ec_public_key(public))
        chain, anchor = issue(public_key, "HSM key")

        def sign(data: bytes) -> bytes:
            digest = hashes.Hash(hashes.SHA256())
            digest.update(data)
            return bytes(private.sign(digest.finalize(), mechanism=pkcs11.Mechanism.ECDSA))

        identity = external_identity("hsm", "es256", chain, sign)
        signed = sign_bytes(encoded("png"), identity=identity, soft_bindings=[BINDING])
        assert private[pkcs11.Attribute.EXTRACTABLE] is False
    assert verify_image(signed.data, trust=anchor).state is State.TRUSTED
