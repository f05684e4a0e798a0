"""The command line: parse, call ``countermark.app``, render, set the exit code. Nothing else.

Exit codes: 0 passed, 1 a policy failed or a finding at or above ``--fail-on``, 2 could not be
evaluated, 3 nothing to do, 4 wrong usage.
"""

from __future__ import annotations

import sys

import typer

from countermark.cli import (
    audit,
    augment,
    calibrate,
    demo,
    evaluate,
    generate,
    keys,
    logs,
    models,
    recipe,
    records,
    redact,
    scan,
    serve,
    sign,
    train,
    tune,
    verify,
    zoo,
)
from countermark.cli.output import ERROR, USAGE, explain
from countermark.core.errors import CountermarkError

app = typer.Typer(
    name="countermark",
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (
    scan,
    sign,
    verify,
    redact,
    generate,
    train,
    recipe,
    augment,
    tune,
    zoo,
    calibrate,
    audit,
    models,
    serve,
    demo,
):
    module.add_to(app)
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(keys.app, name="keys")
app.add_typer(records.app, name="records")


def _version(show: bool) -> None:
    if show:
        from countermark.core.version import VERSION

        typer.echo(f"countermark {VERSION}")
        raise typer.Exit()


#: What ``countermark`` alone prints before the list of commands.
FIRST = """\
What would you like to do?

  Try everything on this machine   countermark demo
  Ask where pictures come from     countermark scan photo.jpg pictures/ --output html=report.html
  Check a picture's credential     countermark verify photo.jpg --tree
  Sign what you generate           countermark sign made.png signed.png --generator my-model/1
  Hold a detector to a policy      countermark audit init detector > policy.toml
                                   countermark audit policy.toml --output html=audit.html
"""


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    verbose: int = typer.Option(
        0, "--verbose", "-v", count=True, show_default=False, help="Say what is going on; twice: everything."
    ),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Print results and errors only."),
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Tests images for synthetic origin and marks the ones that are generated."""
    logs.start(verbose=verbose, quiet=quiet)
    if context.invoked_subcommand is None:
        typer.echo(FIRST)
        typer.echo(context.get_help())


def main() -> None:
    """Entry point of ``countermark``."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code; every error ends as a sentence."""
    try:
        result = typer.main.get_command(app).main(arguments, prog_name="countermark", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except CountermarkError as error:
        explain(error)
        return ERROR
    except typer.Abort:
        return 130
    except typer.Exit as stop:
        return stop.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not (hasattr(error, "format_message") and hasattr(error, "show")):
            raise
        error.show()  # wrong usage; typer keeps click's classes in places that differ by version
        return USAGE
    finally:
        logs.stop()
