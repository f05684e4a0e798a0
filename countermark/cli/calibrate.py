"""``countermark calibrate``: thresholds from your own photographs, or an offset from unlabelled ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from countermark.cli.output import JSON, PASS, show_record, wrong_usage
from countermark.cli.progress import progress

if TYPE_CHECKING:
    from countermark.detectors import Detector


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("calibrate")(calibrate)


def calibrate(
    pictures: list[Path] | None = typer.Argument(None, help="Folders of unlabelled pictures: --unlabelled."),
    photos: list[Path] | None = typer.Option(
        None, "--photos", help="Folder of photographs known to be real."
    ),
    out: Path = typer.Option(
        Path("thresholds.json"), "--out", "-o", help="The file, for countermark scan --thresholds."
    ),
    detector: str = typer.Option("default", "--detector", "-d", help="A shipped detector, or weights."),
    max_fpr: float = typer.Option(0.01, "--max-fpr", help="Share of them that may be called synthetic."),
    unlabelled: bool = typer.Option(
        False, "--unlabelled", help="Estimate one offset from pictures that were all delivered alike."
    ),
    as_json: bool = JSON,
) -> int:
    """Set the thresholds on your own photographs, so that the false-positive rate holds for them.

    With --unlabelled: move the scores back where one delivery has moved them all, from a folder of
    pictures of which nobody knows which are generated.
    """
    from countermark.core.errors import ConfigError
    from countermark.detectors import load_detector

    with wrong_usage():
        if not 0 < max_fpr <= 0.5:
            raise ConfigError(f"max_fpr is {max_fpr}, not in (0, 0.5].", hint="0.01 is the default.")
        if unlabelled == bool(photos) or unlabelled != bool(pictures):
            raise ConfigError(
                "Give --photos FOLDER (known to be real), or FOLDER --unlabelled.",
                hint="countermark calibrate --photos holiday --out mine.json",
            )
    model = load_detector(detector)
    record, text = (
        _moved(model, pictures, out, as_json) if pictures else _own(model, photos, max_fpr, out, as_json)
    )
    show_record(record, as_json=as_json, text=text)
    return PASS


def _own(
    model: Detector, photos: list[Path] | None, max_fpr: float, out: Path, as_json: bool
) -> tuple[dict[str, Any], str]:
    from countermark.detectors import recalibrate, with_thresholds

    with progress("Calibrating", None, quiet=as_json) as advance:
        path = recalibrate(model, photos or [], max_fpr, out=out, report=advance.reach)
    bounds = with_thresholds(model, path).thresholds()
    count = len(with_thresholds(model, path).table.scores)
    record = {
        "file": str(path),
        "likely": bounds.likely,
        "unsure": bounds.unsure,
        "max_fpr": max_fpr,
        "photographs": count,
        "note": bounds.note,
    }
    text = (
        f"Wrote {path}: likely-synthetic from {bounds.likely:.3f}, unsure from {bounds.unsure:.3f}, so that "
        f"at most {100 * max_fpr:g} % of photographs like these {count} are flagged.\n"
        f"Use it: countermark scan PICTURES --thresholds {path}"
    )
    if bounds.note:
        text += f"\n{bounds.note}"
    return record, text


def _moved(model: Detector, pictures: list[Path], out: Path, as_json: bool) -> tuple[dict[str, Any], str]:
    from countermark.detectors import fit_unlabelled

    with progress("Calibrating", None, quiet=as_json) as advance:
        path, found = fit_unlabelled(model, pictures, out=out, report=advance.reach)
    record = {"file": str(path), **found.model_dump(exclude={"version"})}
    text = (
        f"Wrote {path}: the scores of these {found.pictures} pictures lie {found.offset:+.2f} logits from "
        f"those that the thresholds were set for (between {found.low:+.2f} and {found.high:+.2f}), if about "
        f"{100 * found.share:.0f} % of them are generated.\n"
        f"Use it for pictures delivered the same way: countermark scan PICTURES --thresholds {path}"
    )
    return record, text
