"""Progress: plain lines where no terminal looks on, a bar with rate and time left where one does."""

from __future__ import annotations

import io
import sys

import pytest

from countermark.cli.progress import PLAIN_SECONDS, PlainLines, Steps, line, progress, rate


def test_plain_lines_come_from_time_to_time() -> None:
    now, said = [100.0], list[str]()
    show = PlainLines(clock=lambda: now[0], write=said.append)
    for done in range(1, 61):
        now[0] += 1
        show("Scanning", done, 60)
    assert len(said) == int(60 // PLAIN_SECONDS)
    assert said[0] == "Scanning: 15 of 60, 1.0 a second, 0:45 left"
    now[0] += PLAIN_SECONDS
    show("Checking", 1, 10)  # another part: its rate begins anew
    assert said[-1].startswith("Checking: 1 of 10")


def test_a_line_says_rate_and_time_left() -> None:
    assert line("Training", 10, None, 100.0) == "Training: 10, 10.0 s each"
    assert line("Signing", 0, 5, 1.0).startswith("Signing: 0 of 5") and rate(0) == ""


def test_steps_are_counted_or_told() -> None:
    seen: list[tuple[str, int, int | None]] = []
    steps = Steps(lambda *what: seen.append(what), "a", 9)
    steps(2)
    steps.reach(5, 10, "ignored")
    steps.stage("b", 1, 2)
    assert seen == [("a", 2, 9), ("a", 5, 10), ("b", 1, 2)]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_for_terminals(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with progress("Scanning", 4) as advance:
        for _ in range(4):
            advance(1)
    assert ("Scanning" in stream.getvalue()) == terminal
    stream.truncate(0)
    with progress("Scanning", 4, quiet=True) as advance:
        advance(4)
    assert "Scanning" not in stream.getvalue()
