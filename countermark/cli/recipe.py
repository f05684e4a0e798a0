"""``countermark recipe`` makes a detector from folders of images; ``countermark corpus`` lays them out."""

from __future__ import annotations

from pathlib import Path

import typer

from countermark.cli.output import JSON, NOTHING, PASS, progress, show_record


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("recipe")(recipe)
    app.command("corpus")(corpus)


def recipe(
    name: str = typer.Argument(..., help="A shipped recipe (default, lite), or a TOML file."),
    corpora: list[Path] = typer.Option(..., "--corpus", help="Labelled folder; may be given repeatedly."),
    out: Path = typer.Option(..., "--out", "-o", help="Folder for weights and card."),
    work: Path = typer.Option(..., "--work", help="Folder for views and features, kept between calls."),
    autoencoder: Path | None = typer.Option(None, "--autoencoder", help="Weights that make the twins."),
    apart: Path | None = typer.Option(
        None, "--apart", help="Labelled folder whose sources are left out, to compare on it."
    ),
    minutes: float = typer.Option(1e9, "--minutes", min=0, help="Stop after so many; call again to go on."),
    as_json: bool = JSON,
) -> int:
    """Make a detector by a recipe; exit code 3 if the minutes ran out before it was done."""
    from countermark.detectors.recipes.run import train_recipe

    with progress("Drawing", None, quiet=as_json) as advance:
        path = train_recipe(
            name, corpora, out, work=work, autoencoder=autoencoder, minutes=minutes, apart=apart,
            report=advance.stage,
        )  # fmt: skip
    text = f"Wrote {path} and its card." if path else "Not done yet: call again with the same folders."
    show_record({"weights": str(path) if path else None}, as_json=as_json, text=text)
    return PASS if path else NOTHING


def corpus(
    mirrors: Path = typer.Argument(..., help="Folder of bare clones (git clone --mirror), OWNER+NAME each."),
    out: Path = typer.Option(..., "--out", "-o", help="Folder for the labelled corpus."),
    listed: Path | None = typer.Option(
        None,
        "--list",
        help="Pictures by repository and blob id; what the shipped weights learnt from if none.",
    ),
    excluded: Path | None = typer.Option(
        None, "--excluded", help="Repositories and blobs that must never be learnt from, as SHA-256 prefixes."
    ),
    as_json: bool = JSON,
) -> int:
    """Lay out the pictures that the shipped weights have learnt from, out of clones of their repositories."""
    from countermark.detectors.recipes.corpora import LIST, lay_out, read_excluded, read_list

    rows = read_list(listed or LIST)
    never = read_excluded(excluded) if excluded else frozenset()
    with progress("Laying out", len(rows), quiet=as_json) as advance:
        found = lay_out(rows, mirrors, out, excluded=never, report=advance.reach)
    record = {
        "laid_out": len(found.corpus),
        "sources": found.laid,
        "missing": found.missing,
        "refused": found.refused,
        "duplicates": found.duplicates,
        "damaged": found.damaged,
    }
    text = (
        f"Laid out {len(found.corpus)} of {len(rows)} pictures of {len(found.laid)} sources in {out}; "
        f"{sum(found.missing.values())} are missing, {found.refused} refused, {found.duplicates} look like "
        f"another, {found.damaged} cannot be read."
    )
    show_record(record, as_json=as_json, text=text)
    return PASS if len(found.corpus) else NOTHING
