"""``countermark records``: the manifest repository, by which stripped credentials are found again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from countermark.cli.output import FAIL, JSON, PASS, say, say_json
from countermark.core.files import atomic_write

if TYPE_CHECKING:
    from countermark.provenance.repository import ManifestRecord, Repository

app = typer.Typer(
    help="The manifest repository: list, show, export, import, delete with a trace.", no_args_is_help=True
)
REPOSITORY = typer.Option(None, "--repository", help="Database URL; your own by default.")


@app.command("list")
def list_records(
    limit: int = typer.Option(50, "--limit", min=1, help="Records to list."),
    repository: str | None = REPOSITORY,
    as_json: bool = JSON,
) -> int:
    """List records, oldest first."""
    with opened(repository) as records:
        total = len(records)
        rows = [_facts(record) for record, _ in zip(records, range(limit), strict=False)]
    lines = [f"{r['manifest_id']}  {r['created']}  {r['signer']}  mark {r['payload'] or '-'}" for r in rows]
    _print(rows, "\n".join([*lines, f"{len(rows)} of {total} records."]), as_json)
    return PASS


@app.command("show")
def show(
    manifest_id: str = typer.Argument(..., help="Identifier of the manifest, as records list prints it."),
    out: Path | None = typer.Option(None, "--out", "-o", help="Write the manifest store here (.c2pa)."),
    repository: str | None = REPOSITORY,
    as_json: bool = JSON,
) -> int:
    """Show one record, or the trace of its deletion; exit 1 if there is neither."""
    with opened(repository) as records:
        record = records.by_manifest_id(manifest_id)
        traces = records.deleted(manifest_id)
    if record is None:
        rows = [asdict(trace) for trace in traces]
        lines = [f"Deleted {trace.deleted}: {trace.reason}" for trace in traces]
        _print(rows, "\n".join(lines) or f"There is no record of {manifest_id}.", as_json)
        return FAIL
    if out is not None:
        atomic_write(out, record.store)
    facts = _facts(record)
    _print(facts, "\n".join(f"{name}: {value}" for name, value in facts.items() if value), as_json)
    return PASS


@app.command("export")
def export(
    out: Path = typer.Argument(..., help="The file to write."), repository: str | None = REPOSITORY
) -> int:
    """Write all records and traces to a JSON-lines file (0600)."""
    from countermark.provenance.repository.exchange import export as write

    with opened(repository) as records:
        say(f"Wrote {write(records, out)} records to {out}.")
    return PASS


@app.command("import")
def import_records(
    source: Path = typer.Argument(..., help="A file that records export wrote."),
    restore_deleted: bool = typer.Option(False, "--restore-deleted", help="Add deleted ones again."),
    repository: str | None = REPOSITORY,
) -> int:
    """Add the records of an export that are not there yet."""
    from countermark.provenance.repository.exchange import import_

    with opened(repository) as records:
        added, skipped = import_(records, source, restore_deleted=restore_deleted)
    say(f"Added {added} records, skipped {skipped}.")
    return PASS


@app.command("delete")
def delete(
    manifest_id: str = typer.Argument(..., help="Identifier of the manifest, as records list prints it."),
    reason: str = typer.Option(..., "--reason", help="Stays in the trace."),
    repository: str | None = REPOSITORY,
) -> int:
    """Delete a record; its id, digest, time and reason stay as a trace."""
    with opened(repository) as records:
        say(f"Deleted {records.delete(manifest_id, reason).manifest_id}.")
    return PASS


@app.command("deleted")
def deleted(repository: str | None = REPOSITORY, as_json: bool = JSON) -> int:
    """List the traces of deletions."""
    with opened(repository) as records:
        traces = records.deleted()
    lines = [f"{trace.manifest_id}  {trace.deleted}  {trace.reason}" for trace in traces]
    _print([asdict(trace) for trace in traces], "\n".join(lines) or "Nothing was deleted.", as_json)
    return PASS


@contextmanager
def opened(url: str | None) -> Iterator[Repository]:
    """The repository of a ``--repository`` option, closed afterwards."""
    from countermark.provenance.repository import open_repository

    with open_repository(url) as repository:
        yield repository


def _facts(record: ManifestRecord) -> dict[str, Any]:
    """A record as JSON types, without the manifest store and the sketch."""
    return {
        "manifest_id": record.manifest_id,
        "created": record.created,
        "signer": record.signer,
        "generator": record.generator,
        "digital_source_type": record.digital_source_type,
        "sha256": record.sha256,
        "payload": None if record.payload is None else record.payload.hex(),
        "fingerprint": None if record.fingerprint is None else record.fingerprint.hex(),
        "manifest_bytes": len(record.store),
    }


def _print(value: Any, text: str, as_json: bool) -> None:
    if as_json:
        say_json(value, sort=False)
    else:
        say(text)
