"""Messages: on standard error, as many as are wanted, harmless; help texts are sentences."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from countermark.cli import PANELS, app, run
from countermark.cli.logs import LOGGER, PlainFormatter, is_quiet, start, stop, tell, warn
from countermark.core.images import write_image
from countermark.core.seeds import rng

HOSTILE = "evil\x1b]0;title\x07\u202egnp.png"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "plain.png"
    write_image(path, rng(0, "noise").integers(0, 256, (64, 64, 3)).astype("uint8"))
    return path


def emitted(level: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    start(**level)
    try:
        log = logging.getLogger("countermark.app.anything")
        log.debug("a detail")
        log.info("progress of %s", HOSTILE)
        tell("a notice")
        warn("something odd")
        log.error("a failure")
        assert is_quiet() == bool(level.get("quiet"))
    finally:
        stop()
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_each_level_shows_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    plain, verbose = emitted({}, capsys), emitted({"verbose": 1}, capsys)
    assert plain == "a notice\nWarning: something odd\nError: a failure\n"
    assert verbose.startswith("progress of evil") and verbose.endswith(plain) and "detail" not in verbose
    assert "countermark.app.anything: a detail\n" in emitted({"verbose": 3}, capsys)
    assert emitted({"quiet": True}, capsys) == "Error: a failure\n"
    logging.getLogger(LOGGER).warning("after all")
    assert not [h for h in logging.getLogger(LOGGER).handlers if isinstance(h.formatter, PlainFormatter)]


def test_no_message_moves_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    err = emitted({"verbose": 1}, capsys)
    assert "\x1b" not in err and "\x07" not in err and "\u202e" not in err and "\\x1b" in err
    record = logging.LogRecord("countermark", logging.WARNING, "", 0, "one\ntwo", None, None)
    assert PlainFormatter().format(record) == "Warning: one\\x0atwo"


def test_a_traceback_is_shown_line_by_line() -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        record = logging.LogRecord("countermark", logging.DEBUG, "", 0, "broke", None, sys.exc_info())
    lines = PlainFormatter().format(record).splitlines()
    assert lines[0] == "countermark: broke" and "ValueError: evil\\x1b" in lines[-1]


def test_a_closed_standard_error_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(logging, "raiseExceptions", False)
    start()
    try:
        warn("nobody hears this")
    finally:
        stop()


def test_quiet_and_verbose_commands(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def err(*words: str) -> str:
        assert (
            run(
                [
                    *words,
                    "verify",
                    str(picture),
                    "--no-recover",
                    "--force",
                    "-o",
                    f"json={tmp_path / 'v.json'}",
                ]
            )
            == 0
        )
        found = capsys.readouterr()
        assert "absent" in found.out
        return found.err

    assert err() == f"Wrote {tmp_path / 'v.json'}\n"
    assert err("--quiet") == ""
    assert f"Wrote {tmp_path / 'v.json'}\n" in err("-v")


def test_an_error_with_a_hostile_name_is_harmless(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--quiet", "audit", str(tmp_path / HOSTILE)]) == 2
    err = capsys.readouterr().err
    assert "does not exist" in err and "\x1b]" not in err and "\u202e" not in err


def test_the_library_says_nothing_by_itself() -> None:
    code = (
        "import logging, countermark\n"
        "logging.getLogger('countermark.app.scan').warning('only for who asks')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


def test_the_program_alone_says_what_one_may_want(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    out = capsys.readouterr().out
    first = out.index("countermark demo"), out.index("countermark scan"), out.index("countermark verify")
    assert list(first) == sorted(first) and first[-1] < out.index("Usage")
    for command in ("countermark sign", "countermark audit"):
        assert command in out[: out.index("Usage")]


def test_the_commands_stand_together_by_what_one_wants(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    places = [out.index(panel) for panel in PANELS]
    assert places == sorted(places)
    listed = [name for names in PANELS.values() for name in names]
    command = typer.main.get_command(app)
    assert sorted(listed) == sorted(command.commands)
    assert "--quiet" in out and not re.search(r"--quiet.*<bool>", out), "a switch takes no value"


def test_help_texts_are_sentences() -> None:
    """Every command and every option says what it is, and rich takes nothing in brackets for mark-up."""
    wrong = []

    def look(command: Any, words: tuple[str, ...]) -> None:
        texts = {"": (command.help or "").strip()}
        texts |= {p.name: (getattr(p, "help", None) or "").strip() for p in command.params}
        for name, text in texts.items():
            good = text[:1].isupper() or text[:1].isdigit()
            if not good or text[-1] not in ".)" or "[" in text or "  " in text:
                wrong.append(f"{' '.join(words)} {name}: {text!r}")
        for name, inner in getattr(command, "commands", {}).items():
            look(inner, (*words, name))

    look(typer.main.get_command(app), ())
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "words", [["-h"], ["help"], ["scan", "-h"], ["help", "scan"], ["keys", "list", "-h"]]
)
def test_help_is_found_under_every_usual_name(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 0
    assert "Usage: countermark" in capsys.readouterr().out


def test_a_file_in_place_of_a_command_is_told_what_to_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a photo.jpg").write_bytes(b"")
    assert run(["a photo.jpg"]) == 4
    assert "countermark scan 'a photo.jpg'" in capsys.readouterr().err
    assert run(["b photo.jpg"]) == 4
    assert "No such command" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "shown"), [("", False), ("verbose=1", True), ("quiet=True, verbose=1", False)]
)
def test_what_other_libraries_warn_of_is_progress(given: str, shown: bool) -> None:
    # In a process of its own, since pytest takes warnings for itself.
    code = (
        f"import warnings; from countermark.cli import logs; logs.start({given})\n"
        f"warnings.warn({HOSTILE!r})\n"
        "logs.stop(); warnings.warn('ours no longer')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ("evil" in done.stderr) == shown and "\x1b" not in done.stderr and "\u202e" not in done.stderr
    assert "ours no longer" in done.stderr
