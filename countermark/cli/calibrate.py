"""``countermark calibrate``: thresholds from your own photographs."""

from __future__ import annotations

from pathlib import Path

import typer

from countermark.cli.output import JSON, PASS, show_record, wrong_usage
from countermark.cli.progress import progress


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
    from countermark.core.errors import ConfigError
    from countermark.detectors import load_detector, recalibrate, with_thresholds

    if not 0 < max_fpr <= 0.5:
        with wrong_usage():
            raise ConfigError(f"max_fpr is {max_fpr}, not in (0, 0.5].", hint="0.01 is the default.")
    model = load_detector(detector)
    with progress("Calibrating", None, quiet=as_json) as advance:
        path = recalibrate(model, photos, max_fpr, out=out, report=advance.reach)
    own = with_thresholds(model, path)
    bounds = own.thresholds()
    record = {
        "file": str(path),
        "likely": bounds.likely,
        "unsure": bounds.unsure,
        "max_fpr": max_fpr,
        "photographs": own.photographs,
        "note": bounds.note,
    }
    text = (
        f"Wrote {path}: likely-synthetic from {bounds.likely:.3f}, unsure from {bounds.unsure:.3f}, so that "
        f"at most {100 * max_fpr:g} % of photographs like these {own.photographs} are flagged.\n"
        f"Use it: countermark scan PICTURES --thresholds {path}"
    )
    if bounds.note:
        text += f"\n{bounds.note}"
    show_record(record, as_json=as_json, text=text)
    return PASS
