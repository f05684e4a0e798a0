"""``countermark models``: what ships in the package, each model's card, and detectors as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from countermark.cli.output import JSON, PASS, say, say_json, show_record

LONGEST_LIST = 24


class CardsByDefault(TyperGroup):
    """``countermark models NAME`` means ``countermark models show NAME``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--help" not in args[:1] and (not args or args[0] not in self.commands):
            args = ["show", *args]
        return super().parse_args(ctx, args)


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(
        cls=CardsByDefault,
        help="List the shipped models, show a card (countermark models NAME), or export a detector.",
    )
    group.command("show")(models)
    group.command("export")(export)
    group.command("stamp")(stamp)
    app.add_typer(group, name="models")


def _shortened(value: Any) -> Any:
    """A card as one reads it: of long lists of numbers (calibration scores) how many and their range."""
    if isinstance(value, dict):
        return {name: _shortened(part) for name, part in value.items()}
    numbers = isinstance(value, list | tuple) and all(isinstance(part, int | float) for part in value)
    if numbers and len(value) > LONGEST_LIST:
        return f"{len(value):,} numbers, {min(value):g} to {max(value):g} (all with --json)"
    return value


def models(
    name: str | None = typer.Argument(None, help="Show this model's card."),
    kind: str | None = typer.Option(None, "--kind", help="Only these: detector or generator."),
    as_json: bool = JSON,
) -> int:
    """List the shipped models, or show a card."""
    from countermark.app.models import get_model, list_models

    cards = [get_model(name)] if name else list_models(kind)
    if as_json or name:
        values = [card.model_dump() for card in cards]
        if not as_json:
            values = [_shortened(value) for value in values]
        say_json(values[0] if name else values, sort=False)
        return PASS
    table = Table(box=None, pad_edge=False)
    for column in ("kind", "name", "family", "summary", "sha256"):
        table.add_column(column, no_wrap=column != "summary")
    for card in cards:
        table.add_row(card.kind, card.name, card.family, card.summary, card.sha256[:12])
    Console().print(table)
    return PASS


def stamp(
    cards: list[Path] = typer.Argument(..., metavar="CARD…", help="Cards, or the weights beside them."),
) -> int:
    """Give cards that you changed yourself their digest again, without which they are refused."""
    from countermark.core.weights import stamp_card

    for path in cards:
        where, changed = stamp_card(path)
        say(f"{where}: {'stamped' if changed else 'as it was'}.")
    return PASS


def export(
    name: str = typer.Argument(..., help="A shipped detector, or weights."),
    out: Path = typer.Option(..., "--out", "-o", help="File to write, ending in .onnx."),
    int8: bool = typer.Option(False, "--int8", help="Quantise matrix products: smaller, less exact."),
    opset: int = typer.Option(17, "--opset", min=17, max=20, help="ONNX operator set."),
    as_json: bool = JSON,
) -> int:
    """Write a detector as ONNX: prepared views in, logit and probability out."""
    from countermark.detectors import load_detector
    from countermark.detectors.export import export_onnx

    found = export_onnx(load_detector(name), out, int8=int8, opset=opset)
    text = (
        f"Wrote {found.path} ({found.bytes / 1e6:.1f} MB, opset {found.opset}); its logits differ from "
        f"PyTorch's by {found.parity:.1g} at most."
    )
    show_record(found, as_json=as_json, text=text)
    return PASS
