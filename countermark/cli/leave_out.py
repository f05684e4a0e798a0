"""``countermark evaluate leave-out-recipe``: a recipe's head without each source or generator in turn."""

from __future__ import annotations

from pathlib import Path

import typer

from countermark.cli.output import FORMAT, JSON, OUTPUT, PASS, progress, show, write_all


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("leave-out-recipe")(leave_out_recipe)


def leave_out_recipe(
    name: str = typer.Argument("default", help="A shipped recipe, or a TOML file."),
    corpora: list[Path] = typer.Option(..., "--corpus", help="As for countermark recipe, same order."),
    work: Path = typer.Option(..., "--work", help="The folder of views and features of that run."),
    by: str = typer.Option("source", "--by", help="generator or source."),
    limit: int = typer.Option(100, "--limit", min=1, help="Parts that are left out, the largest first."),
    seed: int = typer.Option(0, "--seed", min=0),
    format: str = FORMAT,
    output: list[str] = OUTPUT,
    as_json: bool = JSON,
) -> int:
    """Fit a recipe's head again for every source (or generator) and measure it on the one left out."""
    from countermark.app.evaluate_recipe import leave_out_recipe as run

    with progress("Left out", None, quiet=as_json) as advance:
        document = run(
            name,
            corpora,
            work,
            by=by,
            limit=limit,
            seed=seed,
            report=lambda done, total, part: advance(1),
        )
    show(document, format=format, as_json=as_json)
    write_all(document, output)
    return PASS
