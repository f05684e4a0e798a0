"""Faults of the machine end in a sentence: homes, disks, clocks, keys, names, and no connection anywhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest

from countermark.app.sign import sign
from countermark.cli import run
from countermark.core.errors import ProvenanceError
from countermark.core.images import encode_image
from countermark.provenance.identities import authority
from countermark.provenance.identities.store import create_identity, get_identity

QUICK = ("-d", "gan", "--no-marks", "--parts", "off")


def picture(seed: int = 1) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 255, (12, 12, 3), np.uint8)
    return encode_image(cv2.resize(noise, (224, 224), interpolation=cv2.INTER_CUBIC), "png")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with one picture and a home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "home"))
    Path("made.png").write_bytes(picture())
    return tmp_path


# Homes and disks


@pytest.mark.parametrize("home", ["a-file", "/proc/none", "a-file/below"])
def test_a_home_that_cannot_be_used(place: Path, home: str, monkeypatch, capsys) -> None:
    Path("a-file").write_text("x")
    monkeypatch.setenv("COUNTERMARK_HOME", home if home.startswith("/") else str(place / home))
    for command in (("sign", "made.png", "signed.png"), ("keys", "create", "x"), ("records", "list")):
        assert run(command) == 2
        told = capsys.readouterr().err
        assert "COUNTERMARK_HOME" in told and "Traceback" not in told, command
    assert not Path("signed.png").exists()
    assert run(["scan", *QUICK, "made.png"]) == 0
    assert run(["verify", "made.png"]) == 0
    assert run(["keys", "list"]) == 0


def test_a_home_that_is_missing_is_made(place: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COUNTERMARK_HOME", str(place / "new" / "deep"))
    assert run(["sign", "made.png", "signed.png"]) == 0
    assert (place / "new" / "deep" / "manifests.db").exists()


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 1 MB, where one may be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("may not mount a file system here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=False)


def test_a_full_disk_is_an_exit_code_and_the_run_goes_on_later(place: Path, small_disk: Path, capsys) -> None:
    Path("made").mkdir()
    for number in range(14):
        Path("made", f"{number:02}.png").write_bytes(picture(number))
    out = small_disk / "out"
    out.mkdir()
    assert run(["sign", "made", str(out)]) == 2
    printed, told = capsys.readouterr()
    assert "No space left" in printed + told and "Traceback" not in told
    signed = len(list(out.glob("*.png")))
    assert 0 < signed < 14 and not list(out.glob(".countermark-*"))
    from countermark.provenance.repository import open_repository

    with open_repository() as records:
        assert len(records) == signed, "what could not be written has no record"
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    assert run(["sign", "made", str(out)]) == 0
    assert f"Signed {14 - signed}, already signed {signed}, failed 0." in capsys.readouterr().out


def test_a_full_home_is_counted_and_mended(place: Path, small_disk: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COUNTERMARK_HOME", str(small_disk))
    Path("made").mkdir()
    for number in range(6):
        Path("made", f"{number}.png").write_bytes(picture(number))
    get_identity("default")
    assert run(["records", "list"]) == 0
    ballast = os.open(small_disk / "ballast", os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while os.write(ballast, b"\0" * 4096):
            pass
    assert run(["sign", "made", "out"]) == 2, "a repository that cannot be opened at all"
    printed, told = capsys.readouterr()
    assert "manifests.db" in told and "Traceback" not in told and not Path("out").exists()
    os.ftruncate(ballast, os.fstat(ballast).st_size - 160_000)
    os.close(ballast)
    assert run(["sign", "made", "out"]) == 2
    printed, told = capsys.readouterr()
    assert "Signed 6," in printed and "not recorded" in printed and "Traceback" not in told, printed
    (small_disk / "ballast").unlink()
    assert run(["sign", "made", "out"]) == 0
    assert "recorded now" in capsys.readouterr().out
    from countermark.provenance.repository import open_repository

    with open_repository() as records:
        assert len(records) == 6


# Keys and clocks


def test_keys_that_others_may_read_are_refused(place: Path, capsys) -> None:
    create_identity("press")
    key = place / "home" / "identities" / "press" / "key.pem"
    for mode in (0o640, 0o604, 0o620):
        os.chmod(key, mode)
        with pytest.raises(ProvenanceError) as caught:
            get_identity("press")
        assert caught.value.code == "key.permissions" and "chmod 600" in caught.value.hint
    assert run(["sign", "made.png", "signed.png", "-i", "press"]) == 2
    assert "may be read or changed by others" in capsys.readouterr().err
    os.chmod(key, 0o600)
    assert run(["sign", "made.png", "signed.png", "-i", "press"]) == 0
    os.chmod(place / "home" / "identities" / "_authority" / "ca-key.pem", 0o644)
    with pytest.raises(ProvenanceError) as caught:
        create_identity("other")
    assert caught.value.code == "key.permissions"


def test_a_key_that_expires_tonight_is_warned_of(place: Path, capsys) -> None:
    create_identity("tonight", days=1)
    notes = sign("made.png", "signed.png", identity="tonight").notes
    assert any("expires in 24 hours" in note and "keys rotate tonight" in note for note in notes)
    Path("made").mkdir()
    Path("made/a.png").write_bytes(picture(3))
    assert run(["sign", "made", "out", "-i", "tonight"]) == 0
    assert "expires in 24 hours" in capsys.readouterr().err
    assert not any("expires in" in note for note in sign("made.png", "other.png").notes)


def test_an_authority_that_has_ended_says_so(place: Path, monkeypatch) -> None:
    get_identity("default")
    monkeypatch.setattr(authority, "_LEAST", timedelta(days=10_000))
    with pytest.raises(ProvenanceError, match="by this computer's clock it is") as caught:
        create_identity("other")
    assert caught.value.code == "authority.expired"


@pytest.mark.parametrize(
    ("clock", "signing", "verifying"),
    [
        ("2001-05-05 12:00", "valid only from", "not yet valid by the clock of this computer"),
        ("2060-05-05 12:00", "Check the clock", "had expired"),
    ],
)
def test_a_wrong_clock_is_named(place: Path, clock: str, signing: str, verifying: str) -> None:
    if not shutil.which("faketime"):
        pytest.skip("faketime is not installed")
    sign("made.png", "signed.png")

    def at(*command: str) -> subprocess.CompletedProcess[str]:
        line = ["faketime", clock, sys.executable, "-m", "countermark", *command]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    tried = at("sign", "made.png", "again.png")
    assert tried.returncode == 2 and signing in tried.stderr and "Traceback" not in tried.stderr
    found = json.loads(at("verify", "signed.png", "--json", "--no-recover").stdout)
    assert verifying in found["results"][0]["summary"]


# Names

HOSTILE = ("esc\x1b]0;x\x07\x1b[2J.png", "line\n::error::done.png", "bidi\u202egnp.png", "##[error]x.png")
FORBIDDEN = ("\x1b", "\x07", "\u202e", "##[")


def check(text: str, command: object) -> None:
    assert not [each for each in FORBIDDEN if each in text], command
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::")], command


def test_names_from_files_never_reach_a_terminal_or_a_log_raw(place: Path, capsys) -> None:
    Path("in").mkdir()
    for number, name in enumerate(HOSTILE):
        Path("in", name).write_bytes(picture(number))
    Path("in", "bad\x1b[31m\n::warning::.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    names = [str(Path("in", name)) for name in HOSTILE]
    commands: list[tuple[str, ...]] = [
        ("sign", "in", "out"),
        *(("sign", name, f"one-{number}.png") for number, name in enumerate(names)),
        ("sign", names[0], names[1]),
        ("sign", "in", "out"),
        ("verify", "out"),
        ("verify", "out", "--tree"),
        ("verify", "out", "--json"),
        ("verify", "out", "--rubric"),
        ("verify", "in", "none\x1b[2J.png"),
        ("scan", *QUICK, "in", "out", "none\u202e.png"),
        ("scan", *QUICK, "in", "--json"),
        ("scan", *QUICK, "in", "-o", "json=in/esc\x1b[1m/\n::error::.json"),
        ("scan", *QUICK, "in", "--format", "markdown"),
        ("scan", *QUICK, "in", "-d", "no\x1bsuch"),
        ("scan", *QUICK, "in", "--fail-on", "\x1b[2J"),
        ("records", "list"),
        ("records", "show", "\x1b[2J"),
        ("audit", "no\x1b[2J.toml"),
        ("models", "\x1b[2J"),
        ("models", "stamp", "no\x1b[2J.card.json"),
        ("keys", "doctor", "no\x1b[2J.pem"),
        ("no\x1b[2Jcommand",),
        ("scan", "--no\x1b[2Joption"),
        ("generate", "no\x1b[2J", "--out", "x"),
        ("evaluate", "detector", "--corpus", "no\x1b[2J"),
    ]
    for command in commands:
        run(command)
        printed, told = capsys.readouterr()
        check(printed, command)
        check(told, command)


# Connections

WATCHED = """
import sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto"):
        with open(sys.argv[0] + ".sockets", "a") as log:
            log.write(repr((event, arguments[1:])) + "\\n")
