"""``countermark audit POLICY…``, and its commands beside ``run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from countermark.cli.logs import tell
from countermark.cli.output import (
    FAIL,
    FORCE,
    FORMAT,
    JSON,
    OUTPUT,
    PASS,
    check_outputs,
    progress,
    read_document,
    say,
    show,
    show_record,
    write_all,
)
from countermark.core.errors import ConfigError, CountermarkError


class PolicyFirst(TyperGroup):
    """A group whose first word may be a policy or an option: it then stands for ``audit run …``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = args and args[0] in (*self.commands, "--help") and not Path(args[0]).is_file()
        return super().parse_args(ctx, args if known or not args else ["run", *args])


app = typer.Typer(
    cls=PolicyFirst,
    no_args_is_help=True,
    help="Audit a detector, a generator or a signing pipeline: countermark audit POLICY… (options: "
    "countermark audit run --help).",
)


def add_to(parent: typer.Typer) -> None:
    """Adds the group."""
    parent.add_typer(app, name="audit")


@app.command("run")
def run(
    policies: list[str] = typer.Argument(..., metavar="POLICY…", help="Policies (TOML)."),
    evidence: list[str] = typer.Option(
        [], "--evidence", "-e", metavar="NAME=FOLDER", help="A folder that replaces the policy's."
    ),
    baseline: Path | None = typer.Option(None, "--baseline", help="Earlier JSON report to compare with."),
    cache: Path | None = typer.Option(None, "--cache", help="File that keeps scores between runs."),
    statement: Path | None = typer.Option(
        None, "--statement", help="Write an in-toto statement of the audit, signed (DSSE)."
    ),
    identity: str = typer.Option("default", "--identity", help="Whose key signs the statement."),
    format: str = FORMAT,
    output: list[str] = OUTPUT,
    force: bool = FORCE,
    as_json: bool = JSON,
) -> int:
    """Audit against written policies; the word run may be left out."""
    from countermark.app.audit.runner import audit_with_images, combine
    from countermark.reports import audit_document
    from countermark.reports.documents import with_baseline

    outputs = [[_numbered(spec, number) for spec in output] for number in range(len(policies))]
    sealed = [None if statement is None else Path(_numbered(str(statement), n)) for n in range(len(policies))]
    for specs, place in zip(outputs, sealed, strict=True):
        also = [] if place is None else [f"in-toto={place}"]
        check_outputs("audit", format, as_json, [*specs, *also], force=force)
    folders = {}
    for item in evidence:
        name, equals, path = item.partition("=")
        if not equals or not path:
            raise ConfigError(f"{item!r} is not NAME=FOLDER.")
        folders[name] = path
    before = None if baseline is None else read_document(baseline)
    reports = []
    failure: CountermarkError | None = None
    for policy, specs, place in zip(policies, outputs, sealed, strict=True):
        with progress("Auditing", None, quiet=as_json) as advance:
            report, images = audit_with_images(
                policy, evidence=folders, cache=cache, pictures=bool(output), report=advance.stage
            )
        reports.append(report)
        document = audit_document(report)
        if before is not None:
            document = with_baseline(document, before)
        show(document, format=format, as_json=as_json)
        try:
            write_all(document, specs, images, force=force)
            if place is not None:
                _attest(document, place, identity, force)
        except CountermarkError as error:  # the other policies are still audited
            failure = error
    if failure is not None:
        raise failure
    return combine(reports)


@app.command("init")
def init(
    kind: str = typer.Argument(..., help="What is audited: detector, generator, pipeline or demo."),
) -> int:
    """Print a commented policy to start from."""
    from countermark.app.audit import starter

    typer.echo(starter(kind))
    return PASS


@app.command("explain")
def explain(
    check: str = typer.Argument("", help="A check, such as detector.auroc; without it, all are listed."),
    law: bool = typer.Option(
        False, "--law", help="Say what published texts ask for and which checks bear on it; CHECK names one."
    ),
) -> int:
    """Say what a check measures: formula, source, options; or what laws ask for, by number."""
    from countermark.app.audit.explaining import explain as one
    from countermark.app.audit.explaining import explain_law, overview

    text = explain_law(check) if law else one(check) if check else overview()
    typer.echo(text, nl=bool(check) or law)
    return PASS


