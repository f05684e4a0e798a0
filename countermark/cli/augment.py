"""``countermark augment``: generated images for the small classes of a folder, and whether they help."""

from __future__ import annotations

from pathlib import Path

import typer

from countermark.cli.output import JSON, PASS, progress, show_record


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("augment")(augment)


def augment(
    data: str = typer.Argument(..., help="A folder with a folder for each class, or digits."),
    out: Path = typer.Option(..., "--out", "-o", help="Folder for the images, metadata.csv and report."),
    model: str | None = typer.Option(
        None, "--model", help="A class-conditional generator; else one is trained."
    ),
    recipe: str = typer.Option("augment-32", "--recipe", "-r", help="Of the generator that is trained."),
    size: int | None = typer.Option(None, "--size", help="Side of the images in pixels: 16, 32, 64 or 128."),
    grey: bool = typer.Option(False, "--grey", help="Grey images instead of colour."),
    images: int | None = typer.Option(
        None, "--images", min=1, help="Training images shown to each generator."
    ),
    add: float | None = typer.Option(
        None, "--add", help="Add this many times the real images instead of levelling the classes."
    ),
    measure: bool = typer.Option(
        True, "--measure/--no-measure", help="Compare classifiers with and without."
    ),
    seeds: int = typer.Option(5, "--seeds", min=2, max=100, help="Splits to compare over."),
    shares: list[float] = typer.Option([0.5, 2.0], "--share", help="Generated over real images; repeatable."),
    per_class: int | None = typer.Option(None, "--per-class", min=2, help="Use so few of each class."),
    minutes: float | None = typer.Option(None, "--minutes", help="Longest training of each generator."),
    resume: bool = typer.Option(
        False, "--resume", help="Go on with a call that was stopped, in the same folder."
    ),
    seed: int = typer.Option(0, "--seed", min=0, help="Of everything random."),
    as_json: bool = JSON,
) -> int:
    """Fill up the small classes of a labelled folder, and measure whether that helps."""
    from countermark.app.augment import as_markdown
    from countermark.app.augment import augment as run

    with progress("Comparing", seeds if measure else None, quiet=as_json) as advance:
        done = run(
            data,
            out,
            model=model,
            recipe=recipe,
            size=size,
            channels=1 if grey else None,
            images=images,
            add=add,
            measured=measure,
            seeds=seeds,
            shares=shares,
            per_class=per_class,
            seed=seed,
            minutes=minutes,
            resume=resume,
            progress=None if as_json else advance.stage,
        )
    show_record(done.as_dict(), as_json=as_json, text=as_markdown(done).rstrip())
    return PASS
