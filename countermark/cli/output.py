"""What every command prints: a document in the asked format, files beside it, errors in a sentence."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from countermark.cli.logs import tell
from countermark.cli.progress import progress as progress
from countermark.core.errors import ConfigError, CountermarkError, OutputError
from countermark.core.files import check_writable
from countermark.core.images import sniff_format
from countermark.reports.text import inert, lines, visible

if TYPE_CHECKING:
    from countermark.reports import Thumbnail

MAX_DOCUMENT_BYTES = 256 * 1024 * 1024
PASS, FAIL, ERROR, NOTHING, USAGE = 0, 1, 2, 3, 4

JSON = typer.Option(False, "--json", help="Print JSON instead of text.")
FORMAT = typer.Option(
    "console", "--format", "-f", help="What to print: console, json, markdown, html, sarif, junit or badge."
)
OUTPUT = typer.Option(
    [], "--output", "-o", metavar="FORMAT=PATH", help="Write a report too; may be given several times."
)
FORCE = typer.Option(False, "--force", help="Replace reports that exist; never a picture.")


def show(document: dict[str, Any], *, format: str = "console", as_json: bool = False) -> None:
    """Prints a document on standard output."""
    from countermark.reports import render

    chosen = "json" if as_json else format
    options: dict[str, Any] = {}
    if chosen == "console":
        options = {"width": shutil.get_terminal_size((110, 24)).columns, "colour": sys.stdout.isatty()}
    text = render(document, chosen, **options)
    colon, hash_ = _SPELLED.get(chosen, ("\\x3a", "\\x23"))
    typer.echo(inert(text, colon, hash_), nl=not text.endswith("\n"))


#: How a colon and a hash are written in a format whose readers should still see them as such.
_SPELLED = {
    **dict.fromkeys(("json", "sarif", "badge"), ("\\u003a", "\\u0023")),
    **dict.fromkeys(("html", "junit"), ("&#58;", "&#35;")),
}


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Prints text in which names, manifests or messages may be from strangers' files."""
    typer.echo(lines(text), err=err, nl=nl)


def say_json(value: Any, *, sort: bool = True) -> None:
    """Prints JSON for people and programs: no character in it is more than a character to a terminal."""
    text = json.dumps(value, indent=2, sort_keys=sort, default=str, ensure_ascii=False)
    shown = "".join(each if each == "\n" else _in_json(each) for each in text)
    typer.echo(inert(shown, "\\u003a", "\\u0023"))


def _in_json(character: str) -> str:
    if visible(character) == character:
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else json.dumps(character)[1:-1]


def write_all(
    document: dict[str, Any],
    outputs: Sequence[str],
    images: Mapping[str, Thumbnail] | None = None,
    *,
    force: bool = False,
) -> None:
    """Writes every ``FORMAT=PATH``; one that fails does not keep the others from being written.

    Args:
        force: Replace existing reports.

    Raises:
        CountermarkError: the last failure, after all were tried; those before it were told.
    """
    from countermark.reports import write_report

    failure: CountermarkError | None = None
    for output in outputs:
        try:
            tell(f"Wrote {write_report(document, output, images=images, overwrite=force)}")
        except CountermarkError as error:
            if failure is not None:
                explain(failure)
            failure = error
    if failure is not None:
        raise failure


def check_outputs(
    kind: str, format: str, as_json: bool, outputs: Sequence[str], *, force: bool = False
) -> None:
    """Refuses what cannot be written, before hours of work rather than after.

    That is: formats that are not known or do not fit, files that exist (unless ``force`` is given),
    pictures and devices whatever is given, two reports in one file, folders that may not be written to.

    Args:
        kind: Of the document to come: ``scan``, ``audit``, ``evaluation`` or ``verify``.
    """
    from countermark.reports.formats import FORMATS, parse_output

    with wrong_usage():
        pairs = [parse_output(output) for output in outputs]
        wanted = [name for name, _ in pairs]
        places: set[Path] = set()
        for _, path in pairs:
            _check_place(path, force)
            if path.resolve() in places:
                raise OutputError(f"Two reports would be written to {path}.", code="output.twice")
            places.add(path.resolve())
        for name in (*([] if as_json else [format]), *wanted):
            if kind not in FORMATS.get(name).kinds:
                able = ", ".join(n for n in FORMATS if kind in FORMATS.get(n).kinds)
                raise ConfigError(
                    f"There is no {name} form of a {kind} document.", hint=f"Use one of {able}."
                )


def _check_place(path: Path, force: bool) -> None:
    try:
        check_writable(path, overwrite=force)
    except OutputError as error:
        if error.code == "output.exists":
            error.hint = "Choose another name, or replace it with --force."
        raise
    with suppress(OSError), open(path, "rb") as stream:
        if sniff_format(stream.read(64)):
            raise OutputError(
                f"{path} is a picture, which no report replaces.",
                code="output.picture",
                hint="Choose another name.",
            )


@contextmanager
def wrong_usage() -> Iterator[None]:
    """Errors inside are the caller's: the command ends with the exit code of wrong usage."""
    try:
        yield
    except CountermarkError as error:
        explain(error)
        raise typer.Exit(USAGE) from error


def read_document(path: Path) -> dict[str, Any]:
    """An earlier JSON report.

    Raises:
        ConfigError: missing, too large, or not a JSON object.
    """
    try:
        if path.stat().st_size > MAX_DOCUMENT_BYTES:
            raise ConfigError(f"{path} is too large for a report.")
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{path} is not a JSON report.", hint="Write one with --output json=PATH."
        ) from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path} is not a report.")
    return document


def show_record(record: Any, *, as_json: bool, text: str) -> None:
    """Prints a plain record: its JSON, or a text for people."""
    if not as_json:
        say(text)
        return
    say_json(asdict(record) if is_dataclass(record) and not isinstance(record, type) else record)


def explain(error: CountermarkError) -> None:
    """An error on standard error: what happened, then what to do."""
    typer.secho(lines(f"Error: {visible(error.message)}"), err=True, fg="red")
    if error.hint:
        say(f"  {visible(error.hint)}", err=True)
