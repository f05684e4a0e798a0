"""``countermark generate``: labelled synthetic images from a generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
    condition: str | None = typer.Option(
        None, "--condition", "-c", help="Class name; or a doodle, photograph or small image."
    ),
    layout: Path | None = typer.Option(
        None,
        "--layout",
        help="For latent generators: a picture whose layout of colours is painted anew.",
    ),
    side: int | None = typer.Option(
        None, "--side", min=1, help="Of the pictures in pixels, for generators of materials and for style."
    ),
    scale: int = typer.Option(1, "--scale", min=1, max=16, help="Enlarge; for superres 2 or 4."),
    upscale: int = typer.Option(1, "--upscale", help="2 or 4: enlarge with the superres network."),
    style: list[Path] | None = typer.Option(
        None, "--style", help="For style and style-adain: the picture whose look is taken; again for more."
    ),
    mix: list[float] | None = typer.Option(
        None, "--mix", help="Weight of each --style, in their order; equal by default."
    ),
    style_weight: float | None = typer.Option(
        None, "--style-weight", help="For style: more is more style; 1 by default."
    ),
    content_weight: float | None = typer.Option(
        None, "--content-weight", help="For style: more is more content; 1 by default."
    ),
    alpha: float | None = typer.Option(
        None, "--alpha", help="For style-adain: from 0, all content, to 1, the default."
    ),
    keep_colours: bool = typer.Option(False, "--keep-colours", help="For styles: colours of the content."),
    steps: int | None = typer.Option(None, "--steps", min=1, help="For style: steps of the optimisation."),
    sign: bool = typer.Option(False, "--sign", help="Watermark, sign and record every image."),
    identity: str = typer.Option("default", "--identity", "-i", help="Who signs."),
    as_json: bool = JSON,
) -> int:
    """Make labelled synthetic images."""
    from countermark.app.generate import generate as run

    options = {
        "layout": layout,
        "side": side,
        "style": style or None,
        "mix": tuple(mix) if mix else None,
        "style_weight": style_weight,
        "content_weight": content_weight,
        "alpha": alpha,
        "steps": steps,
    }
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if keep_colours:
        given["keep_colours"] = True
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
            upscale=upscale,
            progress=advance,
            **given,
        )
    record = {"folder": str(corpus.root), "images": len(corpus), "model": model, "seed": seed, "signed": sign}
    show_record(record, as_json=as_json, text=f"Wrote {len(corpus)} images and metadata.csv to {corpus.root}")
    return PASS
