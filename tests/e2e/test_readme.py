"""The README's commands run as they are written, from an empty folder, in their order.

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
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from countermark.cli import run
from countermark.core.images import encode_image, write_image
from countermark.core.seeds import rng

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
#: What takes minutes, by module and name.
LONG = (
    ("countermark.app.train", "train"),
    ("countermark.app.augment", "augment"),
    ("countermark.app.tune", "tune"),
    ("countermark.app.zoo", "make_zoo"),
    ("countermark.app.audit.runner", "audit_with_images"),
    ("countermark.app.evaluate.generator", "evaluate_generator"),
    ("countermark.app.evaluate.detector", "evaluate_detector"),
    ("countermark.detectors.export", "export_onnx"),
)
#: What a command ends with otherwise than 0, and why.
ENDS = {"audit": (0, 1), "scan": (0, 1)}


def lines() -> list[str]:
    """Commands of the README without the comments beside them."""
    found: list[str] = []
    language: str | None = None
    for line in README.read_text("utf-8").splitlines():
        if line.startswith("```"):
            language = None if language is not None else line.removeprefix("```")
        elif language == "" and line.strip():
            found.append(re.sub(r"\s+#.*", "", line))
    return [part for line in found for part in line.split(" && ")]


def picture(seed: int, side: int = 256) -> np.ndarray:
    grid = rng(seed, "picture").integers(0, 256, (9, 12, 3)).astype(np.uint8)
    return cv2.resize(grid, (side + side // 4, side), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder, with what the reader has."""
    folder = tmp_path_factory.mktemp("reader")
    for number, name in enumerate(("pictures", "photos", "outputs", "contents", "styles")):
        write_image(folder / name / f"{number}.jpg", picture(number))
    for name in ("photo.jpg", "painting.jpg", "made.png"):
        write_image(folder / name, picture(len(name)))
    doodle = np.full((96, 96, 3), 255, np.uint8)
    write_image(folder / "doodle.png", cv2.circle(doodle, (48, 48), 30, (0, 0, 0), 3))
    return folder


@pytest.fixture
def reader(place: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Runs one line of the README."""
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
        if arguments[0] in ("demo", "serve"):  # each has tests of its own
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
    "line", [line for line in lines() if line.startswith("countermark ") or "| countermark" in line]
)
def test_a_command_runs_as_it_is_written(line: str, reader: Callable[[str], int], capsys: Any) -> None:
    try:
        code = reader(line)
    except Begun:
        return
    err = capsys.readouterr().err
    if code == 2 and (missing := re.search(r"countermark\[(\w+)\]", err)):
        before = lines()[: lines().index(line)]
        assert any(re.search(rf"\.\[[\w,]*{missing[1]}", each) for each in before), err
        return
    allowed = next((codes for name, codes in ENDS.items() if f"countermark {name}" in line), (0,))
    assert code in allowed, err


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
    others = [line for line in lines() if "countermark" not in line and not line.startswith("pip install")]
    assert [line.partition(" ")[0] for line in others] == ["pytest", "curl"], others


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
