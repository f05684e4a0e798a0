"""``countermark scan``: which of these images are synthetic, why, and how sure."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from countermark.cli.output import (
    ERROR,
    FAIL,
    FORMAT,
    JSON,
    NOTHING,
    OUTPUT,
    PASS,
    progress,
    show,
    write_all,
)

STDIN_LIMIT = 64 * 1024 * 1024


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("scan")(scan)


def scan(
    paths: list[str] = typer.Argument(None, help="Images and folders; - reads a list from standard input."),
    max_fpr: float = typer.Option(
        0.01, "--max-fpr", help="Share of photographs that may be called likely-synthetic."
    ),
    stress: bool = typer.Option(False, "--stress", help="Score altered copies too; a flip means unsure."),
    detector: str = typer.Option("default", "--detector", "-d", help="A shipped detector, or weights."),
    fail_on: str = typer.Option(
        "never",
        "--fail-on",
        help="Exit 1 from this verdict on: declared-synthetic, likely-synthetic, unsure.",
    ),
    no_marks: bool = typer.Option(False, "--no-marks", help="Don't look for watermarks (faster)."),
    workers: int = typer.Option(2, "--workers", min=1, max=64, help="Decoding threads."),
    format: str = FORMAT,
    output: list[str] = OUTPUT,
    as_json: bool = JSON,
) -> int:
    """Scan images for synthetic origin. Nothing leaves this machine."""
    from countermark.app.scan import scan_stream
    from countermark.app.thumbnails import Collector
    from countermark.core.images import iter_image_paths
    from countermark.detectors import load_detector
    from countermark.reports import scan_document

    files = list(iter_image_paths(_sources(paths)))
    if not files:
        typer.echo("No images found.", err=True)
        return NOTHING
    model = load_detector(detector)
    collector = Collector(model) if any(_is_html(spec) for spec in output) else None
    results = []
    with progress("Scanning", len(files), quiet=as_json) as advance:
        for result in scan_stream(
            files,
            max_fpr=max_fpr,
            stress=stress,
            detector=model,
            marks=not no_marks,
            workers=workers,
            watch=collector,
        ):
            results.append(result)
            advance(1)
    settings = {
        "max_fpr": max_fpr,
        "stress": stress,
        "fail_on": fail_on,
        "detector": {"name": model.name, "sha256": model.card.sha256},
    }
    document = scan_document(results, settings=settings)
    show(document, format=format, as_json=as_json)
    write_all(document, output, collector.images if collector else None)
    if all(result.verdict is None for result in results):
        return ERROR
    return FAIL if document["counts"]["failing"] else PASS


def _sources(paths: list[str] | None) -> list[Path]:
    """The named paths; ``-`` stands for a list on standard input, one path a line (or NUL)."""
    found: list[Path] = []
    for path in paths or ["."]:
        if path == "-":
            text = sys.stdin.read(STDIN_LIMIT)
            lines = text.split("\0") if "\0" in text else text.splitlines()
            found += [Path(line) for line in lines if line.strip()]
        elif any(c in path for c in "*?[") and not Path(path).exists():
            found += sorted(Path().glob(path)) if not Path(path).is_absolute() else [Path(path)]
        else:
            found.append(Path(path))
    return found


def _is_html(spec: str) -> bool:
    return spec.startswith("html=") or spec.lower().endswith((".html", ".htm"))
