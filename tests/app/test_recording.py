"""Records: there before the file, taken back without one, made again where they are missing."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import countermark as cm
from countermark.app.recording import UNWRITTEN, record_again
from countermark.app.sign import sign
from countermark.core import files
from countermark.core.errors import OutputError, ProvenanceError
from countermark.core.files import is_temporary, sha256_file
from countermark.core.images import encode_image
from countermark.provenance.repository import Repository, open_repository


def picture(seed: int, side: int = 224) -> bytes:
    """A smooth picture that can carry a mark."""
    noise = np.random.default_rng(seed).integers(0, 255, (12, 12, 3), np.uint8)
    return encode_image(cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC), "png")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / "made.png"
    path.write_bytes(picture(1))
    return path


@pytest.fixture
def records(tmp_path: Path):
    with open_repository(f"sqlite:///{tmp_path}/manifests.db") as repository:
        yield repository


def broken(*_: object) -> None:
    raise ProvenanceError("The manifest repository failed.", code="repository.unavailable")


def test_the_record_is_there_before_the_file(made, records, tmp_path, monkeypatch) -> None:
    target, seen, link = tmp_path / "signed.png", [], os.link

    def look(source, destination, **more):
        if destination == str(target):
            seen.append((len(records), target.exists()))
        return link(source, destination, **more)

    monkeypatch.setattr(files.os, "link", look)
    result = sign(made, target, repository=records)
    assert seen == [(1, False)] and result.recorded and not result.unrecorded
    assert records.by_sha256(sha256_file(target))[0].manifest_id == result.manifest_id


@pytest.mark.parametrize("sidecar", [False, True])
def test_a_file_that_cannot_be_written_leaves_no_record(
    made, records, tmp_path, monkeypatch, sidecar
) -> None:
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("link", "replace"):
        monkeypatch.setattr(files.os, name, full)
    with pytest.raises(OutputError, match="No space left"):
        sign(made, tmp_path / "signed.png", repository=records, sidecar=sidecar)
    assert len(records) == 0 and not (tmp_path / "signed.png").exists()
    assert [trace.reason for trace in records.deleted()] == [UNWRITTEN]


def test_what_was_signed_without_a_record_gets_it_later(made, records, tmp_path, monkeypatch) -> None:
    target = tmp_path / "signed.png"
    with monkeypatch.context() as patch:
        patch.setattr(Repository, "add", broken)
        result = sign(made, target, repository=records, generator="g/1")
    assert not result.recorded and "repository failed" in result.unrecorded and len(records) == 0
    assert any(note.startswith("Not recorded") for note in result.notes)
    assert record_again(target, {}, repository=records) is True
    row = records.by_manifest_id(result.manifest_id)
    assert row is not None and row.payload is not None and row.payload.hex() == result.payload
    assert (row.sha256, row.digital_source_type) == (result.sha256, "trainedAlgorithmicMedia")
    assert record_again(target, {}, repository=records) is False
    assert record_again(target, {"manifest_id": result.manifest_id}, repository=records) is False
    stripped = tmp_path / "stripped.jpg"
    pixels = cv2.imdecode(np.frombuffer(target.read_bytes(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    stripped.write_bytes(encode_image(pixels, "jpeg", quality=90))
    found = cm.verify(stripped, repository=records)
    assert found.state == "recovered" and result.manifest_id in found.summary


def test_a_deleted_record_stays_deleted(made, records, tmp_path) -> None:
    target = tmp_path / "signed.png"
    result = sign(made, target, repository=records)
    records.delete(result.manifest_id, "asked for by its author")
    for facts in ({}, {"manifest_id": result.manifest_id}):
        assert record_again(target, facts, repository=records) is False
    assert len(records) == 0


def test_a_credential_beside_the_picture_is_recorded_too(made, records, tmp_path, monkeypatch) -> None:
    target = tmp_path / "signed.png"
    with monkeypatch.context() as patch:
        patch.setattr(Repository, "add", broken)
        result = sign(made, target, repository=records, sidecar=True)
    assert record_again(target, {"identity": "default"}, repository=records)
    assert records.by_sha256(result.sha256)[0].signer == "default"


def test_what_has_no_credential_cannot_be_recorded(made, records, tmp_path) -> None:
    with pytest.raises(ProvenanceError) as caught:
        record_again(made, {}, repository=records)
    assert caught.value.code == "record.none"
    (tmp_path / "clip.bin").write_bytes(b"no picture")
    assert record_again(tmp_path / "clip.bin", {}, repository=records) is False


def run(*arguments: object, home: Path, **more) -> subprocess.Popen:
    command = [sys.executable, "-m", "countermark", *map(str, arguments)]
    environment = {**os.environ, "COUNTERMARK_HOME": str(home)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True, **more)


def without_record(folder: Path, repository: Repository) -> list[str]:
    signed = [path for path in folder.glob("*.png") if not is_temporary(path.name)]
    return [path.name for path in signed if not repository.by_sha256(sha256_file(path))]


#: Loads everything once, then signs the folder in forks of itself that are killed while pictures appear.
KILLER = """
import os, pathlib, random, signal, sys, time
from countermark.cli import run
import countermark.app.recording, countermark.provenance.credentials.signing, countermark.cli.sign
made, out, rounds = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
chance, kills = random.Random(7), 0
for _ in range(rounds):
    before = len(list(out.glob("*.png")))
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(run(["sign", made, str(out)]))
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if len(list(out.glob("*.png"))) > before:  # it signs: now, within a picture or two
            time.sleep(chance.uniform(0, 0.06))
            os.kill(child, chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
            kills += os.WIFSIGNALED(os.waitpid(child, 0)[1])
            break
        time.sleep(0.002)
print(kills)
"""


def test_killed_at_any_moment_no_signed_picture_lacks_its_record(tmp_path: Path) -> None:
    """A short version of ``benchmarks/faults.py``."""
    made, out, home = tmp_path / "made", tmp_path / "out", tmp_path / "home"
    made.mkdir()
    for number in range(24):
        (made / f"{number:02}.png").write_bytes(picture(number))
    environment = {**os.environ, "COUNTERMARK_HOME": str(home)}
    command = [sys.executable, "-c", KILLER, str(made), str(out), "8"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 3, done.stderr
    with open_repository(f"sqlite:///{home}/manifests.db") as repository:
        assert without_record(out, repository) == []
        process = run("sign", made, out, home=home)
        printed, _ = process.communicate()
        assert process.returncode == 0 and "failed 0" in printed, printed
        assert without_record(out, repository) == []
    assert len(list(out.glob("[0-9]*.png"))) == 24
    assert not [path for path in out.iterdir() if is_temporary(path.name)]


def test_a_repository_that_cannot_be_opened_is_said_before_a_folder_is_signed(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "a.png").write_bytes(picture(5))
    home = tmp_path / "home"
    home.mkdir()
    (home / "manifests.db").write_bytes(b"this is no database" * 100)
    process = run("sign", tmp_path / "made", tmp_path / "out", home=home)
    _, told = process.communicate()
    assert process.returncode == 2 and "manifests.db" in told and "Traceback" not in told
    assert not list((tmp_path / "out").glob("*.png"))
    process = run("sign", tmp_path / "made" / "a.png", tmp_path / "one.png", home=home)
    printed, told = process.communicate()
    assert process.returncode == 2 and "Not recorded" in printed + told and (tmp_path / "one.png").exists()
    (home / "manifests.db").unlink()
    process = run("sign", tmp_path / "made", tmp_path / "out", home=home)
    process.communicate()
    assert process.returncode == 0 and (tmp_path / "out" / "a.png").exists()
