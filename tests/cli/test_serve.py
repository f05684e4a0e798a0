"""``serve``: what a person at the terminal sees, and what a log gets."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

from countermark.cli import run

pytest.importorskip("fastapi")


@pytest.mark.parametrize(
    ("words", "terminal", "level", "said"),
    [
        ([], True, logging.WARNING, "Open http://127.0.0.1:8722/ in a browser. Ctrl+C ends it.\n"),
        ([], False, logging.INFO, "Open http://127.0.0.1:8722/ in a browser.\n"),
        (["--verbose"], True, logging.INFO, "Open http://127.0.0.1:8722/ in a browser. Ctrl+C ends it.\n"),
        (["--quiet"], False, logging.INFO, ""),
    ],
)
def test_lines_for_machines_stand_in_nobody_s_way(
    words: list[str],
    terminal: bool,
    level: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given: dict[str, Any] = {}

    def instead(host: str, port: int, **options: Any) -> None:
        given.update(options)
        options["started"](f"http://{host}:{port}/")

    monkeypatch.setattr("countermark.app.service.server.run_service", instead)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert run([*words, "serve"]) == 0
    assert given["level"] == level and capsys.readouterr().err == said
