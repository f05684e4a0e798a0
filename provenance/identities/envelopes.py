"""Signed JSON beside pictures: DSSE envelopes (Dead Simple Signing Envelope 1.0) by an identity.

The certificate chain goes with the signature, under the names that in-toto's Witness gives it
(``certificate``, ``intermediates``), so that a reader needs no list of keys. ECDSA signatures are DER, as
DSSE libraries have them; RSA ones PSS.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID

from countermark.core.errors import ProvenanceError
from countermark.provenance.identities.anchors import vouched_for
from countermark.provenance.identities.certificates import load_chain, to_pem
from countermark.provenance.identities.identity import Identity
from countermark.provenance.identities.lifecycle import revoked
from countermark.provenance.identities.trust import TrustList

MAX_BYTES = 16 * 1024 * 1024
_MAX_SIGNATURES, _MAX_CHAIN = 8, 10


@dataclass(frozen=True)
class Opened:
    """What an envelope holds, once its signature was found good.

    Attributes:
        payload: The bytes that were signed.
        payload_type: Their media type.
        signer: Common name, or else organisation, of the signer's certificate.
        trusted: Whether the signer's chain leads to an authority that is trusted, and is valid today.
        problem: Why it is not trusted, or empty.
    """

    payload: bytes
    payload_type: str
    signer: str
    trusted: bool
    problem: str = ""


def seal(payload: bytes, payload_type: str, identity: Identity) -> bytes:
    """An envelope around ``payload``, as JSON, signed by ``identity``.

    Raises:
        ProvenanceError: the identity cannot sign.
    """
    leaf, *above = load_chain(identity.chain_pem)
    signature = identity.sign(_to_sign(payload, payload_type))
    if identity.algorithm.startswith("es"):
        half = len(signature) // 2
        signature = encode_dss_signature(
            int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
        )
    envelope = {
        "payloadType": payload_type,
        "payload": _text(payload),
        "signatures": [
            {
                "keyid": _key_id(leaf),
                "sig": _text(signature),
                "certificate": _text(to_pem(leaf).encode()),
                "intermediates": [_text(to_pem(each).encode()) for each in above],
            }
        ],
    }
    return (json.dumps(envelope, indent=1) + "\n").encode()


def unseal(data: bytes, trust: TrustList, today: datetime.datetime | None = None) -> Opened:
    """Checks an envelope's signature; the first one that is good decides.

    Args:
        data: The envelope.
        trust: Whose signature counts.
        today: The day on which certificates must be valid; by default now.

    Raises:
        ProvenanceError: ``envelope.unreadable``: no envelope; ``envelope.signature``: no signature holds.
    """
    payload, kind, signatures = _parsed(data)
    signed = _to_sign(payload, kind)
    for entry in signatures:
        chain = _chain(entry)
        if chain and _holds(chain[0], entry.get("sig"), signed):
            problem = _doubt(chain, trust, today or datetime.datetime.now(datetime.UTC))
            return Opened(payload, kind, _signer(chain[0]), not problem, problem)
    raise ProvenanceError(
        "No signature of the envelope holds: it was changed, or is not signed by the certificate in it.",
        code="envelope.signature",
        hint="Ask for the original file.",
    )


def _parsed(data: bytes) -> tuple[bytes, str, list[dict[str, Any]]]:
    try:
        if len(data) > MAX_BYTES:
            raise ValueError("too large")
        content = json.loads(data)
        payload, kind = _bytes(content["payload"]), content["payloadType"]
        signatures = [each for each in content["signatures"] if isinstance(each, dict)]
        if not isinstance(kind, str) or not 0 < len(signatures) <= _MAX_SIGNATURES:
            raise ValueError("no signatures")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProvenanceError(
            "The file is no signed statement (DSSE envelope).",
            code="envelope.unreadable",
            hint="Give a file that countermark audit run --statement wrote.",
        ) from error
    return payload, kind, signatures


def _chain(entry: dict[str, Any]) -> list[x509.Certificate]:
    above = entry.get("intermediates")
    texts = [entry.get("certificate"), *(above if isinstance(above, list) else [])][:_MAX_CHAIN]
    try:
        return [certificate for text in texts for certificate in load_chain(_bytes(text))]
    except (ProvenanceError, ValueError, TypeError):
        return []


def _holds(leaf: x509.Certificate, text: Any, signed: bytes) -> bool:
    try:
        key, signature = leaf.public_key(), _bytes(text)
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, signed)
            return True
        if isinstance(key, ec.EllipticCurvePublicKey):
            digest = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[key.curve.key_size]
            key.verify(signature, signed, ec.ECDSA(digest))
            return True
    except (InvalidSignature, UnsupportedAlgorithm, KeyError, ValueError):
        return False
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    for kind in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512()):
        try:
            pss = padding.PSS(mgf=padding.MGF1(kind), salt_length=kind.digest_size)
            key.verify(signature, signed, pss, kind)
        except InvalidSignature:
            continue
        return True
    return False


def _doubt(chain: list[x509.Certificate], trust: TrustList, today: datetime.datetime) -> str:
    leaf = chain[0]
    if str(leaf.serial_number) in revoked():
        return "The signer's certificate was revoked."
    if not all(each.not_valid_before_utc <= today <= each.not_valid_after_utc for each in chain):
        return "The signer's certificate, or one above it, is not valid today."
    ders = tuple(each.public_bytes(serialization.Encoding.DER) for each in chain)
    if not vouched_for(ders, trust.anchors_pem):
        return "The signer is not on the trust list, so anyone could have made this statement."
    return ""


def _signer(leaf: x509.Certificate) -> str:
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        found = leaf.subject.get_attributes_for_oid(kind)
        if found:
            return str(found[0].value)
    return "a certificate without a name"


def _key_id(leaf: x509.Certificate) -> str:
    key = leaf.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(key).hexdigest()


def _to_sign(payload: bytes, payload_type: str) -> bytes:
    """DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: Any) -> bytes:
    if not isinstance(text, str):
        raise ValueError("no text")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error
