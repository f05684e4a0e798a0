"""``countermark sidecars``: verdicts as XMP beside the pictures, for Lightroom, Bridge and Photo Mechanic."""

from __future__ import annotations

from pathlib import Path

import typer

from countermark.cli.output import JSON, PASS, read_document, show_record


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("sidecars")(sidecars)


def sidecars(
    report: Path = typer.Argument(..., help="JSON report of a scan."),
    out: Path | None = typer.Option(
        None, "--out", "-o", help="Folder for them; by default each lies beside its picture."
    ),
    as_json: bool = JSON,
) -> int:
    """Write a scan's verdicts as XMP side-cars: colour label, keywords, reason. Pictures stay as they are."""
    from countermark.reports.sidecars import write_sidecars

    made = write_sidecars(read_document(report), out)
    show_record(
        {"written": [str(path) for path in made]}, as_json=as_json, text=f"Wrote {len(made)} side-cars."
    )
    return PASS
