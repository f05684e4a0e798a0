"""``countermark tune``: reward-tuned generation, with a table and a picture of before and after."""

from __future__ import annotations

from pathlib import Path

import typer

from countermark.cli.output import JSON, PASS, progress, show_record, wrong_usage


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("tune")(tune)


def tune(
    model: str = typer.Argument(..., help="A shipped generator, or weights."),
    data: str = typer.Option(..., "--data", help="Labelled real images: folder, archive, or digits."),
    out: Path = typer.Option(..., "--out", "-o", help="Folder for the tuned generator, picture and table."),
    class_name: str | None = typer.Option(None, "--class", "-c", help="The class wanted; all by default."),
    method: str = typer.Option("ppo", "--method", help="How the policy learns: ppo or reinforce."),
    steps: int = typer.Option(200, "--steps", min=1, help="Batches of 64 pictures."),
    kl: float = typer.Option(0.02, "--kl", min=0, help="Price of a nat of divergence, in reward."),
    extractor: str = typer.Option("auto", "--extractor", help="Features for recall: auto, lite0 or dct."),
    seed: int = typer.Option(0, "--seed", min=0, help="Of everything random."),
    as_json: bool = JSON,
) -> int:
    """Tune which latents a generator is given, on class confidence, realism and variety."""
    from countermark.app.tune import as_markdown
    from countermark.app.tune import tune as run
    from countermark.core.configuration import choice
    from countermark.generators.reward import TuningSettings

    if method not in ("ppo", "reinforce"):
        with wrong_usage():
            raise choice("The options of tune", "method", method, ("ppo", "reinforce"))
    settings = TuningSettings(method=method, steps=steps, kl=kl, extractor=extractor, seed=seed)  # type: ignore[arg-type]
    with progress("Tuning", steps, quiet=as_json) as advance:
        done = run(model, data, out, class_name=class_name, settings=settings, progress=advance)
    show_record(done.as_dict(), as_json=as_json, text=as_markdown(done).rstrip())
    return PASS
