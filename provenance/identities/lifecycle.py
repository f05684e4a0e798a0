"""What happens to an identity after it was made: rotate, take out of use, revoke.

A rotated identity keeps its name and gets a new key; what the old key signed stays valid. A
revoked one is remembered by certificate serial, and ``verify`` refuses what it signed.
"""

from __future__ import annotations

import functools
import json
import os
import re
from dataclasses import asdict
from pathlib import Path

from countermark.core.errors import ProvenanceError
from countermark.core.files import atomic_write, private_dir
from countermark.provenance.identities import certificates as certs
from countermark.provenance.identities.authority import development_authority
from countermark.provenance.identities.records import (
    IdentityRecord,
    folder_of,
    now,
    read_record,
    root_dir,
    save_identity,
    until,
    write_record,
)


def rotate_identity(name: str, *, passphrase: str | None = None, days: int = 365) -> IdentityRecord:
    """Gives a development identity a new key and certificate; the old certificate is kept aside.

    Raises:
        ProvenanceError: ``identity.rotate`` for an imported identity, which needs its authority;
            ``key.passphrase`` when the old key was protected and no passphrase is given.
    """
    record = read_record(name)
    if record.kind != "development":
        raise ProvenanceError(
            f"{name!r} was issued by {record.issuer or 'another authority'} and cannot be rotated here.",
            code="identity.rotate",
            hint="Ask for a new certificate under a new name: countermark keys request NAME",
        )
    if record.protected and not passphrase:
        raise ProvenanceError(
            f"The key of {name!r} is protected, so the new one must be too.",
            code="key.passphrase",
            hint="Give the passphrase for the new key.",
        )
    folder = folder_of(name)
    old = private_dir(folder / "retired") / f"{record.serial}.pem"
    atomic_write(old, (folder / "chain.pem").read_bytes(), overwrite=True, mode=0o600)
    authority = development_authority()
    key = certs.make_key(record.algorithm)
    common_name, organization = _names(folder.joinpath("chain.pem").read_text(), name)
    leaf = certs.make_leaf(key.public_key(), common_name, authority, days=days, organization=organization)
    return save_identity(
        name, record.algorithm, "development", certs.to_pem(leaf, authority[1]), key,
        passphrase=passphrase, timestamp_url=record.timestamp_url, replace=True,
    )  # fmt: skip


def expire_identity(name: str, reason: str = "taken out of use") -> IdentityRecord:
    """Takes an identity out of use: it signs no more, and what it signed stays as it is."""
    return _set_status(name, "expired", reason)


def revoke_identity(name: str, reason: str = "key compromised") -> IdentityRecord:
    """Revokes an identity: it signs no more, and ``verify`` on this computer refuses its signatures."""
    record = _set_status(name, "revoked", reason)
    entries = revoked()
    entries[record.serial] = {"name": name, "reason": reason, "time": record.changed}
    atomic_write(_revoked_path(), json.dumps(entries, indent=1), overwrite=True, mode=0o600)
    return record


#: From how many days before its end a certificate is warned of.
EXPIRY_DAYS = 30


def expiry_warning(record: IdentityRecord) -> str:
    """A sentence when what an identity signs will soon hold no more (or from its end on), else empty.

    A signature without a time-stamp stops holding on the day when its certificate expires.
    """
    if record.status != "active" or not record.not_after:
        return ""
    days = int((until(record.not_after) - until(now())) // 86_400)
    if days <= EXPIRY_DAYS:
        rotate = f" Make a new one with: countermark keys rotate {record.name}"
        return f"The certificate of {record.name} expires in {days} days." + rotate * (
            record.kind == "development"
        )
    if record.timestamp_url is None:
        end = record.not_after[:10]
        return f"{record.name} has no time-stamp authority: what it signs holds only until {end}."
    return ""


def revoked() -> dict[str, dict[str, str]]:
    """Revoked certificates by serial number (decimal text): name, reason, time."""
    path = _revoked_path()
    if not os.path.isfile(path):
        return {}
    try:
        entries = json.loads(path.read_text())
    except ValueError as error:
        raise ProvenanceError(f"{path} is damaged: {error}.", code="identity.damaged") from error
    return {str(serial): entry for serial, entry in entries.items()}


def _set_status(name: str, status: str, reason: str) -> IdentityRecord:
    record = IdentityRecord(
        **{**asdict(read_record(name)), "status": status, "reason": reason, "changed": now()}
    )
    write_record(record)
    return record


def _revoked_path() -> Path:
    return _in(root_dir())


@functools.lru_cache(maxsize=8)
def _in(root: Path) -> Path:
    """Asked for at every verification, and joining paths takes longer than looking."""
    return root / "revoked.json"


def _names(chain_pem: str, name: str) -> tuple[str, str]:
    subject = certs.load_chain(chain_pem)[0].subject.rfc4514_string()
    parts = dict(re.findall(r"(CN|O)=((?:[^,\\]|\\.)*)", subject))
    return parts.get("CN", name), parts.get("O", "Countermark development")
