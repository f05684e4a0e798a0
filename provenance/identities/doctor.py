"""The certificate doctor: says why a certificate may not sign, and what to ask the authority for.

The c2pa library only says "the certificate is invalid". Here every rule of the C2PA certificate
profile (C2PA 2.x, "Certificate Profile") that it enforces has its own finding.

>>> [problem.code for problem in examine(pem)]    # doctest: +SKIP
['certificate.eku.missing', 'certificate.aki.missing']
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as Eku
from cryptography.x509.oid import SignatureAlgorithmOID as Sig

from countermark.core.errors import ProvenanceError
from countermark.core.results import Problem
from countermark.provenance.identities.certificates import load_chain

DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")
MS_DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.4.1.311.76.59.1.9")
C2PA_SIGNING = x509.ObjectIdentifier("1.3.6.1.4.1.62558.2.1")
#: What a signing certificate may be made for (C2PA 2.2, 14.4.1); trust lists add to these.
SIGNING = {Eku.EMAIL_PROTECTION, DOCUMENT_SIGNING, MS_DOCUMENT_SIGNING, C2PA_SIGNING}
_KNOWN = {
    x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.SubjectKeyIdentifier,
    x509.AuthorityKeyIdentifier, x509.CertificatePolicies, x509.SubjectAlternativeName,
    x509.CRLDistributionPoints, x509.AuthorityInformationAccess, x509.NameConstraints,
    x509.PolicyConstraints, x509.InhibitAnyPolicy, x509.IssuerAlternativeName,
}  # fmt: skip
_SIGNATURES = {
    Sig.ECDSA_WITH_SHA256, Sig.ECDSA_WITH_SHA384, Sig.ECDSA_WITH_SHA512, Sig.RSA_WITH_SHA256,
    Sig.RSA_WITH_SHA384, Sig.RSA_WITH_SHA512, Sig.RSASSA_PSS, Sig.ED25519,
}  # fmt: skip


def examine(
    chain: bytes | str | list[x509.Certificate],
    *,
    at: datetime.datetime | None = None,
    ekus: Iterable[str] = (),
) -> list[Problem]:
    """What is wrong with a certificate chain for signing Content Credentials.

    Args:
        chain: PEM certificates, the signing certificate first.
        at: The time to judge validity by; now by default.
        ekus: Extra extended key usages (dotted OIDs) that the trust list allows.

    Returns:
        Problems with ``severity`` ``failure`` (signing is refused or nobody will trust it) or
        ``notice``; ``where`` is ``certificate 1`` for the signing certificate and so on. Empty
        when all is well.

    Raises:
        ProvenanceError: ``certificate.unreadable``.
    """
    certificates = chain if isinstance(chain, list) else load_chain(chain)
    if not certificates:
        raise ProvenanceError("There is no certificate.", code="certificate.unreadable")
    when = at or datetime.datetime.now(datetime.UTC)
    allowed = {x509.ObjectIdentifier(oid) for oid in ekus}
    found = list(_leaf(certificates[0], allowed))
    for number, certificate in enumerate(certificates, 1):
        found += _each(certificate, f"certificate {number}", when)
    found += _order(certificates)
    return sorted(found, key=lambda each: each.severity != "failure")


def _problem(code: str, sentence: str, where: str = "certificate 1", severity: str = "failure") -> Problem:
    return Problem(f"certificate.{code}", sentence, severity, where)


def _leaf(leaf: x509.Certificate, allowed: set[x509.ObjectIdentifier]) -> Iterator[Problem]:
    if leaf.version is not x509.Version.v3:
        yield _problem("version", "It is not an X.509 v3 certificate. Ask for version 3.")
    try:
        extensions = leaf.extensions
    except ValueError as error:
        yield _problem("extensions", f"Its extensions cannot be read ({error}). Have it issued again.")
        return
    yield from _extended_usage(_value(extensions, x509.ExtendedKeyUsage), allowed)
    yield from _key_usage(_value(extensions, x509.KeyUsage))
    constraints = _value(extensions, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        yield _problem(
            "leaf.ca",
            "It is an authority's certificate (CA:TRUE), which must not sign images. "
            "Have it issue a signing certificate, and put that one first.",
        )
    self_signed = leaf.subject == leaf.issuer
    if _value(extensions, x509.AuthorityKeyIdentifier) is None:
        whom = "Make it again with" if self_signed else "Ask the authority to add"
        yield _problem("aki.missing", f"It has no authority key identifier. {whom} that extension.")
    if self_signed:
        yield _problem(
            "self-signed",
            "It is signed by itself, so others trust it only if they add this very certificate to "
            "their trust list. Use a certificate from an authority.",
            severity="notice",
        )
    yield from _key(leaf)


def _extended_usage(usage: Any, allowed: set[x509.ObjectIdentifier]) -> Iterator[Problem]:
    if usage is None:
        yield _problem(
            "eku.missing", "It has no extended key usage. Ask for emailProtection (1.3.6.1.5.5.7.3.4)."
        )
        return
    purposes = set(usage)
    if Eku.ANY_EXTENDED_KEY_USAGE in purposes:
        yield _problem(
            "eku.any",
            "It is made for any use (anyExtendedKeyUsage), which C2PA forbids. Ask for emailProtection.",
        )
        return
    service = purposes & {Eku.TIME_STAMPING, Eku.OCSP_SIGNING}
    if service and purposes - service:
        yield _problem(
            "eku.mixed",
            "It mixes time-stamping or OCSP with other uses, which C2PA forbids. "
            "Ask for emailProtection alone.",
        )
    elif service:
        yield _problem(
            "eku.service",
            "It is for time-stamps or OCSP answers only and must not sign images, though the library "
            "accepts it. Ask for emailProtection.",
        )
    elif purposes & (SIGNING | (allowed - {Eku.CODE_SIGNING})):
        if purposes & SIGNING == {C2PA_SIGNING}:
            yield _problem(
                "eku.policy",
                "It is made for C2PA claims alone. The C2PA certificate policy (0.2) asks for "
                "emailProtection or documentSigning besides.",
                severity="notice",
            )
        return
    else:
        names = ", ".join(sorted(getattr(oid, "_name", oid.dotted_string) for oid in purposes))
        yield _problem("eku.wrong", f"It is made for another use ({names}). Ask for emailProtection.")


def _key_usage(usage: Any) -> Iterator[Problem]:
    if usage is None:
        yield _problem("ku.missing", "It has no key usage. Ask for digitalSignature, marked critical.")
        return
    if usage.key_cert_sign:
        yield _problem(
            "ku.certsign",
            "Its key usage lets it sign certificates. Ask for digitalSignature without keyCertSign.",
        )
    if not (usage.digital_signature or usage.content_commitment):
        yield _problem("ku.wrong", "Its key usage does not allow signatures. Ask for digitalSignature.")


def _key(leaf: x509.Certificate) -> Iterator[Problem]:
    try:
        key = leaf.public_key()
    except (ValueError, Exception) as error:
        yield _problem("key.algorithm", f"Its key cannot be used ({error}). Use P-256, RSA or Ed25519.")
        return
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < 2048:
            yield _problem(
                "key.size", f"Its RSA key has {key.key_size} bits; at least 2048 are needed. Make a new key."
            )
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)):
            yield _problem(
                "key.curve",
                f"Its key is on the curve {key.curve.name}, which C2PA does not allow. "
                "Use P-256, P-384 or P-521.",
            )
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        yield _problem(
            "key.algorithm", f"Its key ({type(key).__name__}) is of a kind C2PA does not allow. Use P-256."
        )


def _each(certificate: x509.Certificate, where: str, when: datetime.datetime) -> Iterator[Problem]:
    who = "The signing certificate" if where == "certificate 1" else "This authority's certificate"
    if when > certificate.not_valid_after_utc:
        yield _problem(
            "expired", f"{who} expired on {certificate.not_valid_after_utc:%Y-%m-%d}. Have it renewed.", where
        )
    if when < certificate.not_valid_before_utc:
        yield _problem(
            "not-yet-valid",
            f"{who} is valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC. "
            "Wait, or check this computer's clock.",
            where,
        )
    if certificate.signature_algorithm_oid not in _SIGNATURES:
        name = getattr(certificate.signature_algorithm_oid, "_name", "unknown")
        yield _problem(
            "signature.algorithm",
            f"{who} is signed with {name}, which C2PA does not allow. Have it issued with SHA-256 or better.",
            where,
        )
    try:
        extensions = certificate.extensions
    except ValueError:
        return
    for extension in extensions:
        if extension.critical and type(extension.value) not in _KNOWN:
            yield _problem(
                "extension.critical",
                f"{who} has a critical extension ({extension.oid.dotted_string}) that readers do not know. "
                "Have it issued without, or not marked critical.",
                where,
            )


def _order(certificates: list[x509.Certificate]) -> Iterator[Problem]:
    for number, (below, above) in enumerate(itertools.pairwise(certificates), 1):
        where = f"certificate {number + 1}"
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature):
            if below.issuer != above.subject:
                yield _problem(
                    "chain.order",
                    f"Certificate {number + 1} did not issue certificate {number}. Order them: signing "
                    "certificate first, then the one that issued it, and so on.",
                    where,
                )
            else:
                yield _problem(
                    "chain.signature",
                    f"Certificate {number + 1} has the issuer's name, but not the key that signed "
                    f"certificate {number}. Use the certificate that the authority sent along.",
                    where,
                )
            continue
        constraints = _value(above.extensions, x509.BasicConstraints)
        if constraints is None or not constraints.ca:
            yield _problem(
                "chain.ca", f"Certificate {number + 1} is not an authority's certificate (CA:TRUE).", where
            )
    if len(certificates) == 1 and certificates[0].subject != certificates[0].issuer:
        yield _problem(
            "chain.alone",
            "It comes alone. Add the certificates of the authorities between it and the root, or "
            "readers may not find the way to a root they trust.",
            severity="notice",
        )


def _value(extensions: x509.Extensions, kind: Any) -> Any:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
