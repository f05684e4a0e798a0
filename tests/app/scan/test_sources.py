"""Names of files: quoted by git, ended by NUL, missing, patterns, no images at all. Nothing passes unseen."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark.app.scan.settings import scan_exit_code
from countermark.app.scan.sources import expand, named, read_list, unquoted
from countermark.core.errors import ConfigError
from countermark.core.images import encode_image
from countermark.core.results import Failure, ScanResult, Verdict
from countermark.reports import scan_document


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def picture(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode_image(np.zeros((40, 40, 3), np.uint8), "png"))


def listed(data: bytes, **options: bool) -> list[str]:
    return [str(path) for path in named(["-"], io.BytesIO(data), **options).files]


def test_lists_and_patterns(folder: Path) -> None:
    assert read_list(io.BytesIO(b"a b.png\r\n\nc.png\n")) == ["a b.png", "c.png"]
    assert read_list(io.BytesIO(b"a\nb.png\0c.png\0")) == ["a\nb.png", "c.png"]
    assert read_list(io.BytesIO(b" a.png"), null=True) == [" a.png"]
    for name in ("b.png", "a.png", "[x].png", "sub/c.png"):
        picture(folder / name)
    assert expand(["*.png", "a.png"]) == ["[x].png", "a.png", "b.png"]
    assert expand(["[x].png", "missing.png", "**/c.png"]) == ["[x].png", "missing.png", "sub/c.png"]
    assert expand(["none*.png"]) == ["none*.png"]  # asked for, so it is reported as missing


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_names_that_git_quotes_are_read(folder: Path) -> None:
    names = ["café.jpg", 'with "quotes".png', "tab\there.png", "日本.png", "plain.png", "back\\slash.png"]
    subprocess.run(["git", "init", "-q", "."], check=True)
    for name in names:
        picture(folder / name)
    subprocess.run(["git", "add", "."], check=True)
    diff = ["git", "diff", "--cached", "--name-only", "--no-renames"]
    tree = subprocess.run(
        ["git", "hash-object", "-t", "tree", "/dev/null"], check=True, capture_output=True, text=True
    ).stdout.strip()
    for more, options in (([], {}), (["-z"], {}), (["-z"], {"null": True})):
        output = subprocess.run([*diff, *more, tree], check=True, capture_output=True).stdout
        assert sorted(listed(output, **options)) == sorted(names)


@given(
    st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1, max_size=40)
)
def test_what_git_quotes_comes_back(name: str) -> None:
    letters = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}
    quoted = "".join(
        f"\\{letters[b]}" if b in letters else chr(b) if 32 <= b < 127 else f"\\{b:03o}"
        for b in name.encode()
    )
    assert unquoted(f'"{quoted}"'.encode()) == name.encode()


def test_a_file_of_the_very_name_is_taken_first(folder: Path) -> None:
    picture(folder / '"a.png"')
    assert listed(b'"a.png"\n') == ['"a.png"']


def test_lines_that_are_no_quotation_stay(folder: Path) -> None:
    for line in (b'"half', b'"bad\\q.png"', b'"a"b"'):
        assert unquoted(line) == line


def test_other_files_of_a_list_are_left_out_with_a_note(folder: Path) -> None:
    picture(folder / "a.png")
    picture(folder / "picture-without-extension")
    (folder / "README.md").write_text("# words")
    (folder / "broken.png").write_text("no picture")
    found = named(["-"], io.BytesIO(b"README.md\na.png\npicture-without-extension\nbroken.png\n"))
    assert [p.name for p in found.files] == ["a.png", "picture-without-extension", "broken.png"]
    assert found.notes == ("1 of 4 listed files are no images.",)
    only = named(["-"], io.BytesIO(b"README.md\n"))
    assert only.files == [] and only.notes
    assert [p.name for p in named(["README.md"], io.BytesIO()).files] == ["README.md"]


def test_an_empty_list_says_so() -> None:
    found = named(["-"], io.BytesIO(b"\n"))
    assert found.files == [] and found.notes == ("The list on standard input is empty.",)


def test_a_missing_file_is_not_passed_over(folder: Path) -> None:
    assert listed(b"gone.png\n") == ["gone.png"]
    fine = ScanResult("a.png", "aa" * 32, Verdict.NO_EVIDENCE, 0.1)
    gone = ScanResult(
        "gone.png", None, None, None, error=Failure("image.missing", "gone.png does not exist.")
    )
    damaged = ScanResult("b.png", None, None, None, error=Failure("image.unreadable", "b.png is damaged."))
    assert scan_exit_code(scan_document([fine, gone], settings={})) == 2
    assert scan_exit_code(scan_document([fine, damaged], settings={})) == 0
    assert scan_exit_code(scan_document([], settings={})) == 3


@pytest.mark.parametrize(
    "name", ["https://example.org/a.jpg", "http:/example.org/a.jpg", "s3://bucket/a.png"]
)
def test_an_address_is_explained(name: str) -> None:
    with pytest.raises(ConfigError, match="address") as caught:
        named([name], io.BytesIO())
    assert "countermark scan -" in caught.value.hint


def test_what_only_looks_like_an_address_is_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert named(["C:/pictures/a.png"], io.BytesIO()).files
    assert named(["a:b.png"], io.BytesIO()).files


def test_a_file_that_two_sources_name_is_scanned_once(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(b"")
    paths = [folder, folder / "a.png", folder / ".." / "f", folder / "*.png", folder / "missing.png"]
    found = named([str(path) for path in paths], io.BytesIO())
    assert [Path(str(file)).name for file in found.files] == ["a.png", "b.png", "missing.png"]
