"""``countermark audit``: runs policies; also ``audit init KIND`` and ``audit explain CHECK``."""

from __future__ import annotations

from pathlib import Path

import typer

from countermark.cli.output import FORMAT, JSON, OUTPUT, PASS, read_document, show, write_all
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
    baseline: Path | None = typer.Option(None, "--baseline", help="Earlier JSON report to compare with."),
    cache: Path | None = typer.Option(None, "--cache", help="File that keeps scores between runs."),
    format: str = FORMAT,
    output: list[str] = OUTPUT,
    as_json: bool = JSON,
) -> int:
    """Audit a detector, a generator or a signing pipeline against a written policy."""
    from countermark.app.audit.runner import audit_with_images, combine
    from countermark.reports import audit_document
    from countermark.reports.documents import with_baseline

    if policies[0] in ("init", "explain") and not Path(policies[0]).exists():
        return _helper(policies)
    folders = {}
    for item in evidence:
        name, equals, path = item.partition("=")
        if not equals or not path:
            raise ConfigError(f"{item!r} is not NAME=FOLDER.")
        folders[name] = path
    before = None if baseline is None else read_document(baseline)
    reports = []
    for number, policy in enumerate(policies):
        report, images = audit_with_images(policy, evidence=folders, cache=cache, pictures=bool(output))
        reports.append(report)
        document = audit_document(report)
        if before is not None:
            document = with_baseline(document, before)
        show(document, format=format, as_json=as_json)
        write_all(document, [_numbered(spec, number) for spec in output], images)
    return combine(reports)


def _helper(words: list[str]) -> int:
    from countermark.app.audit import explain, starter
    from countermark.app.audit.explaining import overview

    if words == ["explain"]:
        typer.echo(overview(), nl=False)
        return PASS
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
