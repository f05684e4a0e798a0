"""``countermark scan … --output parquet=FOLDER``: scans of any size, here or on a cluster, that can go on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from countermark.cli.logs import tell
from countermark.cli.output import ERROR, FAIL, NOTHING, PASS, progress, say, say_json, wrong_usage
from countermark.cli.stopping import stoppable
from countermark.core.errors import ConfigError, CountermarkError, OutputError

PREFIX = "parquet="
_IN_USE = frozenset({"output.exists", "output.busy"})


def rows_folder(outputs: Sequence[str], *, cluster: str | None, resume: bool, retry: bool) -> Path | None:
    """The folder of ``parquet=FOLDER``, or None where rows are not asked for.

    Raises:
        ConfigError: with other outputs beside it, or options that need it without it.
    """
    found = [output for output in outputs if output.startswith(PREFIX)]
    if not found:
        for name, given in (("--cluster", cluster), ("--resume", resume), ("--retry-failed", retry)):
            if given:
                raise ConfigError(f"{name} needs a folder for its rows.", hint="Add --output parquet=FOLDER.")
        return None
    if len(outputs) > 1 or not found[0].removeprefix(PREFIX):
        raise ConfigError(
            "parquet=FOLDER is the only output of its scan.",
            hint="It holds every row; other reports are made of scans without it.",
        )
    return Path(found[0].removeprefix(PREFIX))


def scan_rows(
    paths: Sequence[str],
    folder: Path,
    settings: Any,
    *,
    null: bool,
    workers: int,
    cluster: str | None,
    resume: bool,
    retry: bool,
    fail_on: str,
    on_error: str,
    as_json: bool,
) -> int:
    """Scans, shows a summary, and gives the exit code.

    Args:
        settings: ``BulkSettings``.
        on_error: ``fail``, ``warn`` or ``ignore``: what files that cannot be read do to the exit code.
    """
    from countermark.app.scan.intake import scan_into
    from countermark.app.scan.plan import Plan
    from countermark.app.scan.settings import fails
    from countermark.core.results import Verdict

    plan = Plan(paths, sys.stdin.buffer, null=null)
    with stoppable() as stop, progress("Scanning", None, quiet=as_json) as advance:
        try:
            summary = scan_into(
                plan,
                folder,
                settings,
                workers=workers,
                cluster=cluster,
                resume=resume,
                retry=retry,
                advance=advance,
                stopped=lambda: bool(stop),
            )
        except CountermarkError as error:
            if isinstance(error, OutputError) and error.code not in _IN_USE:
                raise  # a disk that is full is nobody's wrong usage
            with wrong_usage():
                raise
    rate = summary.files / summary.seconds if summary.seconds else 0.0
    document = {
        "schema": "countermark.scan-summary/1",
        "folder": str(folder),
        "files": summary.files,
        "earlier": summary.earlier,
        "verdicts": dict(summary.verdicts.most_common()),
        "errors": dict(summary.errors.most_common()),
        "left_out": dict(summary.left_out),
        "seconds": round(summary.seconds, 3),
        "a_second": round(rate, 3),
        "stopped": stop.name,
    }
    if as_json:
        say_json(document)
    else:
        say(_text(document))
    if stop:
        tell("Stopped. What was scanned is kept: go on with --resume.")
        return stop.exit_code
    if not summary.files and not summary.earlier:
        return NOTHING
    if any(fails(Verdict(name), fail_on) for name in summary.verdicts):
        return FAIL
    if summary.errors and on_error == "fail":
        return FAIL
    return ERROR if summary.errors and not summary.verdicts and not summary.earlier else PASS


def _text(document: dict[str, Any]) -> str:
    lines = [
        f"{document['files']:,} files in {document['seconds']:,.1f} s, {document['a_second']:.2f} a second; "
        f"rows in {document['folder']}"
    ]
    if document["earlier"]:
        lines.append(f"{document['earlier']:,} more had a row from before.")
    lines += [f"  {name:20} {count:,}" for name, count in document["verdicts"].items()]
    lines += [f"  {'failed: ' + name:30} {count:,}" for name, count in document["errors"].items()]
    if document["errors"]:
        lines.append("Try those that failed again with --retry-failed.")
    if document["left_out"]:
        lines += [f"  not looked at: {count:,} {reason}" for reason, count in document["left_out"].items()]
    return "\n".join(lines)
