"""``countermark models``: what ships in the package, and each model's card."""

from __future__ import annotations

import json

import typer
from rich.console import Console
from rich.table import Table

from countermark.cli.output import JSON, PASS


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("models")(models)


def models(
    name: str | None = typer.Argument(None, help="Show this model's card."),
    kind: str | None = typer.Option(None, "--kind", help="detector or generator."),
    as_json: bool = JSON,
) -> int:
    """List the shipped models, or show a card."""
    from countermark.app.models import get_model, list_models

    cards = [get_model(name)] if name else list_models(kind)
    if as_json or name:
        values = [card.model_dump() for card in cards]
        typer.echo(json.dumps(values[0] if name else values, indent=2, ensure_ascii=False))
        return PASS
    table = Table(box=None, pad_edge=False)
    for column in ("kind", "name", "family", "summary", "sha256"):
        table.add_column(column, no_wrap=column != "summary")
    for card in cards:
        table.add_row(card.kind, card.name, card.family, card.summary, card.sha256[:12])
    Console().print(table)
    return PASS
