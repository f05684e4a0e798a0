"""``countermark redact``: takes prompt and seed out of a signed image; the rest stays verifiable."""

from __future__ import annotations

from pathlib import Path

import typer

from countermark.cli.output import JSON, PASS, show_record


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("redact")(redact)


def redact(
    source: Path = typer.Argument(..., help="A signed image."),
    destination: Path = typer.Argument(..., help="The copy; never overwritten."),
    label: list[str] = typer.Option(
        [], "--label", help="Assertion to remove; prompt, seed and parameters by default."
    ),
    reason: str = typer.Option(
        "c2pa.PII.present", "--reason", help="C2PA reason, or one of your own domain."
    ),
    identity: str = typer.Option("default", "--identity", "-i", help="Who redacts; see countermark keys."),
    as_json: bool = JSON,
) -> int:
    """Write a copy of a signed image without its prompt; the copy names what was removed."""
    from countermark.provenance.credentials.claims import PROMPT_LABEL
    from countermark.provenance.credentials.redaction import redact_image

    labels = tuple(label) or (PROMPT_LABEL,)
    signed = redact_image(source, destination, labels=labels, reason=reason, identity=identity)
    text = f"Wrote {signed.path} without {', '.join(labels)}\n  manifest {signed.manifest_id}"
    show_record(signed, as_json=as_json, text=text)
    return PASS
