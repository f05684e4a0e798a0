"""``countermark audit``: runs policies; also ``audit init KIND`` and ``audit explain CHECK``."""

from __future__ import annotations

from pathlib import Path

import typer

from countermark.cli.output import FORMAT, JSON, OUTPUT, PASS, show, write_all
from countermark.core.errors import ConfigError


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("audit")(audit)


def audit(
    policies: list[str] = typer.Argument(
        ..., metavar="POLICY… | init KIND | explain CHECK", help="Policies (TOML), or one of the two helpers."
    ),
    evidence: list[str] = typer.Option(
        [], "--evidence", "-e", metavar="NAME=FOLDER", help="A folder that replaces the policy's."
    ),
    cache: Path | None = typer.Option(None, "--cache", help="File that keeps scores between runs."),
    format: str = FORMAT,
    output: list[str] = OUTPUT,
    as_json: bool = JSON,
) -> int:
    """Audit a detector, a generator or a signing pipeline against a written policy."""
    from countermark.app.audit import audit as run
    from countermark.app.audit import combine
    from countermark.reports import audit_document

    if policies[0] in ("init", "explain") and not Path(policies[0]).exists():
        return _helper(policies)
    folders = {}
    for item in evidence:
        name, equals, path = item.partition("=")
        if not equals or not path:
            raise ConfigError(f"{item!r} is not NAME=FOLDER.")
        folders[name] = path
    reports = [run(policy, evidence=folders, cache=cache) for policy in policies]
    for number, report in enumerate(reports):
        document = audit_document(report)
        show(document, format=format, as_json=as_json)
        write_all(document, [_numbered(spec, number) for spec in output])
    return combine(reports)


def _helper(words: list[str]) -> int:
    from countermark.app.audit import explain, starter

    if len(words) != 2:
        raise ConfigError(f"Write: countermark audit {words[0]} NAME")
    typer.echo(starter(words[1]) if words[0] == "init" else explain(words[1]))
    return PASS


def _numbered(spec: str, number: int) -> str:
    """The second and later policies write beside the first: ``report.html``, ``report-2.html``."""
    if number == 0:
        return spec
    head, equals, path = spec.rpartition("=")
    target = Path(path)
    return f"{head}{equals}{target.with_name(f'{target.stem}-{number + 1}{target.suffix}')}"
