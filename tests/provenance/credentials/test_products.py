"""What a signer's certificate says of the conformance programme: assurance level, record of its product."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from countermark.provenance.credentials.history import as_text, history_tree
from countermark.provenance.credentials.signing import sign_bytes
from countermark.provenance.credentials.verification import verify_image
from countermark.provenance.identities import certificates as certs
from countermark.provenance.identities.identity import Identity

RECORD = "0197aa34-665b-7811-9bbc-317cfd988d0a"
LEVEL_2 = bytes.fromhex("060a2b0601040183e85e0314")


def identity(**extensions: bytes) -> Identity:
    """An identity whose certificate holds further extensions, by ``level`` and ``record``."""
    authority_key, authority = certs.make_authority("Example authority")
    key = certs.make_key("es256")
    plain = certs.make_leaf(key.public_key(), "camera", (authority_key, authority))
    builder = x509.CertificateBuilder(
        issuer_name=authority.subject,
        subject_name=plain.subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=plain.not_valid_before_utc,
        not_valid_after=plain.not_valid_after_utc - datetime.timedelta(days=1),
        extensions=list(plain.extensions),
    )
    numbers = {"level": "1.3.6.1.4.1.62558.3", "record": "1.3.6.1.4.1.62558.4"}
    for name, value in extensions.items():
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier(numbers[name]), value)
        builder = builder.add_extension(unknown, critical=False)
    leaf = builder.sign(authority_key, hashes.SHA256())
    return Identity("camera", "es256", certs.to_pem(leaf, authority), _key=key)


def test_level_and_record_are_shown(encoded) -> None:
    signer = identity(level=LEVEL_2, record=b"\x0c\x24" + RECORD.encode())
    found = verify_image(sign_bytes(encoded("png"), identity=signer).data)
    assert found.chain[0].certificate["assurance_level"] == 2
    assert found.chain[0].certificate["product_record"] == RECORD
    assert f"assurance level 2, conforming product {RECORD}" in as_text(history_tree(found))


def test_what_is_written_otherwise_is_not_taken_for_one(encoded) -> None:
    signer = identity(level=b"\x06\x01\x00", record=b"\x0c\x24" + b"<script>".ljust(36, b"x"))
    found = verify_image(sign_bytes(encoded("png"), identity=signer).data)
    assert found.chain[0].certificate.keys() == {"not_after"}
    assert "assurance level" not in as_text(history_tree(found))
