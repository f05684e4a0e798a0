"""This user's own development authority: it issues development identities, and only this user trusts it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from cryptography import x509

from countermark.core.errors import ProvenanceError
from countermark.core.files import atomic_write
from countermark.provenance.identities import certificates as certs
from countermark.provenance.identities.records import prepare, root_dir

_AUTHORITY = "_authority"


def authority_pem() -> str:
    """The certificate of this user's development authority, or an empty text if none was made."""
    path = authority_path()
    return path.read_text() if path.is_file() else ""


def authority_path() -> Path:
    """Where the certificate of this user's development authority lies."""
    return root_dir() / _AUTHORITY / "ca.pem"


def development_authority() -> tuple[certs.PrivateKey, x509.Certificate]:
    """The development authority's key and certificate, made on first use."""
    folder = root_dir() / _AUTHORITY
    if not folder.is_dir():
        key, ca = certs.make_authority("Countermark development authority")
        with contextlib.suppress(ProvenanceError), prepare(folder) as draft:  # who is first, wins
            atomic_write(draft / "ca.pem", certs.to_pem(ca), mode=0o600)
            atomic_write(draft / "ca-key.pem", certs.key_to_pem(key), mode=0o600)
    stored = certs.load_key((folder / "ca-key.pem").read_bytes())
    return stored, certs.load_chain((folder / "ca.pem").read_bytes())[0]
