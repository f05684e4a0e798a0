"""Export and import of a repository as JSON lines, for backups and for moving to another database.

>>> import tempfile, pathlib
>>> from countermark.provenance.repository.records import ManifestRecord
>>> from countermark.provenance.repository.store import open_repository
>>> here, there = open_repository("sqlite://"), open_repository("sqlite://")
>>> _ = here.add(ManifestRecord("urn:c2pa:1", b"jumbf", sha256="0" * 64))
>>> path = pathlib.Path(tempfile.mkdtemp()) / "manifests.jsonl"
>>> export(here, path)
1
>>> import_(there, path)
(1, 0)

The first line names the format; then one record or one deletion a line, bytes as base64.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from countermark.core.errors import ProvenanceError
from countermark.core.files import atomic_path
from countermark.provenance.repository.records import MAX_STORE_BYTES, ManifestRecord
from countermark.provenance.repository.store import Repository

SCHEMA = "countermark.manifests/1"

#: A line holds a manifest store as base64 and little else.
MAX_LINE_BYTES = MAX_STORE_BYTES * 4 // 3 + 65_536

_BYTES = ("store", "payload", "fingerprint", "regions", "sketch")
_BATCH = 200


def export(repository: Repository, path: Path | str, *, overwrite: bool = False) -> int:
    """Writes all records and traces of deletions to ``path`` (0600); returns the number of records.

    Raises:
        OutputError: ``output.exists`` or ``output.failed``.
    """
    count = 0
    with (
        atomic_path(path, overwrite=overwrite, mode=0o600) as temporary,
        open(temporary, "w", encoding="utf-8") as stream,
    ):
        stream.write(json.dumps({"schema": SCHEMA}) + "\n")
        for record in repository:
            values = asdict(record)
            for name in _BYTES:
                if values[name] is not None:
                    values[name] = base64.b64encode(values[name]).decode()
            stream.write(json.dumps({"record": values}) + "\n")
            count += 1
        for trace in repository.deleted():
            stream.write(json.dumps({"deletion": asdict(trace)}) + "\n")
    return count


def import_(repository: Repository, path: Path | str, *, restore_deleted: bool = False) -> tuple[int, int]:
    """Adds the records of an export that the repository does not hold yet.

    Args:
        restore_deleted: Also add records that were deleted here; otherwise they stay deleted.

    Returns:
        How many records were added, and how many were skipped because they are there or deleted.

    Raises:
        ProvenanceError: ``repository.import`` with the number of the line that is not understood.
            Records of earlier lines stay.
    """
    gone = set() if restore_deleted else {trace.manifest_id for trace in repository.deleted()}
    added = skipped = 0
    batch: dict[str, ManifestRecord] = {}
    for record in _records(Path(path)):
        known = record.manifest_id in batch or record.manifest_id in gone
        if known or repository.by_manifest_id(record.manifest_id) is not None:
            skipped += 1
            continue
        batch[record.manifest_id] = record
        if len(batch) >= _BATCH:
            added += repository.add_all(batch.values())
            batch.clear()
    return added + repository.add_all(batch.values()), skipped


def _records(path: Path) -> Iterator[ManifestRecord]:
    try:
        with open(path, "rb") as stream:
            for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE_BYTES + 1), b""), 1):
                record = _parse(number, line)
                if record is not None:
                    yield record
    except OSError as error:
        raise ProvenanceError(
            f"{path} cannot be read: {error.strerror}.", code="repository.import"
        ) from error


def _parse(number: int, line: bytes) -> ManifestRecord | None:
    if len(line) > MAX_LINE_BYTES:
        raise _bad(number, "is too long")
    try:
        entry = json.loads(line)
        if number == 1:
            if not isinstance(entry, dict) or entry.get("schema") != SCHEMA:
                raise _bad(number, f"does not say {SCHEMA}")
            return None
        values: dict[str, Any] | None = entry.get("record")
        if values is None:
            return None
        for name in _BYTES:
            if values.get(name) is not None:
                values[name] = base64.b64decode(values[name], validate=True)
        for name, value in values.items():
            if name not in _BYTES and value is not None and not isinstance(value, str):
                raise _bad(number, f"has a {name} that is not text")
        return ManifestRecord(**values)
    except ProvenanceError as error:
        if error.code == "repository.import":
            raise
        raise _bad(number, f"is not a valid record: {error.message}") from error
    except (ValueError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise _bad(number, f"is not understood ({type(error).__name__})") from error


def _bad(number: int, what: str) -> ProvenanceError:
    return ProvenanceError(
        f"Line {number} of the export {what}.",
        code="repository.import",
        hint="Import files that 'countermark' exported, unchanged.",
    )