sys.addaudithook(watch)
from countermark.cli import run
for line in open(sys.argv[1], encoding="utf-8"):
    command = line.rstrip("\\n").split("\\t")
    print(command, run(command), flush=True)
"""


def test_no_command_without_a_network_option_opens_a_connection(place: Path) -> None:
    """In a network namespace without interfaces everything works; and nobody tried."""
    alone = ["unshare", "--net", "--map-root-user"]
    if (
        not shutil.which("unshare")
        or subprocess.run([*alone, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("may not make a network namespace here")
    script = place / "script.py"
    script.write_text(WATCHED)
    commands = [
        ("sign", "made.png", "signed.png", "--generator", "m/1", "--prompt", "a tree"),
        ("verify", "signed.png", "made.png"),
        ("scan", *QUICK, "signed.png", "-o", "r.html"),
        ("scan", "-d", "lite", "made.png"),
        ("redact", "signed.png", "redacted.png"),
        ("records", "list"),
        ("keys", "create", "press"),
        ("keys", "trust", "list"),
        ("models",),
        ("generate", "digits-32", "--count", "2", "--out", "drawn", "--sign"),
        ("audit", "init", "detector"),
        ("zoo", "--help"),
    ]
    (place / "commands").write_text("".join("\t".join(line) + "\n" for line in commands))
    done = subprocess.run(
        [*alone, sys.executable, str(script), str(place / "commands")],
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    log = place / "script.py.sockets"
    assert not log.exists(), log.read_text()
    codes = [line.rsplit(" ", 1)[1] for line in done.stdout.splitlines() if line.startswith("['")]
    assert len(codes) == len(commands), done.stderr
    assert "Traceback" not in done.stderr
    assert {code for code in codes} <= {"0", "1"}, done.stdout
