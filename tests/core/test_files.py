"""Atomic writes: whole or not at all, and never over something else."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from countermark.core.errors import OutputError
from countermark.core.files import (
    atomic_path,
    atomic_stream,
    atomic_write,
    config_dir,
    is_temporary,
    open_regular,
    private_dir,
    read_head,
    sha256_bytes,
    sha256_file,
    sweep,
    write_all,
)


def test_a_failing_block_leaves_nothing(tmp_path) -> None:
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "out.bin") as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_appears_meanwhile_is_kept(tmp_path) -> None:
    target = tmp_path / "out.bin"
    with pytest.raises(OutputError) as caught, atomic_path(target) as temporary:
        temporary.write_bytes(b"ours")
        target.write_bytes(b"theirs")
    assert caught.value.code == "output.exists"
    assert target.read_bytes() == b"theirs" and list(tmp_path.iterdir()) == [target]


def test_mode_and_overwrite(tmp_path) -> None:
    path = atomic_write(tmp_path / "deep" / "key", b"secret", mode=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(OutputError):
        atomic_write(path, b"other")
    atomic_write(path, "text", overwrite=True)
    assert path.read_bytes() == b"text"


def test_a_folder_that_cannot_be_made_is_named(tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError) as caught:
        atomic_write(tmp_path / "file" / "below.txt", b"x")
    assert "file" in caught.value.message


def test_digests_agree(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "a") == sha256_bytes(b"abc") == expected


def test_home_and_private_folders(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "home"))
    folder = private_dir(config_dir())
    assert folder == tmp_path / "home" and stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_streams_are_atomic_and_know_their_digest(tmp_path: Path) -> None:
    path, data = tmp_path / "new" / "a.bin", bytes(range(256)) * 1000
    with atomic_stream(path) as stream:
        assert write_all(stream, data) == sha256_bytes(data)
        assert not path.exists() and os.stat(stream.name).st_mode & 0o777 == 0o600
    assert path.read_bytes() == data and path.stat().st_mode & 0o777 == 0o644
    with pytest.raises(OutputError), atomic_stream(path):
        raise AssertionError("an existing file is refused before the block runs")
    with pytest.raises(ValueError), atomic_stream(tmp_path / "b.bin"):
        raise ValueError
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["a.bin", "new"]


WRITER = """
import sys
from countermark.core.files import atomic_stream
with atomic_stream(sys.argv[1]) as stream:
    stream.write(b"half")
    print("writing", flush=True)
    sys.stdin.read()
"""


def writer(path: Path) -> subprocess.Popen:
    """A process that has written half of ``path`` and waits for its input to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"writing\n"
    return process


def test_what_a_killed_process_left_is_swept_by_the_next_writer(tmp_path: Path) -> None:
    process = writer(tmp_path / "out.png")
    (left,) = tmp_path.iterdir()
    assert is_temporary(left.name) and left.suffix == ".png"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    atomic_write(tmp_path / "other.txt", "x")
    assert [each.name for each in tmp_path.iterdir()] == ["other.txt"]


def test_what_is_being_written_is_never_swept_however_old(tmp_path: Path) -> None:
    process = writer(tmp_path / "out.png")
    (left,) = tmp_path.iterdir()
    os.utime(left, (0, 0))
    assert sweep(tmp_path) == 0
    process.communicate()
    assert [each.name for each in tmp_path.iterdir()] == ["out.png"]


def test_only_our_own_names_are_swept(tmp_path: Path) -> None:
    mine = tmp_path / ".countermark-1-000000000000-a.png"
    for name in (mine.name, ".countermark-notes", ".photo-0123456789ab.png", "photo.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".countermark-2-000000000000-link.png").symlink_to(tmp_path / "photo.png")
    assert sweep(tmp_path) == 0  # process 1 runs, and the file is new
    os.utime(mine, (1, 1))
    assert sweep(tmp_path) == 1 and not mine.exists() and len(list(tmp_path.iterdir())) == 4
    assert sweep(tmp_path / "none") == 0


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(OutputError) as caught, atomic_stream(tmp_path / "a.bin"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "No space left" in caught.value.message and caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_only_ordinary_files_are_opened_and_nothing_waits(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789" * 20)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert read_head(tmp_path / "file", 4) == b"0123"
    with open_regular(tmp_path / "file") as stream:
        assert len(stream.read()) == 200
    for name in ("pipe", "loop", "none", ".", "/dev/zero", "nul\0"):
        assert read_head(tmp_path / name) == b"", name
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(tmp_path / "pipe")