@app.command("kept")
def kept(
    before: Path = typer.Option(..., "--before", help="Folder of the files that went into an export."),
    after: Path = typer.Option(..., "--after", help="Folder of what came out, under the same names."),
    at_least: float = typer.Option(
        0.9, "--at-least", min=0.0, max=1.0, help="Share of the files that must keep each mark."
    ),
    mark: list[str] = typer.Option(
        [], "--mark", help="Only these: credential, declaration, watermark or metadata; all by default."
    ),
    format: str = FORMAT,
    output: list[str] = OUTPUT,
    force: bool = FORCE,
    as_json: bool = JSON,
) -> int:
    """Say which marks an export keeps, each share with its interval (the check pipeline.kept)."""
    from countermark.app.audit.ready import kept_policy
    from countermark.app.audit.runner import audit_with_images
    from countermark.reports import audit_document

    check_outputs("audit", format, as_json, output, force=force)
    policy = kept_policy(before, after, at_least=at_least, marks=mark)
    report, images = audit_with_images(policy, pictures=bool(output))
    document = audit_document(report)
    show(document, format=format, as_json=as_json)
    write_all(document, output, images, force=force)
    return report.exit_code


@app.command("check-statement")
def check(
    statement: Path = typer.Argument(..., help="What countermark audit run --statement wrote."),
    report: Path | None = typer.Option(None, "--report", help="The JSON report that it should speak of."),
    trust: list[Path] = typer.Option(
        [], "--trust", help="Whose signature counts; see countermark keys trust."
    ),
    as_json: bool = JSON,
) -> int:
    """Check the signature of an audit's statement, and whether it is of a report."""
    from countermark.app.audit.attesting import check_statement
    from countermark.core.images import read_bytes
    from countermark.reports.text import visible

    spoken_of = None if report is None else read_bytes(report)
    found = check_statement(read_bytes(statement), report=spoken_of, trust=[*trust] or None)
    lines = [f"{found.result}, signed by {found.signer}"]
    lines += [f"  {name} sha256:{digest}" for name, digest in found.subjects.items()]
    lines.append("  The signer is trusted." if found.trusted else f"  {found.problem}")
    if found.fits is not None:
        lines.append("  It is of this report." if found.fits else "  It is not of this report.")
    show_record(found, as_json=as_json, text="\n".join(visible(line) for line in lines))
    return PASS if found.trusted and found.fits is not False else FAIL


@app.command("blind-spots")
def blind_spots(
    corpus: Path = typer.Argument(..., help="Labelled corpus; its synthetic images are used."),
    detector: str = typer.Option("default", "--detector", "-d", help="A shipped detector, or weights."),
    images: int = typer.Option(120, "--images", min=8, help="Half are searched on, half measured on."),
    budget: int = typer.Option(60, "--budget", min=4, help="Edit sequences that each search tries."),
    length: int = typer.Option(2, "--length", min=1, max=6, help="Edits in a sequence."),
    max_fpr: float = typer.Option(0.01, "--max-fpr", min=1e-6, max=0.5, help="Sets the threshold."),
    seed: int = typer.Option(0, "--seed", min=0, help="Of everything random."),
    format: str = FORMAT,
    output: list[str] = OUTPUT,
    force: bool = FORCE,
    as_json: bool = JSON,
) -> int:
    """Search for everyday edits that hide synthetic images: a learned policy and random search."""
    from countermark.app.adversaries.spotting import spot

    check_outputs("evaluation", format, as_json, output, force=force)
    with progress("Searching", None, quiet=as_json) as advance:
        document = spot(
            detector,
            corpus,
            images=images,
            budget=budget,
            length=length,
            max_fpr=max_fpr,
            seed=seed,
            report=advance,
        )
    show(document, format=format, as_json=as_json)
    write_all(document, output, force=force)
    return PASS


@app.command("card")
def card(
    report: Path = typer.Argument(..., help="JSON report of an audit of a detector or generator."),
    weights: Path | None = typer.Option(None, "--weights", help="The weights, if they lie elsewhere now."),
    output: Path | None = typer.Option(None, "--output", "-o", help="File; by default it is printed."),
    force: bool = FORCE,
) -> int:
    """Write a model card in Hugging Face's format, with the audit's figures in it."""
    from countermark.app.audit.cards import card_from_audit
    from countermark.core.files import atomic_write, check_writable

    text = card_from_audit(read_document(report), weights=weights)
    if output is None:
        say(text, nl=False)
    else:
        check_writable(output, overwrite=force)
        atomic_write(output, text, overwrite=force)
        tell(f"Wrote {output}")
    return PASS


def _attest(document: dict[str, Any], path: Path, identity: str, force: bool) -> None:
    from countermark.app.audit.attesting import attest
    from countermark.core.files import atomic_write

    tell(f"Wrote {atomic_write(path, attest(document, identity), overwrite=force)}")


def _numbered(spec: str, number: int) -> str:
    """The second and later policies write beside the first: ``report.html``, ``report-2.html``."""
    if number == 0:
        return spec
    head, equals, path = spec.rpartition("=")
    target = Path(path)
    return f"{head}{equals}{target.with_name(f'{target.stem}-{number + 1}{target.suffix}')}"
