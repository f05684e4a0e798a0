"""``countermark verify``: does the credential hold, and if it was stripped, can it be found again?"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import typer

from countermark.cli.logs import tell, warn
from countermark.cli.output import (
    ERROR,
    FAIL,
    FORCE,
    FORMAT,
    JSON,
    NOTHING,
    OUTPUT,
    PASS,
    check_outputs,
    explain,
    progress,
    say,
    show,
    show_record,
    write_all,
)
from countermark.cli.records import REPOSITORY, opened
from countermark.reports.text import visible

ORDER = ("trusted", "intact", "recovered", "absent", "invalid")


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("verify")(verify)


def verify(
    paths: list[Path] = typer.Argument(..., help="Images and folders."),
    trust: list[Path] = typer.Option([], "--trust", help="PEM bundle or trust list; instead of your own."),
    recover: bool = typer.Option(True, "--recover/--no-recover", help="Look stripped credentials up."),
    repository: str | None = REPOSITORY,
    require: str | None = typer.Option(
        None, "--require", help="Exit 1 if an image is below this state: trusted, intact, recovered."
    ),
    tree: bool = typer.Option(False, "--tree", help="Print the history of each image as a tree."),
    rubric: bool = typer.Option(
        False,
        "--rubric",
        help="Hold each image against the C2PA conformance rubric instead; exit 1 on a miss.",
    ),
    format: str = FORMAT,
    output: list[str] = OUTPUT,
    force: bool = FORCE,
    as_json: bool = JSON,
) -> int:
    """Verify Content Credentials. Nothing is fetched from a network."""
    from countermark.app.pictures import MAX_FILES, file_pictures
    from countermark.app.scan.sources import named
    from countermark.app.verify import verify as verify_one
    from countermark.core.errors import ConfigError, CountermarkError
    from countermark.core.results import Failure
    from countermark.provenance.identities.trust import default_lists
    from countermark.reports import Thumbnail, verify_document
    from countermark.reports.formats import parse_output

    if require is not None and require not in ORDER[:3]:
        raise ConfigError(f"{require!r} cannot be required.", hint=f"Use one of {', '.join(ORDER[:3])}.")
    check_outputs("verify", format, as_json, output, force=force)
    sources = named(map(str, paths), sys.stdin.buffer)
    files = [each for each in sources.files if isinstance(each, Path)]
    if len(files) < len(sources.files):
        raise ConfigError("A picture on standard input cannot be verified.", hint="Give the file's name.")
    for note in sources.notes:
        tell(note)
    if not files:
        warn("No images found.")
        return NOTHING
    if rubric:
        return _rubric(files, as_json)
    found = []
    unreadable: dict[str, Failure] = {}
    with (
        opened(repository) if repository else nullcontext() as place,
        progress("Verifying", len(files), quiet=as_json) as advance,
    ):
        for path in files:
            advance(0)
            try:
                found.append(
                    verify_one(path, trust=trust or None, recover=recover, repository=place, digest=True)
                )
            except CountermarkError as error:
                if error.code.startswith("trust"):
                    raise
                explain(error)
                unreadable[str(path)] = Failure(error.code, error.message, error.hint)
            advance(1)
    settings = {
        "recover": recover,
        "trust": [str(t) for t in trust],
        "left_out": dict(sources.left_out),
        "left_out_files": [{"path": path, "reason": reason} for path, reason in sources.others],
    }
    document = verify_document(found, unreadable=unreadable, settings=settings)
    if tree and not as_json:
        from countermark.provenance.credentials.history import as_text, history_tree

        for result in found:
            say(f"{visible(result.path)}: {result.state}")
            say(as_text(history_tree(result)))
    else:
        show(document, format=format, as_json=as_json)
    images: dict[str, Thumbnail] = {}
    if any(parse_output(each)[0] == "html" for each in output):
        for one in found[:MAX_FILES]:
            images |= file_pictures(one)
    write_all(document, output, images, force=force)
    for each in () if trust else default_lists():
        if each.outdated():
            warn(each.outdated())
    below = require is not None and any(ORDER.index(r.state) > ORDER.index(require) for r in found)
    if below or any(r.state == "invalid" for r in found):
        return FAIL
    return PASS if len(found) == len(files) else ERROR


def _rubric(files: list[Path], as_json: bool) -> int:
    """Prints what the rubric says of each image."""
    from countermark.core.errors import CountermarkError
    from countermark.provenance.credentials.rubric import NAME, examine_rubric

    rows = []
    for path in files:
        try:
            results = examine_rubric(path)
        except CountermarkError as error:
            explain(error)
            continue
        good = sum(each.passed for each in results)
        rows.append(
            {"path": str(path), "passed": good, "of": len(results), "rules": list(map(asdict, results))}
        )
        if not as_json:
            say(f"{visible(path)}: {good} of {len(results)} rules hold.")
            for each in results:
                if not each.passed:
                    say(f"  {each.id}: {each.title}; found {', '.join(each.found)}")
    if as_json:
        show_record({"rubric": NAME, "results": rows}, as_json=True, text="")
    if any(row["passed"] != row["of"] for row in rows):
        return FAIL
    return PASS if len(rows) == len(files) else ERROR
