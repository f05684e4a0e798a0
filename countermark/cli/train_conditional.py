"""``countermark train sketch2image|superres``: generators that start from an image."""

from __future__ import annotations

from pathlib import Path

import typer

from countermark.cli.output import JSON, PASS, show_record


def add_to(group: typer.Typer) -> None:
    """Adds the commands to ``countermark train``."""
    group.command("sketch2image")(sketch2image)
    group.command("superres")(superres)


def sketch2image(
    data: Path = typer.Argument(..., help="Folder or zip archive of photographs."),
    out: Path = typer.Option(..., "--out", "-o", help="Folder for checkpoint, weights and card."),
    name: str = typer.Option("sketch2image", "--name", help="Of the model."),
    size: int = typer.Option(96, "--size", help="Side in pixels: 32, 64, 96, 128, 160, 192 or 256."),
    width: int = typer.Option(32, "--width", min=4, help="Channels at half resolution."),
    images: int = typer.Option(200_000, "--images", min=1, help="Stop after so many doodles."),
    minutes: float | None = typer.Option(None, "--minutes", help="Stop after so many minutes."),
    seed: int = typer.Option(0, "--seed", min=0),
    resume: bool = typer.Option(False, "--resume", help="Go on from the checkpoint in --out."),
    as_json: bool = JSON,
) -> int:
    """Train doodle to image; the doodles are made from the photographs."""
    from countermark.app.train_conditional import train_conditional

    path = train_conditional(
        "sketch2image",
        data,
        out=out,
        name=name,
        network={"size": size, "width": width},
        seed=seed,
        minutes=minutes,
        images=images,
        resume=resume,
    )
    show_record({"weights": str(path)}, as_json=as_json, text=f"Wrote {path} and its card.")
    return PASS


def superres(
    data: Path = typer.Argument(..., help="Folder of photographs."),
    out: Path = typer.Option(..., "--out", "-o", help="Folder for checkpoint, weights and card."),
    name: str = typer.Option("superres", "--name", help="Of the model."),
    width: int = typer.Option(32, "--width", min=4, help="Channels throughout."),
    blocks: int = typer.Option(4, "--blocks", min=1, help="Residual blocks."),
    images: int = typer.Option(200_000, "--images", min=1, help="Stop after so many crops."),
    minutes: float | None = typer.Option(None, "--minutes", help="Stop after so many minutes."),
    seed: int = typer.Option(0, "--seed", min=0),
    resume: bool = typer.Option(False, "--resume", help="Go on from the checkpoint in --out."),
    as_json: bool = JSON,
) -> int:
    """Train super-resolution; the small images are made from the photographs."""
    from countermark.app.train_conditional import train_conditional

    path = train_conditional(
        "superres",
        data,
        out=out,
        name=name,
        network={"width": width, "blocks": blocks},
        seed=seed,
        minutes=minutes,
        images=images,
        resume=resume,
    )
    show_record({"weights": str(path)}, as_json=as_json, text=f"Wrote {path} and its card.")
    return PASS
