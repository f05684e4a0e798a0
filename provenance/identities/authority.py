"""This user's own development authority: it issues development identities, and only this user trusts it."""

from __future__ import annotations

import contextlib
import datetime
from pathlib import Path

from cryptography import x509

from countermark.core.errors import ProvenanceError
from countermark.core.files import atomic_write
from countermark.provenance.identities import certificates as certs
from countermark.provenance.identities.records import prepare, root_dir

_AUTHORITY = "_authority"
#: An authority that ends sooner makes no more certificates.
_LEAST = datetime.timedelta(hours=1)


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
    stored = certs.load_key(certs.read_private(folder / "ca-key.pem"))
    authority = certs.load_chain((folder / "ca.pem").read_bytes())[0]
    today = datetime.datetime.now(datetime.UTC)
    if not authority.not_valid_before_utc <= today < authority.not_valid_after_utc - _LEAST:
        raise ProvenanceError(
            f"The development authority is valid from {authority.not_valid_before_utc:%Y-%m-%d} to "
            f"{authority.not_valid_after_utc:%Y-%m-%d}, and by this computer's clock it is {today:%Y-%m-%d}.",
            code="authority.expired",
            hint=f"Check the clock. If it is right, put {folder} aside: a new authority is then made.",
        )
    return stored, authority
