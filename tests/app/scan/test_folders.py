"""Every file of a folder is scanned or counted under a reason."""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from countermark.app.scan.folders import HALF_WRITTEN, HIDDEN, KINDS, LINKS, ONE, OTHER, described, walk
from countermark.app.scan.sources import named
from countermark.cli import run
from countermark.core.images import encode_image

PICTURE = encode_image(np.full((40, 40, 3), 90, np.uint8), "png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """27 files of all kinds, as somebody's folder of received material."""
    root = tmp_path / "received"
    for name in ("a.png", "b.JPG", "sub/c.webp", "no-ending", "sub/wrong.dat", ".thumbnails/d.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(PICTURE)
    others = (
        "clip.avi clip.WMV film.mpg paper.pdf text.docx all.zip more.tar.gz x.cr2 y.NEF z.dng logo.svg "
        "notes.txt readme Makefile sub/data.csv sub/empty .git/config .git/HEAD .git/objects/ab "
        "song.mp3"
    ).split()
    for name in others:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"nothing that a picture begins with")
    (root / "link.png").symlink_to(root / "a.png")
    return root


def test_nothing_is_passed_over_in_silence(folder: Path) -> None:
    files, others = walk(folder)
    left_out = Counter(reason for _, reason in others)
    every = [path for path in folder.rglob("*") if path.is_symlink() or path.is_file()]
    assert len(every) == 27 == len(files) + sum(left_out.values())
    assert {path.name for path in files} == {"a.png", "b.JPG", "c.webp", "no-ending", "wrong.dat", "d.png"}
    assert left_out == {
        "videos of other kinds": 3,
        "documents": 2,
        "archives": 2,
        "raw photographs": 3,
        "vector drawings": 1,
        LINKS: 1,
        HIDDEN: 3,
        OTHER: 6,
    }


def test_a_scan_says_what_it_did_not_look_at(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = named([str(folder), str(folder / "notes.txt")], io.BytesIO())
    assert len(sources.files) == 7, "what was named itself gets a row, whatever it is"
    assert sum(sources.left_out.values()) == 21
    assert run(["scan", str(folder), "-d", "gan", "--no-marks", "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["counts"]["total"] == 6 and document["settings"]["left_out"] == dict(sources.left_out)
    listed = {each["path"]: each["reason"] for each in document["settings"]["left_out_files"]}
    assert len(listed) == 21 and listed[str(folder / "link.png")] == LINKS
    assert "Not looked at: 6 files that are no pictures, 3 files in hidden folders," in err


def test_a_folder_of_pictures_alone_needs_no_note() -> None:
    assert described({}) == ""
    assert described({"videos": 1200}) == "Not looked at: 1,200 videos."


def test_links_to_folders_half_written_files_and_closed_folders(tmp_path: Path, monkeypatch) -> None:
    inside = tmp_path / "received"
    (inside / "closed").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret.png").write_bytes(PICTURE)
    (inside / "link").symlink_to(tmp_path / "elsewhere")
    (inside / "round").symlink_to(inside)
    (inside / ".countermark-1-0123456789ab-a.png").write_bytes(PICTURE)
    (inside / ".dotted.png").write_bytes(PICTURE)
    scandir, closed = os.scandir, str(inside / "closed")

    def refuses(path="."):  # permissions mean nothing to root
        if str(path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuses)
    files, others = walk(inside)
    assert [path.name for path in files] == [".dotted.png", "closed"]
    assert {path.name: reason for path, reason in others} == {
        "link": LINKS,
        "round": LINKS,
        ".countermark-1-0123456789ab-a.png": HALF_WRITTEN,
    }


def test_one_file_is_said_in_the_singular() -> None:
    assert described({"documents": 1, OTHER: 2}) == "Not looked at: 2 files that are no pictures, 1 document."
    assert set(KINDS) <= set(ONE)
