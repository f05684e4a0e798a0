"""``countermark train generator|detector|sketch2image|superres|style|grow``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from countermark.cli import train_conditional
from countermark.cli.output import JSON, PASS, show_record


class GeneratorByDefault(TyperGroup):
    """``countermark train DATA`` means ``countermark train generator DATA``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and "--help" not in args[:1]:
            args = ["generator", *args]
        return super().parse_args(ctx, args)


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(
        cls=GeneratorByDefault,
        help="Train a generator on a folder of images (the default), or a detector on a labelled corpus.",
    )
    group.command("generator")(generator)
    group.command("detector")(detector)
    train_conditional.add_to(group)
    app.add_typer(group, name="train")


def generator(
    data: str = typer.Argument(
        ..., help="Folder, zip archive, medmnist:NAME, torchvision:NAME, textures, or digits."
    ),
    out: Path = typer.Option(..., "--out", "-o", help="Folder for checkpoints, sample grids and weights."),
    recipe: str = typer.Option("dcgan-64", "--recipe", "-r", help="A shipped recipe, or a TOML file."),
    preset: str | None = typer.Option(
        None, "--preset", "-p", help="A field of use, in place of a recipe: medical, texture or product."
    ),
    self_labels: int = typer.Option(
        0, "--self-labels", min=0, metavar="K", help="Make K classes from clusters; no labels are needed."
    ),
    download: bool = typer.Option(
        False, "--download", help="Fetch medmnist:NAME or torchvision:NAME if it is not there."
    ),
    name: str | None = typer.Option(None, "--name", help="Of the model."),
    images: int | None = typer.Option(None, "--images", min=1, help="Stop after so many images."),
    minutes: float | None = typer.Option(None, "--minutes", help="Stop after so many minutes."),
    seed: int = typer.Option(0, "--seed", min=0, help="Of everything random."),
    resume: bool = typer.Option(False, "--resume", help="Go on from the checkpoint in --out."),
    devices: str = typer.Option("1", "--devices", help="How many devices, or auto."),
    as_json: bool = JSON,
) -> int:
    """Train a generator."""
    from countermark.app.train import train

    path = train(
        "generator",
        data,
        out=out,
        recipe=recipe,
        preset=preset,
        self_labels=self_labels,
        download=download,
        name=name,
        images=images,
        minutes=minutes,
        seed=seed,
        resume=resume,
        progress=not as_json,
        devices=int(devices) if devices.isdecimal() else devices,
    )
    show_record({"weights": str(path)}, as_json=as_json, text=f"Wrote {path} and its card.")
    return PASS


def detector(
    data: Path = typer.Argument(..., help="Labelled corpus: metadata.csv, or folders real and synthetic."),
    out: Path = typer.Option(..., "--out", "-o", help="Folder for weights and card."),
    name: str = typer.Option(..., "--name", help="Of the detector."),
    family: str = typer.Option("critic", "--family", help="Its kind: critic, timm, clip-probe or one-class."),
    steps: int = typer.Option(600, "--steps", min=1, help="Optimiser steps."),
    seed: int = typer.Option(0, "--seed", min=0, help="Of everything random."),
    as_json: bool = JSON,
) -> int:
    """Train a detector; it is calibrated on sources and generators held apart."""
    from countermark.app.train import train
    from countermark.cli.output import progress
    from countermark.detectors import FitSettings

    with progress("Training", steps, quiet=as_json) as advance:
        settings = FitSettings(seed=seed, steps=steps, report=advance.reach)
        path = train("detector", data, out=out, name=name, family=family, settings=settings)
    show_record({"weights": str(path)}, as_json=as_json, text=f"Wrote {path} and its card.")
    return PASS
