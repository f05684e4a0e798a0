"""Checks that the library does not make: what may sign, what a source type may be, which marks are known.

Each guard adds findings to a manifest; none takes one away. One is called what it is: the library says
"expired" of a certificate that is not yet valid, as where a clock is wrong.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from countermark.provenance.credentials import chain, codes
from countermark.provenance.credentials.jumbf import certificates_of
from countermark.provenance.credentials.origin import unknown_types
from countermark.provenance.credentials.softbinding import known_algorithm
from countermark.provenance.identities.anchors import vouched_for
from countermark.provenance.identities.lifecycle import revoked
from countermark.provenance.identities.trust import TrustList

_ASSURANCE = x509.ObjectIdentifier("1.3.6.1.4.1.62558.3")
_PRODUCT = x509.ObjectIdentifier("1.3.6.1.4.1.62558.4")
#: The extension's value is an object identifier: 1.3.6.1.4.1.62558.3.10 or .20.
_LEVELS = {bytes.fromhex("060a2b0601040183e85e030a"): 1, bytes.fromhex("060a2b0601040183e85e0314"): 2}
_RECORD = re.compile(rb"\x0c\x24[0-9a-fA-F-]{36}")
_TIFF_TAG = 52545
_SERVICE_ONLY = {ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.OCSP_SIGNING}


def guard(
    store: Mapping[str, Any], findings: dict[str, chain.Findings], parts: Sequence[bytes], trust: TrustList
) -> dict[str, dict[str, Any]]:
    """Adds the guards' findings to ``findings``, by manifest label.

    Args:
        store: The manifest store as c2pa's reader gives it.
        findings: What validation said, changed in place.
        parts: The manifest stores and what is compressed in them, where the certificates are read.
        trust: Who was trusted. The library got signers' and time-stamps' authorities as one list.

    Returns:
        What each signer's certificate says of itself, see ``ChainLink``.
    """
    said: dict[str, dict[str, Any]] = {}
    manifests = store.get("manifests")
    if not isinstance(manifests, dict):
        return said
    certificates = _certificates(parts)
    barred = revoked()
    for label, manifest in manifests.items():
        if not isinstance(manifest, dict):
            continue
        found = findings.setdefault(label, chain.Findings())
        unknown = unknown_types(manifest)
        if unknown:
            found.notice[codes.SOURCE_TYPE_UNKNOWN] = unknown[0]
        if any(not known_algorithm(alg) for alg in _soft_binding_algorithms(manifest)):
            found.notice[codes.SOFT_BINDING_UNKNOWN] = ""
        signature = manifest.get("signature_info")
        serial = str(signature.get("cert_serial_number", "")) if isinstance(signature, dict) else ""
        present = certificates.get(label, [])
        leaves = [der for der in present if _serial(der) == serial]
        if leaves:
            said[label] = _facts(leaves[0])
        if leaves and codes.EXPIRED in found.failure and _begins(leaves[0]) > time.time():
            found.failure[codes.NOT_YET_VALID] = found.failure.pop(codes.EXPIRED)
        if any(_service_only(der) for der in leaves):
            found.failure[codes.TIMESTAMP_ONLY] = ""
        if not leaves and found.state() == "trusted":
            found.failure[codes.SIGNER_UNSEEN] = ""
        apart = trust.timestamps_pem and codes.TRUSTED in found.success
        if apart and not any(vouched_for((der, *present), trust.anchors_pem) for der in leaves):
            found.success.discard(codes.TRUSTED)
            found.failure.setdefault(codes.UNTRUSTED, "")
        entry = barred.get(serial)
        if entry is not None and not _stamped_before(found, signature, entry):
            found.failure[codes.REVOKED] = entry.get("reason", "")
    return said


def settle_tiff(store: dict[str, Any], crjson: Mapping[str, Any], data: bytes) -> None:
    """Takes the notice on further exclusions away where the only one is the length of the store itself.

    A TIFF names its credential by a tag (52545), whose count is written after the hash was taken: C2PA
    2.2, A.3.5 leaves those four bytes out, and the library warns of every second exclusion.
    """
    active: Any = next(iter(chain.sequence(crjson.get("manifests"))), {})
    hashed = chain.mapping(chain.mapping(chain.mapping(active).get("assertions")).get("c2pa.hash.data"))
    spans = [chain.mapping(each) for each in chain.sequence(hashed.get("exclusions"))]
    if len(spans) != 2:
        return
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    first, second = sorted(spans, key=lambda each: int(each.get("length", 0)))
    at = int(first.get("start", 0))
    tag, count = data[at - 4 : at - 2], int.from_bytes(data[at : at + 4], order)
    own = int.from_bytes(tag, order) == _TIFF_TAG and count == int(second.get("length", 0))
    if int(first.get("length", 0)) != 4 or not own:
        return
    results = chain.mapping(chain.mapping(store.get("validation_results")).get("activeManifest"))
    for entry in list(chain.sequence(results.get("informational"))):
        if chain.mapping(entry).get("code") == codes.EXCLUSIONS:
            results["informational"].remove(entry)


def _stamped_before(found: chain.Findings, signature: Any, entry: Mapping[str, str]) -> bool:
    """Whether a trusted time-stamp shows that the signature is older than the revocation."""
    time = str(signature.get("time", ""))
    return "timeStamp.trusted" in found.success and bool(time) and time[:19] < entry.get("time", "")[:19]


def _soft_binding_algorithms(manifest: Mapping[str, Any]) -> list[str]:
    assertions = manifest.get("assertions")
    found = []
    for assertion in assertions if isinstance(assertions, list) else []:
        if isinstance(assertion, dict) and str(assertion.get("label", "")).startswith("c2pa.soft-binding"):
            data = assertion.get("data")
            found.append(str(data.get("alg", "")) if isinstance(data, dict) else "")
    return found


def _certificates(parts: Sequence[bytes]) -> dict[str, list[bytes]]:
    """Every certificate in the signature boxes of manifest stores, by manifest label."""
    found: dict[str, list[bytes]] = {}
    for part in parts:
        for label, certificates in certificates_of(part).items():
            found.setdefault(label, []).extend(certificates)
    return found


@functools.lru_cache(maxsize=256)
def _facts(der: bytes) -> dict[str, Any]:
    """Assurance level and product record (C2PA certificate policy 0.2), and the end of validity."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        extensions = {each.oid: each.value for each in certificate.extensions}
    except ValueError:
        return {}
    facts: dict[str, Any] = {"not_after": certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")}
    level = extensions.get(_ASSURANCE)
    if isinstance(level, x509.UnrecognizedExtension):
        number = _LEVELS.get(level.value)
        if number is not None:
            facts["assurance_level"] = number
    record = extensions.get(_PRODUCT)
    if isinstance(record, x509.UnrecognizedExtension) and _RECORD.fullmatch(record.value):
        facts["product_record"] = record.value[2:].decode()
    return facts


@functools.lru_cache(maxsize=256)
def _begins(der: bytes) -> float:
    """From when on a certificate is valid, in seconds since 1970."""
    try:
        return x509.load_der_x509_certificate(der).not_valid_before_utc.timestamp()
    except ValueError:
        return 0.0


@functools.lru_cache(maxsize=256)
def _serial(der: bytes) -> str:
    try:
        return str(x509.load_der_x509_certificate(der).serial_number)
    except ValueError:
        return ""


@functools.lru_cache(maxsize=256)
def _service_only(der: bytes) -> bool:
    """Whether a certificate may only stamp times or answer for revocations."""
    try:
        usage = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except (ValueError, x509.ExtensionNotFound):
        return False
    return set(usage.value) <= _SERVICE_ONLY
