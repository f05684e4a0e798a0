"""The commands of the README and of the pages for desks run as they are written, from an empty folder, in
their order; those of every other page are understood.

What a reader has at hand (photographs, a picture that was made) is put there. Pictures are small, and what
trains or measures for minutes is only begun: its function is replaced by one that takes the same arguments.
Lines that install are compared with the extras that there are.
"""

from __future__ import annotations

import inspect
import io
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer

from countermark.cli import run, whole
from countermark.core.images import encode_image, write_image
from countermark.core.seeds import rng

ROOT = Path(__file__).resolve().parents[2]
#: Pages whose commands are run; the first is the README.
PAGES = ("README.md", "docs/walkthrough.md", "docs/scanning.md", "docs/service.md")
LANGUAGES = ("", "console")
#: What takes minutes, by module and name.
LONG = (
    ("countermark.app.train", "train"),
    ("countermark.app.augment", "augment"),
    ("countermark.app.tune", "tune"),
    ("countermark.app.zoo", "make_zoo"),
    ("countermark.app.audit.runner", "audit_with_images"),
    ("countermark.app.evaluate.generator", "evaluate_generator"),
    ("countermark.app.evaluate.detector", "evaluate_detector"),
    ("countermark.generators.style.training", "train_style"),
    ("countermark.detectors.export", "export_onnx"),
)
#: What a command ends with otherwise than 0, and why.
ENDS = {"audit": (0, 1), "scan": (0, 1)}


def lines(page: str = PAGES[0]) -> list[str]:
    """Commands of a page without the comments beside them."""
    found: list[str] = []
    language: str | None = None
    path = ROOT / page
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        if line.startswith("```"):
            language = None if language is not None else line.removeprefix("```")
        elif language in LANGUAGES and line.strip():
            found.append(re.sub(r"\s+#.*", "", line))
    return [part for line in found for part in line.split(" && ")]


def is_command(line: str) -> bool:
    return line.startswith("countermark ") or "| countermark" in line


