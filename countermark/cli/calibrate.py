"""``countermark calibrate``: thresholds from your own photographs."""

from __future__ import annotations

from pathlib import Path

import typer

from countermark.cli.output import JSON, PASS, show_record


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("calibrate")(calibrate)


def calibrate(
    photos: list[Path] = typer.Option(..., "--photos", help="Folder of photographs known to be real."),
    out: Path = typer.Option(..., "--out", "-o", help="Thresholds file, for countermark scan --thresholds."),
    detector: str = typer.Option("default", "--detector", "-d", help="A shipped detector, or weights."),
    max_fpr: float = typer.Option(0.01, "--max-fpr", help="Share of them that may be called synthetic."),
    as_json: bool = JSON,
) -> int:
    """Set the thresholds on your own photographs, so that the false-positive rate holds for them."""
    from countermark.detectors import load_detector, recalibrate, with_thresholds

    model = load_detector(detector)
    path = recalibrate(model, photos, max_fpr, out=out)
    bounds = with_thresholds(model, path).thresholds()
    record = {"file": str(path), "likely": bounds.likely, "unsure": bounds.unsure, "max_fpr": max_fpr}
    text = f"Wrote {path}: likely-synthetic from {bounds.likely:.3f}, unsure from {bounds.unsure:.3f}."
    show_record(record, as_json=as_json, text=text)
    return PASS
