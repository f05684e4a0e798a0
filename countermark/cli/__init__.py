"""The command line: parse, call ``countermark.app``, render, set the exit code. Nothing else.

Exit codes: 0 passed, 1 a policy failed or a finding at or above ``--fail-on``, 2 could not be
evaluated, 3 nothing to do, 4 wrong usage.
"""

from __future__ import annotations

import logging
import os
import shlex
import sys
from functools import lru_cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from countermark.cli import logs
from countermark.cli.output import ERROR, USAGE, explain
from countermark.core.errors import ConfigError, CountermarkError, OutputError

#: Modules with ``add_to``, in the order of the help; and those that are a group of commands by themselves.
COMMANDS = (
    *("scan", "sign", "verify", "redact", "generate", "train", "recipe", "augment"),
    *("tune", "zoo", "calibrate", "audit", "models", "serve", "demo", "sidecars", "manual"),
)
GROUPS = ("evaluate", "keys", "records")
#: Commands that bear their module's name and are alone in it: for one of them no other is imported.
SINGLE = frozenset({"scan", "sign", "verify", "redact", "generate", "calibrate", "serve", "demo"})
#: What the help lists together.
PANELS = {
    "Ask where pictures come from": ("scan", "verify", "serve", "calibrate", "sidecars"),
    "Mark what is generated": ("sign", "redact", "keys", "records"),
    "Hold to a policy, measure": ("audit", "evaluate", "models"),
    "Generate and train": ("generate", "train", "augment", "tune", "zoo", "recipe", "corpus"),
    "This program": ("demo", "completion", "man"),
}


class _Listed(TyperGroup):
    """Lists its commands in the order of ``PANELS``."""

    def list_commands(self, ctx: Any) -> list[str]:
        order = [name for names in PANELS.values() for name in names]
        return sorted(super().list_commands(ctx), key=order.index)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is named; a file in its place is told what one may ask about it."""
        if args and args[0] not in self.commands and os.path.exists(args[0]):
            raise ConfigError(
                f"{args[0]} is no command.",
                code="usage.command",
                hint=f"Where it comes from: countermark scan {shlex.quote(args[0])}",
            )
        return super().resolve_command(ctx, args)


@lru_cache(maxsize=1)
def whole() -> typer.Typer:
    """The command line with all commands."""
    found = _with(COMMANDS)
    for name in GROUPS:
        found.add_typer(import_module(f"countermark.cli.{name}").app, name=name)
    panels = {name: panel for panel, names in PANELS.items() for name in names}
    for command in found.registered_commands:
        command.rich_help_panel = panels[str(command.name)]
    for group in found.registered_groups:
        group.rich_help_panel = panels[str(group.name)]
    return found


def command_of(app: typer.Typer) -> Any:
    """What parses the arguments. Switches take no value, and their help names none."""
    made: Any = typer.main.get_command(app)
    waiting = [made]
    while waiting:
        each = waiting.pop()
        waiting += getattr(each, "commands", {}).values()
        for parameter in each.params:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
    return made


def _with(names: tuple[str, ...]) -> typer.Typer:
    app = typer.Typer(
        name="countermark",
        cls=_Listed,
        context_settings={"help_option_names": ["-h", "--help"]},
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(_root)
    for name in names:
        import_module(f"countermark.cli.{name}").add_to(app)
    return app


def _needed(arguments: list[str]) -> typer.Typer:
    """As much of the command line as these arguments need."""
    first = next((word for word in arguments if not word.startswith("-")), "")
    return _with((first,)) if first in SINGLE else whole()


def __getattr__(name: str) -> Any:
    """``app`` is the whole command line, made when it is first asked for."""
    if name == "app":
        return whole()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
    if arguments[:1] == ["help"]:  # as git and others have it
        arguments = [*arguments[1:], "--help"]
    if "_COUNTERMARK_COMPLETE" in os.environ:  # a shell asks what may come next
        import_module("countermark.cli.manual").answer()
    try:
        result = command_of(_needed(arguments)).main(
            arguments, prog_name="countermark", standalone_mode=False
        )
        return result if isinstance(result, int) else 0
    except CountermarkError as error:
        explain(error)
        return USAGE if error.code == "usage.command" else ERROR
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else ERROR
    except typer.Abort:
        return 130
    except typer.Exit as stop:
        return stop.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130
    except (OSError, MemoryError) as error:  # a disk that is full, a home that is read-only, no memory left
        logging.getLogger(__name__).debug("stopped", exc_info=True)
        reason = getattr(error, "strerror", None) or type(error).__name__
        place = getattr(error, "filename", None)
        explain(OutputError(f"This computer could not do it: {reason}{f': {place}' if place else ''}."))
        return ERROR
    except Exception as error:
        if not (hasattr(error, "format_message") and hasattr(error, "show")):
            raise
        error.show()  # wrong usage; typer keeps click's classes in places that differ by version
        return USAGE
    finally:
        logs.stop()
