"""``countermark zoo``: images of many small generators as one corpus, for training detectors."""

from __future__ import annotations

from pathlib import Path

import typer

from countermark.cli.output import JSON, PASS, progress, show_record


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("zoo")(zoo)


def zoo(
    data: str = typer.Argument(..., help="What the generators are trained on: folder, archive, or digits."),
    out: Path = typer.Option(..., "--out", "-o", help="Folder for the corpus."),
    species: int = typer.Option(16, "--species", "-n", min=1, max=10_000, help="Generators to draw."),
    per_species: int = typer.Option(50, "--per-species", min=1, help="Images of each."),
    size: int = typer.Option(64, "--size", help="Side in pixels: 16, 32, 64, 128 or 256."),
    images: int = typer.Option(4000, "--images", min=1, help="Images that a full training is shown."),
    seed: int = typer.Option(0, "--seed", min=0, help="Of everything random."),
    as_json: bool = JSON,
) -> int:
    """Draw generators that differ in every part that leaves a trace; tag every image with its recipe."""
    from countermark.app.zoo import make_zoo

    with progress("Species", species, quiet=as_json) as advance:
        made = make_zoo(
            data,
            out,
            species=species,
            per_species=per_species,
            size=size,
            images=images,
            seed=seed,
            progress=advance,
        )
    left = f" Diverged and left out: {', '.join(made['left_out'])}." if made["left_out"] else ""
    text = (
        f"Wrote {made['images']} images of {len(made['species']) - len(made['left_out'])} generators "
        f"({made['architectures']} architectures) to {made['corpus']}.{left}"
    )
    show_record(made, as_json=as_json, text=text)
    return PASS
