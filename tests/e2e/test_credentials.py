"""Credentials from the command line: folders, watching, keys from request to rotation, records, redaction."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509

from countermark.cli import run
from countermark.core.images import write_image
from countermark.provenance.identities import certificates as certs


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def picture(seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((16, 16, 1), np.uint8))


QUICK = ["--no-watermark", "--no-record", "--generator", "test/1"]


def test_folder_is_resumed_and_a_bad_file_reported(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.png", "deep/b.jpg", "c.webp"):
        write_image(home / "made" / name, picture())
    (home / "made" / "bad.png").write_bytes(b"no image")
    assert run(["sign", "made", "signed", *QUICK, "--workers", "2", "--json"]) == 2  # one was not signed
    report = json.loads(capsys.readouterr().out)
    assert (report["signed"], report["skipped"], len(report["failed"])) == (3, 0, 1)
    write_image(home / "made" / "d.png", picture(1))
    assert run(["sign", "made", "signed", *QUICK, "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert (report["signed"], report["skipped"], len(report["failed"])) == (1, 3, 1)
    assert run(["verify", "signed", "--require", "trusted", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["results"]) == 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_signs_what_appears_until_it_is_stopped(home: Path, number: signal.Signals) -> None:
    (home / "made").mkdir()
    command = [sys.executable, "-m", "countermark", "sign", "made", "signed", "--watch", *QUICK]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watcher:
        try:
            write_image(home / "made" / "a.png", picture())
            deadline = time.monotonic() + 60
            while not (home / "signed" / "a.png").exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            assert (home / "signed" / "a.png").exists(), watcher.poll()
        finally:
            watcher.send_signal(number)
            try:
                _, err = watcher.communicate(timeout=30)
            finally:
                watcher.kill()
    assert watcher.returncode == 0 and "Traceback" not in err
    assert run(["verify", "signed/a.png", "--require", "trusted"]) == 0


def test_request_import_rotate_expire_and_doctor(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ["--organization", "Newsroom", "--common-name", "Desk", "--out", "desk.csr"]
    assert run(["keys", "request", "desk", *wanted]) == 0
    write_image(home / "made.png", picture())
    assert run(["sign", "made.png", "early.png", *QUICK, "--identity", "desk"]) == 2
    assert "Import the certificate" in capsys.readouterr().err
    request = x509.load_pem_x509_csr((home / "desk.csr").read_bytes())
    authority = certs.make_authority("Some authority")
    leaf = certs.make_leaf(request.public_key(), "Desk", authority, organization="Newsroom")
    (home / "chain.pem").write_text(certs.to_pem(leaf, authority[1]))
    (home / "authority.pem").write_text(certs.to_pem(authority[1]))
    assert run(["keys", "doctor", "chain.pem"]) == 0
    assert run(["keys", "import", "desk", "--chain", "chain.pem"]) == 0
    assert run(["sign", "made.png", "signed.png", *QUICK, "--identity", "desk"]) == 0
    assert run(["verify", "signed.png", "--require", "trusted"]) == 1  # nobody here knows that authority
    assert run(["verify", "signed.png", "--require", "trusted", "--trust", "authority.pem"]) == 0
    assert run(["keys", "rotate", "desk"]) == 2  # only its authority can
    assert run(["keys", "create", "own"]) == 0
    assert run(["keys", "rotate", "own"]) == 0
    assert run(["keys", "expire", "own", "--reason", "moved"]) == 0
    capsys.readouterr()
    assert run(["keys", "list", "--json"]) == 0
    status = {row["name"]: row["status"] for row in json.loads(capsys.readouterr().out)}
    assert status["desk"] == "active" and status["own"] == "expired"
    for file in (home / "home" / "identities").rglob("*.*"):
        assert file.is_dir() or file.stat().st_mode & 0o077 == 0, file


def test_passphrase_and_pkcs12(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

    authority = certs.make_authority("Some authority")
    key = certs.make_key("es256")
    leaf = certs.make_leaf(key.public_key(), "Desk", authority)
    bundle = pkcs12.serialize_key_and_certificates(
        b"desk", key, leaf, [authority[1]], BestAvailableEncryption(b"open sesame")
    )
    (home / "desk.p12").write_bytes(bundle)
    write_image(home / "made.png", picture())
    assert run(["keys", "import", "desk", "--pkcs12", "desk.p12", "--passphrase", "wrong"]) == 2
    assert run(["keys", "import", "desk", "--pkcs12", "desk.p12", "--passphrase", "open sesame"]) == 0
    assert b"ENCRYPTED" in next((home / "home").rglob("desk/key.pem")).read_bytes()
    assert run(["sign", "made.png", "signed.png", *QUICK, "--identity", "desk"]) == 2
    assert "passphrase" in capsys.readouterr().err
    monkeypatch.setenv("COUNTERMARK_PASSPHRASE", "open sesame")
    assert run(["sign", "made.png", "signed.png", *QUICK, "--identity", "desk"]) == 0


def test_everything_that_is_noted_can_be_redacted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(home / "made.png", picture())
    write_image(home / "part.jpg", picture(3))
    (home / "weights.safetensors").write_bytes(b"weights")
    words = ["--prompt", "a secret", "--seed", "7", "--model", "m/2", "--weights", "weights.safetensors"]
    more = ["--component", "part.jpg", "--training", "constrained", "--thumbnail", "32"]
    assert run(["sign", "made.png", "signed.png", *QUICK, *words, *more]) == 0
    signed = (home / "signed.png").read_bytes()
    assert b"a secret" in signed and b"constrained" in signed
    assert run(["verify", "signed.png", "--tree"]) == 0
    told = capsys.readouterr().out
    assert "part.jpg" in told and "component" in told and "created (trainedAlgorithmicMedia)" in told
    assert run(["redact", "signed.png", "public.png", "--json"]) == 0
    assert b"a secret" not in (home / "public.png").read_bytes()
    assert run(["verify", "public.png", "--require", "trusted"]) == 0
    assert run(["redact", "signed.png", "public.png"]) == 2  # never overwritten


def test_sidecar_leaves_the_image_alone_and_is_recorded(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_image(home / "made.png", picture())
    arguments = ["sign", "made.png", "out/made.png", "--sidecar", "--no-watermark", "--json"]
    assert run(arguments) == 0
    assert json.loads(capsys.readouterr().out)["recorded"] is True
    assert (home / "out" / "made.png").read_bytes() == source.read_bytes()
    assert run(["verify", "out/made.png", "--require", "trusted"]) == 0


def test_records_are_listed_moved_and_deleted_with_a_trace(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(home / "made.png", picture())
    assert run(["sign", "made.png", "signed.png", "--generator", "t/1", "--no-watermark", "--json"]) == 0
    name = json.loads(capsys.readouterr().out)["manifest_id"]
    assert run(["records", "list", "--json"]) == 0
    assert [row["manifest_id"] for row in json.loads(capsys.readouterr().out)] == [name]
    assert run(["records", "show", name, "--out", "store.c2pa"]) == 0
    assert (home / "store.c2pa").read_bytes()[4:8] == b"jumb"
    assert run(["records", "export", "all.jsonl"]) == 0
    assert (home / "all.jsonl").stat().st_mode & 0o077 == 0
    assert run(["records", "delete", name, "--reason", "asked for"]) == 0
    capsys.readouterr()
    assert run(["records", "show", name]) == 1 and "asked for" in capsys.readouterr().out
    assert run(["records", "import", "all.jsonl"]) == 0
    assert "Added 0" in capsys.readouterr().out  # what was deleted stays deleted
    other = f"sqlite:///{home}/other.db"
    assert run(["records", "import", "all.jsonl", "--repository", other]) == 0
    assert "Added 1" in capsys.readouterr().out
    assert run(["records", "deleted", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["reason"] == "asked for"
    assert run(["records", "delete", name, "--reason", "again"]) == 2


def test_tokens_are_made_listed_and_ended(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--new-token", "desk", "--scope", "verify", "--days", "2"]) == 0
    secret = capsys.readouterr().out.strip()
    assert secret.startswith("cm_") and secret not in (home / "home" / "tokens.json").read_text()
    assert run(["serve", "--list-tokens"]) == 0
    assert "desk" in capsys.readouterr().out
    assert run(["serve", "--revoke-token", "desk"]) == 0
    assert run(["serve", "--revoke-token", "desk"]) == 2
    assert os.stat(home / "home" / "tokens.json").st_mode & 0o077 == 0
