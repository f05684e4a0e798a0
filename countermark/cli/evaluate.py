"""``countermark evaluate detector|generator``: measured figures with their intervals."""

from __future__ import annotations

from pathlib import Path

import typer

from countermark.cli.output import FORCE, FORMAT, JSON, OUTPUT, PASS, check_outputs, progress, show, write_all

app = typer.Typer(help="Measure a detector or a generator.", no_args_is_help=True)


@app.command("detector")
def detector(
    name: str = typer.Argument("default", help="A shipped detector, or weights."),
    corpus: Path = typer.Option(..., "--corpus", help="Labelled corpus."),
    max_fpr: float = typer.Option(0.01, "--max-fpr", help="Sets the threshold that rates are given at."),
    seed: int = typer.Option(0, "--seed", min=0, help="Of everything random."),
    format: str = FORMAT,
    output: list[str] = OUTPUT,
    force: bool = FORCE,
    as_json: bool = JSON,
) -> int:
    """AUROC, error rates and calibration in four delivery conditions, by generator and source."""
    from countermark.app.evaluate.detector import evaluate_detector

    check_outputs("evaluation", format, as_json, output, force=force)
    with progress("Evaluating", None, quiet=as_json) as advance:
        document = evaluate_detector(name, corpus, seed=seed, max_fpr=max_fpr, report=advance.reach)
    show(document, format=format, as_json=as_json)
    write_all(document, output, force=force)
    return PASS


@app.command("leave-out")
def leave_out(
    corpus: Path = typer.Option(..., "--corpus", help="Labelled corpus."),
    family: str = typer.Option("timm", "--family", help="Kind of detector: clip-probe, timm or critic."),
    by: str = typer.Option("generator", "--by", help="What is left out in turn: generator or source."),
    limit: int = typer.Option(12, "--limit", min=1, help="Parts that are left out, the largest first."),
    steps: int = typer.Option(600, "--steps", min=1, help="Optimiser steps of each training."),
    seed: int = typer.Option(0, "--seed", min=0, help="Of everything random."),
    format: str = FORMAT,
    output: list[str] = OUTPUT,
    force: bool = FORCE,
    as_json: bool = JSON,
) -> int:
    """Train a family again for every generator (or source) and measure it on the one left out."""
    from countermark.app.evaluate.leave_out import evaluate_leave_out

    check_outputs("evaluation", format, as_json, output, force=force)
    with progress("Left out", None, quiet=as_json) as advance:
        document = evaluate_leave_out(
            family,
            corpus,
            by=by,
            limit=limit,
            seed=seed,
            steps=steps,
            report=advance.reach,
        )
    show(document, format=format, as_json=as_json)
    write_all(document, output, force=force)
    return PASS


@app.command("leave-out-recipe")
def leave_out_recipe(
    name: str = typer.Argument("default", help="A shipped recipe, or a TOML file."),
    corpora: list[Path] = typer.Option(..., "--corpus", help="As for countermark recipe, same order."),
    work: Path = typer.Option(..., "--work", help="The folder of views and features of that run."),
    by: str = typer.Option("source", "--by", help="What is left out in turn: generator or source."),
    limit: int = typer.Option(100, "--limit", min=1, help="Parts that are left out, the largest first."),
    seed: int = typer.Option(0, "--seed", min=0, help="Of everything random."),
    format: str = FORMAT,
    output: list[str] = OUTPUT,
    force: bool = FORCE,
    as_json: bool = JSON,
) -> int:
    """Fit a recipe's head again for every source (or generator) and measure it on the one left out."""
    from countermark.app.evaluate.leave_out import leave_out_recipe as run

    check_outputs("evaluation", format, as_json, output, force=force)
    with progress("Left out", None, quiet=as_json) as advance:
        document = run(
            name,
            corpora,
            work,
            by=by,
            limit=limit,
            seed=seed,
            report=advance.reach,
        )
    show(document, format=format, as_json=as_json)
    write_all(document, output, force=force)
    return PASS


