"""``countermark demo``: the whole loop on this machine, in under a minute."""

from __future__ import annotations

from pathlib import Path

import typer

from countermark.cli.output import ERROR, JSON, PASS, progress, show_record


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("demo")(demo)


def demo(
    out: Path = typer.Option(Path("countermark-demo"), "--out", "-o", help="Folder; must not exist yet."),
    photos: Path | None = typer.Option(None, "--photos", help="Your own photographs, scanned along."),
    generator: str = typer.Option("flowers-128", "--generator", help="Which shipped generator draws."),
    seed: int = typer.Option(0, "--seed", min=0, help="Of everything random."),
    as_json: bool = JSON,
) -> int:
    """Generate, mark, sign, launder, scan, verify, audit and report. No network."""
    from countermark.app.demo import STEPS, run_demo

    with progress("Demo", len(STEPS), quiet=as_json) as advance:
        result = run_demo(out, photos=photos, generator=generator, seed=seed, step=lambda name: advance(1))
    show_record(result.record, as_json=as_json, text=result.text)
    return PASS if result.passed else ERROR
