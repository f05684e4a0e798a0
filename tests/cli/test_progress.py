"""Progress: plain lines where no terminal looks on, a bar with rate and time left where one does."""

from __future__ import annotations

import inspect
import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from countermark.cli.progress import PLAIN_SECONDS, PlainLines, Steps, line, progress, rate
from countermark.core.images import write_image

#: Commands that may work for minutes.
LONG = (
    "scan.scan", "scan_rows.scan_rows", "sign.sign", "verify.verify", "audit.run", "calibrate._own",
    "calibrate._moved", "evaluate.detector", "evaluate.generator", "evaluate.leave_out",
    "evaluate.localisation", "evaluate.adversaries", "augment.augment", "tune.tune", "zoo.zoo",
    "generate.generate", "train.detector", "recipe.recipe", "recipe.corpus", "demo.demo",
)  # fmt: skip


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


@pytest.mark.parametrize("name", LONG)
def test_long_work_says_how_far_it_is(name: str) -> None:
    module, _, function = name.partition(".")
    made = getattr(import_module(f"countermark.cli.{module}"), function)
    assert re.search(r"\bprogress\(", inspect.getsource(made)), f"{name} shows no progress"


def on_a_terminal(arguments: list[str], folder: Path) -> str:
    """What a command shows on a terminal of 100 columns."""
    master, slave = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100", "COUNTERMARK_HOME": str(folder / "home")}
    command = [sys.executable, "-m", "countermark", *arguments]
    process = subprocess.Popen(
        command, cwd=folder, stdin=slave, stdout=subprocess.DEVNULL, stderr=slave, env=environment
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(master)
    assert process.wait() == 0, shown.decode(errors="replace")
    return shown.decode(errors="replace")


def test_a_generator_is_measured_with_a_bar(tmp_path: Path) -> None:
    words = ["evaluate", "generator", "digits-32", "--data", "digits", "--count", "60", "--extractor", "dct"]
    shown = on_a_terminal(words, tmp_path)
    assert "Generating" in shown and "60/60" in shown and "Features" in shown


def test_a_folder_is_verified_with_a_bar(tmp_path: Path) -> None:
    for number in range(3):
        write_image(tmp_path / "in" / f"{number}.png", np.full((40, 40, 3), 60 * number, np.uint8))
    shown = on_a_terminal(["verify", "in", "--no-recover"], tmp_path)
    assert "Verifying" in shown and "3/3" in shown


def test_a_part_that_is_done_leaves_room_for_another_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.progress import Progress

    seen: list[str] = []
    start: Callable[[Progress], None] = Progress.start
    stop: Callable[[Progress], None] = Progress.stop
    monkeypatch.setattr(Progress, "start", lambda self: (seen.append("start"), start(self))[1])
    monkeypatch.setattr(Progress, "stop", lambda self: (seen.append("stop"), stop(self))[1])
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress("Comparing", 2) as advance:
        advance(1)
        advance(1)
        assert seen[-1] == "stop"
        advance.stage("Writing", 1, 5)
        assert seen[-1] == "start"


def test_the_rate_on_a_bar_is_that_of_the_whole_work(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.progress import Progress

    now = [100.0]
    made = Progress.__init__
    monkeypatch.setattr(
        Progress, "__init__", lambda self, *given, **more: made(self, *given, get_time=lambda: now[0], **more)
    )
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with progress("Scanning", 100) as advance:
        advance(0)
        now[0] += 10
        for _ in range(20):
            advance(1)  # a batch, all at once
            now[0] += 1e-4
    assert "2.0 a second" in stream.getvalue()