@app.command("localisation")
def localisation(
    name: str = typer.Argument("default", help="A shipped detector, or weights."),
    corpus: Path = typer.Option(..., "--corpus", help="Labelled corpus; its real pictures are used."),
    images: int = typer.Option(40, "--images", min=4, help="Blends that are made."),
    autoencoder: Path | None = typer.Option(
        None, "--autoencoder", help="Makes the synthetic regions (.safetensors); else a simulation."
    ),
    seed: int = typer.Option(0, "--seed", min=0, help="Of everything random."),
    format: str = FORMAT,
    output: list[str] = OUTPUT,
    force: bool = FORCE,
    as_json: bool = JSON,
) -> int:
    """Heatmaps against known masks: pixel AUROC and IoU on blends made of real pictures."""
    from countermark.app.evaluate.detector import evaluate_localisation

    check_outputs("evaluation", format, as_json, output, force=force)
    with progress("Localising", images, quiet=as_json) as advance:
        document = evaluate_localisation(
            name,
            corpus,
            images=images,
            autoencoder=autoencoder,
            seed=seed,
            report=advance.reach,
        )
    show(document, format=format, as_json=as_json)
    write_all(document, output, force=force)
    return PASS


@app.command("adversaries")
def adversaries(
    name: str = typer.Argument("default", help="A shipped detector, or weights."),
    corpus: Path = typer.Option(..., "--corpus", help="Labelled corpus; its synthetic images are used."),
    images: int = typer.Option(100, "--images", min=10, help="Found images that are attacked."),
    max_fpr: float = typer.Option(0.01, "--max-fpr", help="Sets the threshold that is to be undercut."),
    budget: int = typer.Option(24, "--budget", min=4, help="Times 8: scores each laundering search asks."),
    length: int = typer.Option(3, "--length", min=1, max=6, help="Edits in a sequence, at most."),
    searches: int = typer.Option(5, "--searches", min=1, help="Laundering searches of each kind."),
    seed: int = typer.Option(0, "--seed", min=0, help="Of everything random."),
    format: str = FORMAT,
    output: list[str] = OUTPUT,
    force: bool = FORCE,
    as_json: bool = JSON,
) -> int:
    """What stays found under gradients, under queries, and under everyday edits that a policy learns."""
    from countermark.app.adversaries.run import measure_adversaries

    check_outputs("evaluation", format, as_json, output, force=force)
    with progress("Attacking", None, quiet=as_json) as advance:
        document, _ = measure_adversaries(
            name,
            corpus,
            images=images,
            max_fpr=max_fpr,
            budget=budget,
            length=length,
            repeats=searches,
            seed=seed,
            report=lambda what: advance(1),
        )
    show(document, format=format, as_json=as_json)
    write_all(document, output, force=force)
    return PASS


@app.command("generator")
def generator(
    name: str = typer.Argument(..., help="A shipped generator, or weights."),
    data: str = typer.Option(..., "--data", help="What it was trained on: folder, archive, or digits."),
    count: int = typer.Option(1000, "--count", min=50, help="Images to generate."),
    extractor: str = typer.Option("auto", "--extractor", help="Of features: auto, lite0, dct or inception."),
    seed: int = typer.Option(1_000_000, "--seed", min=0, help="Of the first generated image."),
    gallery: Path | None = typer.Option(
        None, "--gallery", help="Write the picture of the closest training images; HTML reports show it."
    ),
    format: str = FORMAT,
    output: list[str] = OUTPUT,
    force: bool = FORCE,
    as_json: bool = JSON,
) -> int:
    """Quality (KID, FID, precision, recall) and copying; for doodle to image: edge-F1, KID and variety."""
    from countermark.app.evaluate.generator import evaluate_generator

    check_outputs("evaluation", format, as_json, output, force=force)
    with progress("Generating", count, quiet=as_json) as advance:
        document, images = evaluate_generator(
            name, data, count=count, extractor=extractor, seed=seed, gallery=gallery, report=advance.stage
        )
    show(document, format=format, as_json=as_json)
    write_all(document, output, images, force=force)
    return PASS
