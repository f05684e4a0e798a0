"""Every sentence that names a command or an option is held against the command line itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import countermark
from countermark.cli import app
from countermark.provenance import source_types

ROOMS = (Path(source_types.__file__).parent, Path(countermark.__file__).parent / "app")
COMMAND = re.compile(r"countermark ([a-z-]+)(?: ([a-z-]+))?([^.\"']*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
#: Options that a sentence may name without its command: the commands that the sentence can come from.
BARE = {
    "--repository": ["sign", "verify", "serve", "records list", "records show", "records delete"],
    "--passphrase-file": ["sign", "keys create", "keys import", "keys rotate", "keys request"],
}


def commands() -> dict[str, set[str]]:
    """Options of every command, by its name."""
    found: dict[str, set[str]] = {}

    def walk(command: object, name: str) -> None:
        for each, sub in getattr(command, "commands", {}).items():
            walk(sub, f"{name} {each}".strip())
        found[name] = {o for p in getattr(command, "params", []) for o in (*p.opts, *p.secondary_opts)}

    walk(typer.main.get_command(app), "")
    return found


def sentences() -> Iterator[tuple[str, str]]:
    for room in ROOMS:
        for path in sorted(room.rglob("*.py")):
            tree = ast.parse(path.read_text("utf-8"))
            docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
            for node in ast.walk(tree):
                if isinstance(node, ast.JoinedStr):
                    parts = [v.value if isinstance(v, ast.Constant) else "NAME" for v in node.values]
                    yield f"{path.name}:{node.lineno}", "".join(map(str, parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                    yield f"{path.name}:{node.lineno}", node.value


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    return commands()


def test_commands_that_are_named_exist_with_their_options(known: dict[str, set[str]]) -> None:
    wrong, seen = [], 0
    for where, text in sentences():
        if not re.search(r"(?:^|with: |: |'|`)countermark [a-z]", text):
            continue
        for first, second, rest in COMMAND.findall(text):
            name = f"{first} {second}" if f"{first} {second}" in known else first
            seen += 1
            if name not in known or (any(k.startswith(f"{first} ") for k in known) and name == first):
                wrong.append(f"{where}: no command {first} {second}")
            else:
                wrong += [f"{where}: {name} has no {o}" for o in OPTION.findall(rest) if o not in known[name]]
    assert seen >= 5, "the sentences were not found"
    assert not wrong, wrong


def test_options_that_are_named_alone_exist_where_the_sentence_can_be_read(
    known: dict[str, set[str]],
) -> None:
    room = ROOMS[0]
    for where, text in sentences():
        if not (room / where.split(":")[0]).exists() and not list(room.rglob(where.split(":")[0])):
            continue
        if "countermark " in text:
            continue
        for option in OPTION.findall(text):
            assert option in BARE, f"{where} names {option} without a command"
            assert [c for c in BARE[option] if option not in known[c]] == [], where
