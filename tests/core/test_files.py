"""Atomic writes: whole or not at all, and never over something else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from countermark.core.errors import OutputError
from countermark.core.files import (
    atomic_path,
    atomic_stream,
    atomic_write,
    config_dir,
    private_dir,
    sha256_bytes,
    sha256_file,
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
