"""``countermark generate``: labelled synthetic images from a generator."""

from __future__ import annotations

from pathlib import Path

import typer

from countermark.cli.output import JSON, PASS, progress, show_record


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("generate")(generate)


def generate(
    model: str = typer.Argument(..., help="A shipped generator (see countermark models) or weights."),
    count: int = typer.Option(16, "--count", "-n", min=1, help="How many images."),
    out: Path = typer.Option(..., "--out", "-o", help="Folder for the images and metadata.csv."),
    seed: int = typer.Option(0, "--seed", min=0, help="Seed of the first image."),
    condition: str | None = typer.Option(None, "--condition", "-c", help="Class name, or a doodle's path."),
    scale: int = typer.Option(1, "--scale", min=1, max=16, help="Enlarge by this factor."),
    sign: bool = typer.Option(False, "--sign", help="Watermark, sign and record every image."),
    identity: str = typer.Option("default", "--identity", "-i", help="Who signs."),
    as_json: bool = JSON,
) -> int:
    """Make labelled synthetic images."""
    from countermark.app.generate import generate as run

    with progress("Generating", count, quiet=as_json) as advance:
        corpus = run(
            model,
            count,
            out=out,
            seed=seed,
            condition=condition,
            sign=sign,
            identity=identity,
            scale=scale,
            progress=advance,
        )
    record = {"folder": str(corpus.root), "images": len(corpus), "model": model, "seed": seed, "signed": sign}
    show_record(record, as_json=as_json, text=f"Wrote {len(corpus)} images and metadata.csv to {corpus.root}")
    return PASS
