"""Identities on disk: records, keys and chains in private folders, written whole or not at all."""

from __future__ import annotations

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

from countermark.core.errors import ProvenanceError, UnknownNameError, known_names
from countermark.core.files import atomic_write, config_dir, private_dir
from countermark.provenance.identities import certificates as certs

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


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


def records() -> list[IdentityRecord]:
    """Every stored identity, by name."""
    root = root_dir()
    names = [each.name for each in root.iterdir() if _NAME.fullmatch(each.name)] if root.is_dir() else []
    return [read_record(name) for name in sorted(names) if (root / name / "identity.json").is_file()]


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
        known = known_names(name, [record.name for record in records()])
        raise UnknownNameError(
            f"No identity is called {name!r}.",
            code="identity.unknown",
            hint=f"{known} Make one with: countermark keys create {name}",
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
        raise exists(name)
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
    with prepare(folder) as draft:
        for file, content in files.items():
            atomic_write(draft / file, content, mode=0o600)
    return record


def now() -> str:
    """The time now, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def until(moment: str) -> float:
    """A record's time as seconds since 1970."""
    return datetime.datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S%z").timestamp()


def stamp_of(folder: Path | str) -> tuple[int, ...] | None:
    """What changes when a stored identity changes."""
    try:
        files = [os.stat(f"{folder}/{name}") for name in ("identity.json", "key.pem")]
    except OSError:
        return None
    return tuple(
        number for each in files for number in (each.st_mtime_ns, each.st_size, each.st_ino, each.st_mode)
    )


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


@contextmanager
def prepare(folder: Path) -> Iterator[Path]:
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
                raise exists(folder.name) from error
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def exists(name: str) -> ProvenanceError:
    """The error for a name that is taken."""
    return ProvenanceError(
        f"An identity called {name!r} exists already.",
        code="identity.exists",
        hint="Choose another name, or rotate it.",
    )
