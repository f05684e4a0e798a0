"""The store of signing identities: one folder each, private, under the user's configuration.

``default`` is a development identity made on first use: its own authority issues it, so only
this computer (and whoever imports ``authority_pem()``) trusts it.

>>> identity = get_identity("default")            # doctest: +SKIP
>>> identity.algorithm, identity.kind             # doctest: +SKIP
('es256', 'development')

Layout: ``<config>/identities/<name>/{identity.json, chain.pem, key.pem}`` and, for the
development authority, ``<config>/identities/_authority/{ca.pem, ca-key.pem}``. Folders are 0700,
files 0600. Folders are prepared aside and renamed into place, so concurrent first uses agree.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from cryptography import x509

from countermark.core.errors import ProvenanceError
from countermark.core.files import atomic_write, config_dir
from countermark.provenance.identities import certificates as certs
from countermark.provenance.identities.authority import development_authority
from countermark.provenance.identities.identity import (
    Identity,
    SignCallback,
    check_matches,
    external_identity,
)
from countermark.provenance.identities.lifecycle import rotate_identity
from countermark.provenance.identities.records import (
    IdentityRecord,
    folder_of,
    read_record,
    records,
    save_identity,
    stamp_of,
    until,
)

__all__ = [
    "Identity",
    "IdentityRecord",
    "SignCallback",
    "create_identity",
    "external_identity",
    "get_identity",
    "import_identity",
    "list_identities",
    "request_csr",
    "save_identity",
]

PASSPHRASE_VARIABLE = "COUNTERMARK_PASSPHRASE"
#: Unprotected identities that were read, by configuration folder and name: what their files looked
#: like, valid until (seconds since 1970), the identity, its folder.
_loaded: dict[tuple[Path, str], tuple[tuple[int, ...], float, Identity, str]] = {}


def get_identity(name: str = "default", *, passphrase: str | None = None) -> Identity:
    """The identity called ``name``; ``default`` is created on first use.

    Args:
        name: As listed by ``list_identities``.
        passphrase: Of the private key; else ``$COUNTERMARK_PASSPHRASE``.

    Raises:
        UnknownNameError: No such identity.
        ProvenanceError: ``identity.expired``, ``identity.revoked``, ``identity.requested``,
            ``key.passphrase``, ``key.permissions``.
    """
    place = (config_dir(), name)
    kept = _loaded.get(place)
    if kept is not None and kept[0] == stamp_of(kept[3]) and kept[1] > time.time():
        return kept[2]
    folder = folder_of(name)
    stamp = stamp_of(folder)
    if name == "default" and not (folder / "identity.json").exists():
        try:
            create_identity("default")
        except ProvenanceError as error:
            if error.code != "identity.exists":  # else another process was faster
                raise
    record = read_record(name)
    if (
        name == "default"
        and record.kind == "development"
        and record.status == "expired"
        and not record.reason
    ):
        record = rotate_identity(name)
    if record.status != "active":
        raise ProvenanceError(
            f"The identity {name!r} is {record.status}" + (f" ({record.reason})." if record.reason else "."),
            code=f"identity.{record.status}",
            hint={
                "requested": "Import the certificate that the authority sent you.",
                "expired": f"Make a new certificate with: countermark keys rotate {name}",
            }.get(record.status, "Use or create another identity."),
        )
    secret = passphrase or os.environ.get(PASSPHRASE_VARIABLE) or None
    key = certs.load_key(certs.read_private(folder / "key.pem"), secret if record.protected else None)
    chain = (folder / "chain.pem").read_text()
    if certs.load_chain(chain)[0].public_key() != key.public_key():
        raise ProvenanceError(
            f"Key and certificate of the identity {name!r} do not belong together.",
            code="identity.damaged",
            hint="Restore the folder from a backup, or make a new identity.",
        )
    identity = Identity(name, record.algorithm, chain, record.kind, record.timestamp_url, key)
    if not record.protected and stamp is not None:
        _loaded[place] = (stamp, until(record.not_after), identity, str(folder))
    return identity


def list_identities() -> list[IdentityRecord]:
    """Every stored identity, by name."""
    return records()


def create_identity(
    name: str,
    *,
    algorithm: str = "es256",
    passphrase: str | None = None,
    days: int = 365,
    organization: str = "Countermark development",
    common_name: str | None = None,
    timestamp_url: str | None = None,
) -> IdentityRecord:
    """Makes a development identity, issued by this user's own development authority.

    Raises:
        ProvenanceError: ``identity.exists``, ``identity.name`` or ``key.algorithm``.
    """
    authority = development_authority()
    key = certs.make_key(algorithm)
    leaf = certs.make_leaf(
        key.public_key(),
        common_name or f"{name} (development)",
        authority,
        days=days,
        organization=organization,
    )
    return save_identity(
        name,
        algorithm,
        "development",
        certs.to_pem(leaf, authority[1]),
        key,
        passphrase=passphrase,
        timestamp_url=timestamp_url,
    )


def request_csr(
    name: str,
    *,
    organization: str,
    common_name: str,
    country: str | None = None,
    algorithm: str = "es256",
    passphrase: str | None = None,
) -> bytes:
    """Makes a key and returns the PEM signing request to send to a certificate authority.

    The identity stays ``requested`` until ``import_identity(name, chain=…)`` completes it.
    """
    key = certs.make_key(algorithm)
    request = certs.make_csr(key, common_name, organization, country)
    save_identity(name, algorithm, "imported", "", key, passphrase=passphrase, status="requested")
    atomic_write(folder_of(name) / "request.csr", request, mode=0o600)
    return request


def import_identity(
    name: str,
    *,
    chain: bytes | str | None = None,
    key: bytes | None = None,
    pkcs12: bytes | None = None,
    passphrase: str | None = None,
    keep_passphrase: str | None = None,
    algorithm: str | None = None,
    timestamp_url: str | None = None,
) -> IdentityRecord:
    """Stores a certificate from an authority, as PEM chain + PEM key or as PKCS#12.

    Args:
        name: New name, or one that waits for its certificate after ``request_csr``.
        chain: PEM certificates, the signing certificate first.
        key: PEM private key; not needed after ``request_csr``.
        pkcs12: PKCS#12 bytes, instead of ``chain`` and ``key``.
        passphrase: Opens ``key`` or ``pkcs12``.
        keep_passphrase: Protects the stored key.
        algorithm: For RSA keys: ``ps256`` (default), ``ps384`` or ``ps512``.
        timestamp_url: RFC 3161 authority for every signature, or None.

    Raises:
        ProvenanceError: ``certificate.unreadable``, ``key.unreadable``, ``key.passphrase``,
            ``key.mismatch`` (key and certificate don't belong together), ``identity.exists``.
    """
    folder = folder_of(name)
    waiting = (folder / "identity.json").is_file() and read_record(name).status == "requested"
    if pkcs12 is not None:
        private, chain_pem = _open_pkcs12(pkcs12, passphrase)
    else:
        if chain is None or (key is None and not waiting):
            raise ProvenanceError(
                "An identity needs a certificate chain and its private key.",
                code="identity.incomplete",
                hint="Give both, or a PKCS#12 file.",
            )
        chain_pem = certs.to_pem(*certs.load_chain(chain))
        private = certs.load_key(key or certs.read_private(folder / "key.pem"), passphrase)
    leaf = certs.load_chain(chain_pem)[0]
    if leaf.public_key() != private.public_key():
        raise ProvenanceError(
            "The private key does not belong to the first certificate of the chain.",
            code="key.mismatch",
            hint="Put the signing certificate first, and check that it was made from this key.",
        )
    chosen = certs.check_algorithm(algorithm or certs.algorithm_of(private))
    check_matches(chain_pem, chosen)
    return save_identity(
        name, chosen, "imported", chain_pem, private,
        passphrase=keep_passphrase, replace=waiting, timestamp_url=timestamp_url,
    )  # fmt: skip


def _open_pkcs12(data: bytes, passphrase: str | None) -> tuple[certs.PrivateKey, str]:
    from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates

    try:
        key, leaf, others = load_key_and_certificates(data, passphrase.encode() if passphrase else None)
    except ValueError as error:
        raise ProvenanceError(
            "The PKCS#12 file cannot be opened.", code="key.passphrase", hint="Check its passphrase."
        ) from error
    if key is None or leaf is None:
        raise ProvenanceError(
            "The PKCS#12 file holds no key with its certificate.", code="identity.incomplete"
        )
    certs.algorithm_of(key)
    return key, certs.to_pem(leaf, *_in_order(leaf, others))  # type: ignore[return-value]


def _in_order(leaf: x509.Certificate, others: list[x509.Certificate]) -> list[x509.Certificate]:
    """PKCS#12 keeps no order: each certificate after the one that it issued."""
    ordered: list[x509.Certificate] = []
    left, current = list(others), leaf
    while issuer := next((each for each in left if each.subject == current.issuer), None):
        ordered.append(issuer)
        left.remove(issuer)
        current = issuer
    return ordered
