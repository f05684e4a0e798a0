"""``countermark recipe``: makes a detector from folders of images by a recipe, in steps."""

from __future__ import annotations

from pathlib import Path

import typer

from countermark.cli.output import JSON, NOTHING, PASS, show_record


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("recipe")(recipe)


def recipe(
    name: str = typer.Argument(..., help="A shipped recipe (default, lite, cnn), or a TOML file."),
    corpora: list[Path] = typer.Option(..., "--corpus", help="Labelled folder; may be given repeatedly."),
    out: Path = typer.Option(..., "--out", "-o", help="Folder for weights and card."),
    work: Path = typer.Option(..., "--work", help="Folder for views and features, kept between calls."),
    autoencoder: Path | None = typer.Option(None, "--autoencoder", help="Weights that make the twins."),
    apart: Path | None = typer.Option(
        None, "--apart", help="Labelled folder whose sources are left out, to compare on it."
    ),
    minutes: float = typer.Option(1e9, "--minutes", min=0, help="Stop after so many; call again to go on."),
    as_json: bool = JSON,
) -> int:
    """Make a detector by a recipe; exit code 3 if the minutes ran out before it was done."""
    from countermark.detectors.recipes.run import train_recipe

    path = train_recipe(name, corpora, out, work=work, autoencoder=autoencoder, minutes=minutes, apart=apart)
    text = f"Wrote {path} and its card." if path else "Not done yet: call again with the same folders."
    show_record({"weights": str(path) if path else None}, as_json=as_json, text=text)
    return PASS if path else NOTHING
