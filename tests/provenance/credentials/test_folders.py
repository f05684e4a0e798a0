"""Batches: everything signed once, resumed after a stop, never overwritten, bad files reported."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from countermark.core.errors import OutputError, ProvenanceError
from countermark.core.results import VerificationState as State
from countermark.provenance.credentials.folders import JOURNAL, as_rows, sign_folder, watch_folder
from countermark.provenance.credentials.signing import sign_image
from countermark.provenance.credentials.verification import verify_image


@pytest.fixture
def folder(encoded, tmp_path: Path) -> Path:
    source = tmp_path / "made"
    for name, format in (("a.png", "png"), ("b.jpg", "jpeg"), ("deep/er/c.webp", "webp")):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(format))
    (source / "bad.png").write_bytes(b"no image")
    (source / "notes.txt").write_text("not an image by name")
    return source


@pytest.mark.parametrize("workers", [1, 3])
def test_folder_is_signed_and_the_bad_file_reported(folder, tmp_path, workers):
    seen = []
    report = sign_folder(folder, tmp_path / "out", workers=workers, on_item=seen.append, generator="g/1")
    assert (report.signed, report.skipped, len(report.failed), len(seen)) == (3, 0, 1, 4)
    assert report.failed[0].error.code == "credential.format"
    names = sorted(str(each.relative_to(tmp_path / "out")) for each in (tmp_path / "out").rglob("*.*"))
    assert names == ["a.png", "b.jpg", "deep/er/c.webp", JOURNAL]
    for name in names[:3]:
        assert verify_image(tmp_path / "out" / name).state is State.TRUSTED
    json.dumps(as_rows(report))
    assert not report.complete


def test_second_run_goes_on_where_the_first_stopped(folder, tmp_path, encoded):
    out = tmp_path / "out"
    calls = []

    def sign(path: Path, target: Path):
        calls.append(path.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return sign_image(path, target)

    with pytest.raises(KeyboardInterrupt):
        sign_folder(folder, out, sign=sign)
    report = sign_folder(folder, out)
    assert (report.signed, report.skipped) == (2, 1)
    (folder / "d.png").write_bytes(encoded("png"))
    report = sign_folder(folder, out)
    assert (report.signed, report.skipped) == (1, 3)


def test_crash_between_file_and_journal_is_no_loss(folder, tmp_path):
    out = tmp_path / "out"
    sign_folder(folder, out)
    lines = (out / JOURNAL).read_text().splitlines()
    kept = [line for line in lines if '"done"' not in line]
    (out / JOURNAL).write_text("\n".join(kept) + '\n{"event": "done", "fi')
    report = sign_folder(folder, out)
    assert (report.signed, report.skipped) == (0, 3)


def test_foreign_or_outdated_outputs_are_not_overwritten(folder, tmp_path, encoded):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_bytes(b"mine")
    report = sign_folder(folder, out)
    assert "output.exists" in [each.error.code for each in report.failed]
    assert (out / "a.png").read_bytes() == b"mine"
    (folder / "b.jpg").write_bytes(encoded("jpeg") + b"\0")
    codes = {Path(each.source).name: each.error.code for each in sign_folder(folder, out).failed}
    assert codes["b.jpg"] == "output.exists"


def test_destination_inside_the_source_is_not_signed_again(folder):
    sign_folder(folder, folder / "signed")
    assert sign_folder(folder, folder / "signed").skipped == 3
    assert not (folder / "signed" / "signed").exists()


def test_source_must_be_a_folder(tmp_path):
    with pytest.raises(OutputError):
        sign_folder(tmp_path / "none", tmp_path / "out")


def test_any_exception_is_a_row(folder, tmp_path):
    def sign(path: Path, target: Path):
        raise ZeroDivisionError("by accident")

    report = sign_folder(folder, tmp_path / "out", sign=sign)
    assert {each.error.message for each in report.failed} == {"ZeroDivisionError: by accident"}


def test_watch_takes_settled_files_only(encoded, tmp_path):
    source, out, stop = tmp_path / "made", tmp_path / "out", threading.Event()
    source.mkdir()
    (source / "early.png").write_bytes(encoded("png"))
    items, finished = [], False

    def grow() -> None:
        """Written in pieces, faster than it is looked at."""
        nonlocal finished
        with open(source / "growing.png", "wb") as growing:
            for at in range(0, len(encoded("png")), 500):
                growing.write(encoded("png")[at : at + 500])
                growing.flush()
                if stop.wait(0.01):
                    return
        finished = True

    thread = threading.Thread(target=grow)
    thread.start()
    for item in watch_folder(source, out, interval=0.15, stop=stop):
        items.append(item)
        if len(items) == 2:
            stop.set()
    thread.join()
    assert finished
    assert [(Path(each.source).name, each.error) for each in items] == [
        ("early.png", None),
        ("growing.png", None),
    ]
    assert all(verify_image(each.destination).state is State.TRUSTED for each in items)


def test_a_folder_is_known_by_what_it_is(folder, tmp_path, monkeypatch, encoded):
    out = tmp_path / "out"
    assert sign_folder(folder, out).signed == 3
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(folder)
    for name in ("made", "./made/", "link", str(folder)):
        assert sign_folder(name, "out").skipped == 3, name
    moved = folder.rename(tmp_path / "moved")
    assert sign_folder(moved, out).skipped == 3
    copied = tmp_path / "copied"
    for path in moved.rglob("*.*"):  # as cp without -p, on another disk
        target = copied / path.relative_to(moved)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    assert sign_folder(copied, out).skipped == 3


def test_another_file_of_the_same_name_size_and_time_is_not_taken_for_signed(folder, tmp_path):
    out, other = tmp_path / "out", tmp_path / "other"
    sign_folder(folder, out)
    other.mkdir()
    data = bytearray((folder / "a.png").read_bytes())
    data[-1] ^= 1
    (other / "a.png").write_bytes(bytes(data))
    status = (folder / "a.png").stat()
    os.utime(other / "a.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    report = sign_folder(other, out)
    assert [item.error.code for item in report.failed] == ["output.exists"] and not report.skipped


def test_a_journal_of_an_earlier_version_is_understood(folder, tmp_path):
    out = tmp_path / "out"
    sign_folder(folder, out)
    lines = []
    for line in (out / JOURNAL).read_text().splitlines():
        entry = json.loads(line)
        old = {"event": entry["event"], "file": str(folder / entry["file"]), "mark": entry["mark"]}
        lines.append(json.dumps(old))
    (out / JOURNAL).write_text("\n".join(lines) + "\n")
    assert sign_folder(folder, out).skipped == 3


def test_a_line_cut_by_a_crash_does_not_take_the_next_one_with_it(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / JOURNAL).write_text('{"event": "begun", "fi')
    assert sign_folder(folder, out).signed == 3
    assert sign_folder(folder, out).skipped == 3


def test_missing_records_are_counted_and_made_on_the_next_run(folder, tmp_path):
    out = tmp_path / "out"

    def sign(path: Path, target: Path):
        return replace(sign_image(path, target), unrecorded="The repository is gone.")

    report = sign_folder(folder, out, sign=sign)
    assert report.signed == 3 and len(report.unrecorded) == 3 and not report.complete
    assert report.unrecorded[0].unrecorded.message == "The repository is gone."
    asked = []

    def mend(target: Path, facts):
        asked.append((target.name, bool(facts["manifest_id"]), facts["identity"]))
        if target.name == "b.jpg":
            raise ProvenanceError("Still gone.")
        return target.name == "a.png"

    report = sign_folder(folder, out, mend=mend, workers=2)
    assert (report.signed, report.skipped, report.mended) == (0, 3, 1)
    assert [item.unrecorded.message for item in report.unrecorded] == ["Still gone."]
    assert sorted(asked) == [
        ("a.png", True, "default"),
        ("b.jpg", True, "default"),
        ("c.webp", True, "default"),
    ]
    json.dumps(as_rows(report))


def test_a_run_can_be_stopped(folder, tmp_path):
    stop = threading.Event()
    report = sign_folder(folder, tmp_path / "out", stop=stop, on_item=lambda item: stop.set())
    assert report.stopped and not report.complete and report.signed == 1
    assert sign_folder(folder, tmp_path / "out").signed == 2


def test_half_written_files_in_the_source_are_no_pictures(folder, tmp_path):
    (folder / ".countermark-1-0123456789ab-a.png").write_bytes((folder / "a.png").read_bytes())
    report = sign_folder(folder, tmp_path / "out")
    assert report.signed == 3 and len(list((tmp_path / "out").iterdir())) == 4
