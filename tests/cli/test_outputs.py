"""What commands write: never over anything unasked, said before the work, one failure not for all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from countermark.cli import run
from countermark.core import files
from countermark.core.errors import OutputError
from countermark.core.files import check_writable
from countermark.core.images import encode_image

QUICK = ("-d", "gan", "--no-marks", "--parts", "off")


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder has one picture in it."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "p.png"
    path.write_bytes(encode_image(np.full((64, 64, 3), 90, np.uint8), "png"))
    return path


@pytest.mark.parametrize("force", [(), ("--force",)])
@pytest.mark.parametrize("command", [("scan", *QUICK), ("verify",)])
def test_a_report_never_replaces_a_picture(picture: Path, command, force, capsys) -> None:
    before = picture.read_bytes()
    assert run([*command, "p.png", "-o", "json=p.png", *force]) == 4
    assert picture.read_bytes() == before
    printed, told = capsys.readouterr()
    assert printed == "" and ("is a picture" if force else "exists") in told


def test_an_existing_report_is_replaced_only_with_force(picture: Path, capsys) -> None:
    Path("report.json").write_text("mine")
    assert run(["scan", *QUICK, "p.png", "-o", "report.json"]) == 4
    assert Path("report.json").read_text() == "mine"
    printed, told = capsys.readouterr()
    assert printed == "" and "--force" in told, "said before the scan starts"
    assert run(["scan", *QUICK, "p.png", "-o", "report.json", "--force"]) == 0
    assert json.loads(Path("report.json").read_text())["counts"]["total"] == 1


@pytest.mark.parametrize(
    "outputs",
    [
        ("json=a.json", "html=./a.json"),
        ("json=folder",),
        ("json=p.png/a.json",),
        ("json=pipe",),
    ],
    ids=["twice", "a folder", "below a file", "a pipe"],
)
def test_places_that_cannot_be_written_are_said_before_the_work(picture: Path, outputs, capsys) -> None:
    Path("folder").mkdir()
    os.mkfifo("pipe")
    arguments = [part for each in outputs for part in ("-o", each)]
    assert run(["scan", *QUICK, "p.png", "--force", *arguments]) == 4
    assert capsys.readouterr().out == "" and not Path("a.json").exists()


def test_one_report_that_fails_does_not_drop_the_others(picture: Path, monkeypatch, capsys) -> None:
    link = os.link

    def full(source, target, **more):
        if str(target).endswith(".html"):
            raise OSError(28, "No space left on device")
        return link(source, target, **more)

    def never(source, target, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "link", full)
    monkeypatch.setattr(files.os, "replace", never)
    names = ("a.md", "b.html", "c.html", "d.json")
    assert run(["scan", *QUICK, "p.png", *(part for name in names for part in ("-o", name))]) == 2
    assert [name for name in names if Path(name).exists()] == ["a.md", "d.json"]
    told = capsys.readouterr().err
    assert told.count("No space left") == 2 and "b.html" in told and "c.html" in told


def test_every_command_with_reports_has_one_force(capsys) -> None:
    from typer.main import get_command

    from countermark.cli import whole

    found = []

    def look(command, name: str) -> None:
        for each, below in getattr(command, "commands", {}).items():
            look(below, f"{name} {each}")
        options = {opt for one in getattr(command, "params", ()) for opt in one.opts}
        if "--output" in options:
            found.append(name)
            assert "--force" in options, name

    look(get_command(whole()), "countermark")
    assert {"countermark scan", "countermark verify", "countermark audit run"} <= set(found)


def test_what_may_be_written_where(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "deep" / "file.json")
    (tmp_path / "there").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    check_writable(tmp_path / "there", overwrite=True)
    for name, overwrite in (("there", False), ("dangling", False), ("there/below", False), ("", True)):
        with pytest.raises(OutputError):
            check_writable(tmp_path / name, overwrite=overwrite)
    with pytest.raises(OutputError):
        check_writable("/dev/null", overwrite=True)
