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

import contextlib
import datetime
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography import x509

from countermark.core.errors import ProvenanceError, UnknownNameError
from countermark.core.files import atomic_write, config_dir, private_dir
from countermark.provenance import certificates as certs
from countermark.provenance.identity import Identity, SignCallback, check_matches, external_identity

__all__ = [
    "Identity",
    "IdentityRecord",
    "SignCallback",
    "authority_pem",
    "create_identity",
    "external_identity",
    "get_identity",
    "import_identity",
    "list_identities",
    "request_csr",
    "save_identity",
]

PASSPHRASE_VARIABLE = "COUNTERMARK_PASSPHRASE"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_AUTHORITY = "_authority"


@dataclass(frozen=True)
class IdentityRecord:
    """What is known of a stored identity. Times are ISO 8601, UTC.

    ``status`` is ``active``, ``requested`` (a CSR waits for its certificate), ``expired``
    (its time is over, or it was taken out of use) or ``revoked``.
    """

    name: str
    algorithm: str
    kind: str
    status: str
    subject: str = ""
    issuer: str = ""
    serial: str = ""
    not_after: str = ""
    protected: bool = False
    timestamp_url: str | None = None
    reason: str = ""
    changed: str = ""


def get_identity(name: str = "default", *, passphrase: str | None = None) -> Identity:
    """The identity called ``name``; ``default`` is created on first use.

    Args:
        name: As listed by ``list_identities``.
        passphrase: Of the private key; else ``$COUNTERMARK_PASSPHRASE``.

    Raises:
        UnknownNameError: No such identity.
        ProvenanceError: ``identity.expired``, ``identity.revoked``, ``identity.requested``,
            ``key.passphrase``.
    """
    folder = folder_of(name)
    if name == "default" and not (folder / "identity.json").exists():
        with contextlib.suppress(ProvenanceError):  # another process was faster
            create_identity("default")
    record = read_record(name)
    if (
        name == "default"
        and record.kind == "development"
        and record.status == "expired"
        and not record.reason
    ):
        from countermark.provenance.lifecycle import rotate_identity

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
    key = certs.load_key((folder / "key.pem").read_bytes(), secret if record.protected else None)
    chain = (folder / "chain.pem").read_text()
    return Identity(name, record.algorithm, chain, record.kind, record.timestamp_url, key)


def list_identities() -> list[IdentityRecord]:
    """Every stored identity, by name."""
    root = root_dir()
    names = [each.name for each in root.iterdir() if _NAME.fullmatch(each.name)] if root.is_dir() else []
    return [read_record(name) for name in sorted(names) if (root / name / "identity.json").is_file()]


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
        private = certs.load_key(key or (folder / "key.pem").read_bytes(), passphrase)
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


def authority_pem() -> str:
    """The certificate of this user's development authority, or an empty text if none was made."""
    path = root_dir() / _AUTHORITY / "ca.pem"
    return path.read_text() if path.is_file() else ""


def development_authority() -> tuple[certs.PrivateKey, x509.Certificate]:
    """The development authority's key and certificate, made on first use."""
    folder = root_dir() / _AUTHORITY
    if not folder.is_dir():
        key, ca = certs.make_authority("Countermark development authority")
        with contextlib.suppress(ProvenanceError), _prepare(folder) as draft:  # who is first, wins
            atomic_write(draft / "ca.pem", certs.to_pem(ca), mode=0o600)
            atomic_write(draft / "ca-key.pem", certs.key_to_pem(key), mode=0o600)
    stored = certs.load_key((folder / "ca-key.pem").read_bytes())
    return stored, certs.load_chain((folder / "ca.pem").read_bytes())[0]


def root_dir() -> Path:
    """Where identities live."""
    return config_dir() / "identities"


def folder_of(name: str) -> Path:
    """The folder of an identity; ProvenanceError ``identity.name`` for a name that is no name."""
    if not _NAME.fullmatch(name):
        raise ProvenanceError(
            f"{name!r} is not a name for an identity.",
            code="identity.name",
            hint="Use letters, digits, dots, dashes and underscores, 64 at most.",
        )
    return root_dir() / name


def read_record(name: str) -> IdentityRecord:
    """The record of a stored identity, its status by today's date."""
    path = folder_of(name) / "identity.json"
    if not path.is_file():
        known = ", ".join(record.name for record in list_identities()) or "none yet"
        raise UnknownNameError(
            f"No identity is called {name!r}.",
            code="identity.unknown",
            hint=f"Known: {known}. Make one with: countermark keys create {name}",
        )
    try:
        record = IdentityRecord(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise ProvenanceError(f"{path} is damaged: {error}.", code="identity.damaged") from error
    over = record.not_after and record.not_after < now()
    if record.status == "active" and over:
        return IdentityRecord(**{**asdict(record), "status": "expired"})
    return record


def write_record(record: IdentityRecord) -> None:
    """Replaces the record of an identity."""
    text = json.dumps(asdict(record), indent=1)
    atomic_write(folder_of(record.name) / "identity.json", text, overwrite=True, mode=0o600)


def save_identity(
    name: str,
    algorithm: str,
    kind: str,
    chain_pem: str,
    key: certs.PrivateKey,
    *,
    passphrase: str | None = None,
    timestamp_url: str | None = None,
    status: str = "active",
    replace: bool = False,
) -> IdentityRecord:
    """Stores key, chain and record; refuses a name that is taken unless ``replace``."""
    folder = folder_of(name)
    if folder.exists() and not replace:
        raise _exists(name)
    record = IdentityRecord(
        name, certs.check_algorithm(algorithm), kind, status,
        protected=bool(passphrase), timestamp_url=timestamp_url, changed=now(), **_facts(chain_pem),
    )  # fmt: skip
    files = {
        "key.pem": certs.key_to_pem(key, passphrase),
        "chain.pem": chain_pem.encode(),
        "identity.json": json.dumps(asdict(record), indent=1).encode(),
    }
    if replace:
        for file, content in files.items():
            atomic_write(folder / file, content, overwrite=True, mode=0o600)
        return record
    with _prepare(folder) as draft:
        for file, content in files.items():
            atomic_write(draft / file, content, mode=0o600)
    return record


def now() -> str:
    """The time now, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _facts(chain_pem: str) -> dict[str, Any]:
    if not chain_pem:
        return {}
    leaf = certs.load_chain(chain_pem)[0]
    return {
        "subject": leaf.subject.rfc4514_string(),
        "issuer": leaf.issuer.rfc4514_string(),
        "serial": str(leaf.serial_number),
        "not_after": leaf.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


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


@contextmanager
def _prepare(folder: Path) -> Iterator[Path]:
    """Yields a private folder that becomes ``folder`` whole; raises if another was first."""
    private_dir(folder.parent)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    os.chmod(draft, 0o700)
    try:
        yield draft
        try:
            os.rename(draft, folder)
        except OSError as error:
            if folder.is_dir():
                raise _exists(folder.name) from error
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _exists(name: str) -> ProvenanceError:
    return ProvenanceError(
        f"An identity called {name!r} exists already.",
        code="identity.exists",
        hint="Choose another name, or rotate it.",
    )