def picture(seed: int, side: int = 256) -> np.ndarray:
    grid = rng(seed, "picture").integers(0, 256, (9, 12, 3)).astype(np.uint8)
    return cv2.resize(grid, (side + side // 4, side), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder for the reader of each page: empty, but for what the reader has."""

    @cache
    def made(page: str) -> Path:
        return furnish(tmp_path_factory.mktemp(Path(page).stem))

    return made


def furnish(folder: Path) -> Path:
    for number, name in enumerate(("pictures", "photos", "outputs", "contents", "styles")):
        write_image(folder / name / f"{number}.jpg", picture(number))
    for name in ("photo.jpg", "painting.jpg", "made.png"):
        write_image(folder / name, picture(len(name)))
    doodle = np.full((96, 96, 3), 255, np.uint8)
    write_image(folder / "doodle.png", cv2.circle(doodle, (48, 48), 30, (0, 0, 0), 3))
    return folder


@pytest.fixture
def reader(page: str, places: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Runs one line of a page."""
    place = places(page)
    monkeypatch.setenv("COUNTERMARK_HOME", str(place / "home"))
    monkeypatch.chdir(place)
    for module, name in LONG:
        try:
            real = getattr(import_module(module), name)
        except (ImportError, AttributeError):
            continue
        monkeypatch.setattr(f"{module}.{name}", begun(real))

    def command(line: str) -> int:
        if "|" in line:
            line = piped(line, monkeypatch)
        line, _, target = line.partition(" > ")
        arguments = shlex.split(line)[1:]
        for flag in ("--watch",):  # never ends
            arguments = [word for word in arguments if word != flag]
        if "--count" in arguments:
            arguments[arguments.index("--count") + 1] = "1"
        tokens = any("token" in word for word in arguments)
        if arguments[0] == "demo" or (arguments[0] == "serve" and not tokens):  # each has tests of its own
            return run([arguments[0], "--help"])
        out = io.StringIO()
        if target:
            monkeypatch.setattr("typer.echo", lambda text="", **more: out.write(f"{text}\n"))
        code = run(arguments)
        if target:
            (place / target).write_text(out.getvalue())
            monkeypatch.undo()
        return code

    return command


def piped(line: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The last command of a pipe, with what comes before it on standard input."""
    before, _, last = line.rpartition(" | ")
    data = encode_image(picture(1), "jpeg") if before.startswith("cat ") else b"photo.jpg\0"
    assert before.startswith(("cat ", "git diff "))

    class Stdin:
        buffer = io.BytesIO(data)

    monkeypatch.setattr("sys.stdin", Stdin())
    return last


class Begun(Exception):
    """A long command has understood what it was asked for."""


def begun(real: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(real)

    def stand_in(*arguments: Any, **options: Any) -> Any:
        signature.bind(*arguments, **options)
        raise Begun

    return stand_in


@pytest.mark.parametrize(
    ("page", "line"), [(page, line) for page in PAGES for line in lines(page) if is_command(line)]
)
def test_a_command_runs_as_it_is_written(
    page: str, line: str, reader: Callable[[str], int], capsys: Any
) -> None:
    try:
        code = reader(line)
    except Begun:
        return
    err = capsys.readouterr().err
    if code == 2 and (missing := re.search(r"countermark\[(\w+)\]", err)):
        before = lines(page)[: lines(page).index(line)]
        assert any(re.search(rf"\.\[[\w,]*{missing[1]}", each) for each in before), err
        return
    allowed = next((codes for name, codes in ENDS.items() if f"countermark {name}" in line), (0,))
    assert code in allowed, err


def documents() -> list[tuple[str, str]]:
    """Every command in a block of a page that is not run."""
    pages = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))
    return [
        (page, re.split(r"&&|[|>]", line.partition("| countermark")[2] or line)[0])
        for page in pages
        if page not in PAGES
        for line in lines(page)
        if is_command(line)
    ]


@pytest.mark.parametrize(("page", "line"), documents())
def test_a_command_of_any_page_is_understood(page: str, line: str) -> None:
    """Its words are a command, its options are options of it, and what it needs is given; nothing runs."""
    parse(line)


def mentions() -> list[tuple[str, str]]:
    """Every command that is mentioned in a sentence."""
    found = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL) if path.is_file() else ""
        for span in re.findall(r"`(countermark [^`|,…]+)`", text):
            found.append((path.relative_to(ROOT).as_posix(), " ".join(span.split())))
    return found


def test_a_command_that_is_mentioned_is_there_with_its_options() -> None:
    wrong = []
    for page, span in mentions():
        try:
            parse(span)
        except Exception as error:  # typer keeps click's classes in places that differ by version
            said = getattr(error, "format_message", None)
            if "No such" in (said() if said else str(error)):
                wrong.append(f"{page}: {span}: {error}")
    assert not wrong, "\n".join(wrong)


def parse(line: str) -> None:
    """Reads a command line as far as its options, and runs nothing."""
    words = [word for word in shlex.split(line.replace("…", "")) if word != "countermark"]
    command: Any = typer.main.get_command(whole())
    context = None
    while True:
        context = command.make_context(command.name or "", words, parent=context)
        if not hasattr(command, "commands"):
            return
        words = [*getattr(context, "_protected_args", ()), *context.args]
        _, command, words = command.resolve_command(context, words)


def test_what_is_installed_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    installs = [line for line in lines() if line.startswith("pip install")]
    named = {
        extra
        for line in installs
        for group in re.findall(r"\.\[([\w,]+)\]", line)
        for extra in group.split(",")
    }
    assert named and named <= set(extras)
    assert any("download.pytorch.org/whl/cpu" in line for line in installs)


def test_other_lines_are_known() -> None:
    """A line of another kind needs a test of its own: here there are installations and curl alone."""
    others = [
        line
        for page in PAGES
        for line in lines(page)
        if not is_command(line) and not line.startswith("pip install")
    ]
    assert [line.partition(" ")[0] for line in others] == ["pytest", "curl", "curl", "curl"], others


def test_every_address_that_is_asked_by_hand_is_there() -> None:
    pytest.importorskip("fastapi")
    from countermark.app.service import create_app

    known = set(create_app().openapi()["paths"])
    asked = [re.search(r"http://[^/ ]+(/\S+)", line) for page in PAGES for line in lines(page)]
    assert {match[1] for match in asked if match} <= known


def test_the_list_of_git_skips_text_and_deleted_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from countermark.app.scan.sources import named

    def git(*words: str) -> bytes:
        identity = ["-c", "user.email=a@b.c", "-c", "user.name=a"]
        return subprocess.run(
            ["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True
        ).stdout

    git("init", "-q")
    for name in ("gone.png", "kept.png", "notes.txt"):
        (tmp_path / name).write_bytes(
            encode_image(picture(1, 64), "png") if name.endswith("png") else b"text"
        )
    git("add", ".")
    git("commit", "-q", "-m", "first")
    (tmp_path / "gone.png").unlink()
    (tmp_path / "kept.png").write_bytes(encode_image(picture(2, 64), "png"))
    (tmp_path / "notes.txt").write_bytes(b"other text")
    line = next(each for each in lines() if each.startswith("git diff"))
    listed = git(*shlex.split(line.partition(" | ")[0])[1:])
    monkeypatch.chdir(tmp_path)
    sources = named(["-"], io.BytesIO(listed), null=True)
    assert [str(path) for path in sources.files] == ["kept.png"]
    assert sum(sources.left_out.values()) == 1
