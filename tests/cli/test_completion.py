"""Completion, the manual page, help texts: made from the commands themselves."""

from __future__ import annotations

import re

import pytest
import typer

from countermark.cli import app, run
from countermark.cli.manual import page


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_every_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "_COUNTERMARK_COMPLETE" in script and "countermark" in script


def test_an_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "tcsh"]) == 4
    assert "bash" in capsys.readouterr().err


def test_bash_is_answered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("_COUNTERMARK_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "countermark ver")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert run([]) == 0
    assert "verify" in capsys.readouterr().out
    monkeypatch.setenv("COMP_WORDS", "countermark keys ")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert run([]) == 0
    assert "doctor" in capsys.readouterr().out


def test_the_manual_names_every_command_and_option() -> None:
    text = page()
    assert text.startswith('.TH "COUNTERMARK" "1"') and ".SH EXIT STATUS" in text
    plain = text.replace("\\-", "-")
    for command in ("scan", "verify", "keys doctor", "train generator"):
        assert f"countermark {command}" in plain
    assert "--max-fpr" in plain
    # A line that begins with a dot or an apostrophe is an instruction to troff: only those that we write.
    known = {".TH", ".SH", ".SS", ".TP", ".PP", ".B", ".nf", ".fi"}
    assert {line.split()[0] for line in text.splitlines() if line[:1] in ".'"} <= known


def test_help_texts_lose_nothing_in_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    """Rich takes ``[default]`` for mark-up where it may; what stands in brackets must be printed."""
    command = typer.main.get_command(app)
    wrong = []

    def visit(path: list[str], one: object) -> None:
        for name, each in getattr(one, "commands", {}).items():
            visit([*path, name], each)
        helps = [getattr(one, "help", None) or "", *(getattr(p, "help", None) or "" for p in one.params)]  # type: ignore[attr-defined]
        wanted = [m for text in helps for m in re.findall(r"\[[a-z][^\]]*\]", text)]
        if wanted:
            run([*path, "--help"])
            shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
            wrong.extend((" ".join(path), m) for m in wanted if m not in shown)

    visit([], command)
    assert not wrong
