"""``countermark man`` and ``countermark completion``: made from the commands themselves.

countermark man > ~/.local/share/man/man1/countermark.1
countermark completion bash > ~/.local/share/bash-completion/completions/countermark
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from countermark.cli.output import PASS, wrong_usage
from countermark.core.errors import ConfigError

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
COMPLETE = "_COUNTERMARK_COMPLETE"
EXITS = (
    ("0", "Passed."),
    ("1", "A policy failed, or there is a finding at or above the gate."),
    ("2", "Something could not be evaluated or read."),
    ("3", "There was nothing to do."),
    ("4", "Wrong usage."),
)


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("completion")(completion)
    app.command("man")(man)


def answer() -> None:
    """Makes typer answer shells that ask for completions, as their scripts do by ``COMPLETE``."""
    from typer._completion_classes import completion_init

    completion_init()


def completion(
    shell: str = typer.Argument("bash", help="Name of the shell: bash, zsh, fish, powershell or pwsh."),
) -> int:
    """Print a script that completes commands and options in a shell."""
    from typer._completion_shared import get_completion_script

    if shell not in SHELLS:
        with wrong_usage():
            raise ConfigError(
                f"There is no completion for {shell!r}.", hint=f"Use one of {', '.join(SHELLS)}."
            )
    typer.echo(get_completion_script(prog_name="countermark", complete_var=COMPLETE, shell=shell))
    return PASS


def man() -> int:
    """Print the manual page, for man."""
    typer.echo(page(), nl=False)
    return PASS


def page() -> str:
    """The manual page of all commands, in roff."""
    from countermark.cli import whole
    from countermark.core.version import VERSION

    command = typer.main.get_command(whole())
    lines = [
        f'.TH "COUNTERMARK" "1" "" "countermark {_roff(VERSION)}" "User commands"',
        ".SH NAME",
        f"countermark \\- {_roff(_first(command.help).rstrip('.'))}",
        ".SH SYNOPSIS",
        ".B countermark",
        "COMMAND [OPTIONS] [ARGUMENTS]",
        ".SH COMMANDS",
    ]
    for path, each in _leaves("countermark", command):
        lines += [f".SS {_roff(path)}", _roff(" ".join((each.help or "").split()))]
        for parameter in each.params:
            if getattr(parameter, "hidden", False) or parameter.name == "help":
                continue
            lines += [".TP", f".B {_roff(_names(parameter))}", _roff(_help(parameter)) or "\\&"]
    lines.append(".SH EXIT STATUS")
    for code, meaning in EXITS:
        lines += [".TP", f".B {code}", _roff(meaning)]
    return "\n".join(lines) + "\n"


def _leaves(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if not children:
        yield path, command
        return
    for name in sorted(children):
        yield from _leaves(f"{path} {name}", children[name])


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name).upper()
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    flag = getattr(parameter, "is_flag", False) or getattr(parameter, "count", False)
    kind = parameter.metavar or getattr(getattr(parameter, "type", None), "name", "") or parameter.name
    return names if flag else f"{names} {str(kind).upper()}"


def _help(parameter: Any) -> str:
    text = " ".join((getattr(parameter, "help", None) or "").split())
    default = parameter.default
    if (
        parameter.param_type_name == "option"
        and isinstance(default, str | int | float)
        and default not in ("", False)
    ):
        text += f" Default: {default}."
    return text


def _first(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _roff(text: str) -> str:
    """Text that troff prints as it stands."""
    made = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{made}" if made[:1] in (".", "'") else made
