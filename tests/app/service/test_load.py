"""The service under load and under attack: a real server, whose one worker does what a file tells it."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

from countermark.app.service import Settings, create_app, create_token, run_service
from countermark.app.service.protocol import GuardedProtocol
from countermark.app.service.work import as_file, sweep, workplace
from countermark.core.errors import ConfigError
from countermark.core.images import encode_image

#: One worker that works on until the file ``go`` is there; small bounds, so that tests are short.
SERVER = """
import sys, time
from pathlib import Path
from countermark.app.service import Settings, images, run_service

folder = Path(sys.argv[2])

def held(context, body, *arguments):
    (folder / "begun").touch()
    while not (folder / "go").exists():
        time.sleep(0.02)
    return {"bytes": len(body)}

images._scan = held
settings = Settings(
    repository=sys.argv[3], tokens=folder / "tokens.json", rate=1e6, burst=10**6, warm=False,
    workers=1, queue=2, max_bytes=1_000_000, waiting_bytes=2_000_000, connections=20,
    head_seconds=1.0, body_seconds=1.0, body_rate=1e9, grace_seconds=5.0,
)
run_service("127.0.0.1", int(sys.argv[1]), settings=settings)
"""

Server = SimpleNamespace


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, f"sqlite:///{tmp_path}/m.db") as made:
        yield made


@contextmanager
def running(folder: Path, repository: str) -> Iterator[Server]:
    """The service in a process of its own, with its records in ``repository``."""
    secret = create_token("tests", ["scan", "fetch:manifests"], path=folder / "tokens.json")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "tmp").mkdir()
    environment = os.environ | {"TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1"}
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(port), str(folder), repository], stderr=log, env=environment
        )
    url = f"http://127.0.0.1:{port}"
    headers = {"Authorization": f"Bearer {secret}"}
    made = Server(url=url, port=port, folder=folder, headers=headers, process=process)
    try:
        until(lambda: httpx.get(f"{url}/healthz").status_code == 200)
        yield made
    finally:
        process.kill()
        process.wait()


def until(holds: Callable[[], Any], seconds: float = 120.0) -> None:
    """Waits until something holds; the time is a last resort, not a measure."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except (httpx.TransportError, OSError):
            pass
        time.sleep(0.05)
    raise AssertionError("it never came true")


def log_of(server: Server) -> list[dict[str, Any]]:
    lines = (server.folder / "log").read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def open_scan(server: Server, length: int, body: bytes = b"", **headers: str) -> socket.socket:
    """A connection with the head of a scan and a part of its body."""
    stream = socket.create_connection(("127.0.0.1", server.port))
    stream.settimeout(120)
    fields = {"Host": "x", "Content-Length": str(length), **server.headers, **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    stream.sendall(f"POST /v1/scan HTTP/1.1\r\n{head}\r\n".encode() + body)
    return stream


def fill(server: Server) -> list[socket.socket]:
    """Scans on the worker and in the queue, until there is no more place."""
    streams = [open_scan(server, 3, b"abc")]
    until((server.folder / "begun").exists)
    streams += [open_scan(server, 3, b"abc") for _ in range(2)]
    until(lambda: b"503" in ask(server))
    return streams


def ask(server: Server, body: bytes = b"x") -> bytes:
    """The head of the answer to a whole scan, or b'' when it has to wait for its turn."""
    with open_scan(server, len(body), body) as stream:
        stream.settimeout(0.5)
        try:
            return stream.recv(4096)
        except TimeoutError:
            return b""


def test_whoever_watches_gets_an_answer_whatever_is_queued(server: Server) -> None:
    streams = fill(server)
    for path in ("/readyz", "/healthz", "/v1/services/status"):
        assert httpx.get(server.url + path, timeout=60).status_code == 200, "while the worker is held"
    busy = httpx.post(f"{server.url}/v1/scan", content=b"x", headers=server.headers)
    assert busy.status_code == 503 and busy.headers["retry-after"]
    found = httpx.get(f"{server.url}/v1/manifests/urn:x", headers=server.headers)
    assert found.status_code == 404, "look-ups do not stand behind pictures"
    (server.folder / "go").touch()
    answers = [stream.recv(4096) for stream in streams]
    assert b" 200 " in answers[0]
    # Which of those that asked got the places in the queue is the machine's to decide.
    assert all(b" 200 " in answer or b" 503 " in answer for answer in answers)
    for stream in streams:
        stream.close()


def test_bodies_are_not_read_while_there_is_no_place(server: Server) -> None:
    streams = fill(server)
    with open_scan(server, 900_000) as unread:  # not one byte of the body has been sent
        answer = unread.recv(4096)
        assert b" 503 " in answer and b"retry-after" in answer.lower()
    (server.folder / "go").touch()
    for stream in streams:
        stream.close()
    until(lambda: b" 200 " in ask(server))

    # One client may hold half of what may wait: its second large body is not read either.
    def second_is_refused() -> bool:
        with open_scan(server, 900_000, b"x") as first:
            httpx.get(f"{server.url}/healthz", timeout=60)  # its head has come in by then, mostly
            if b" 503 " not in _head(server, 900_000):
                return False  # the other one was first; both have gone, so try again
            first.sendall(b"x" * 899_999)
            return b" 200 " in first.recv(4096)

    until(second_is_refused)


def _head(server: Server, length: int) -> bytes:
    with open_scan(server, length) as stream:
        stream.settimeout(0.5)
        try:
            return stream.recv(4096)
        except TimeoutError:
            return b""


def test_half_sent_heads_neither_stay_nor_shut_anybody_out(server: Server) -> None:
    half = []
    for _ in range(60):  # three times as many as connections are allowed
        stream = socket.create_connection(("127.0.0.1", server.port))
        stream.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        half.append(stream)
        if len(half) % 20 == 0:
            assert httpx.get(f"{server.url}/healthz", timeout=60).status_code == 200
    for stream in half:
        stream.settimeout(120)
        try:
            answer = stream.recv(4096)
        except ConnectionError:
            answer = b""  # made room for others
        assert answer == b"" or b" 408 " in answer
        stream.close()


def test_a_connection_that_says_nothing_is_closed(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as silent:
        silent.settimeout(120)
        assert silent.recv(100) == b""


def test_a_body_that_trickles_is_given_up(server: Server) -> None:
    with open_scan(server, 1000) as slow:
        slow.settimeout(0.2)
        for _ in range(600):
            try:
                slow.sendall(b"x")
                answer = slow.recv(4096)
                break
            except TimeoutError:
                continue
        assert b" 408 " in answer


def test_a_client_that_hangs_up_is_no_failure(server: Server) -> None:
    def lines(status: int) -> int:
        return sum(line.get("status") == status for line in log_of(server))

    open_scan(server, 1000, b"half").close()
    until(lambda: lines(499) == 1)
    streams = fill(server)
    for stream in streams[1:]:
        stream.close()  # while they wait for their turn
    (server.folder / "go").touch()
    assert b" 200 " in streams[0].recv(4096)
    until(lambda: lines(499) == 3)
    assert not any(line.get("status") == 500 or line["event"] == "failure" for line in log_of(server))


def test_a_kill_leaves_no_upload_behind(server: Server) -> None:
    streams = fill(server)
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    assert list((server.folder / "tmp").iterdir()) == []
    for stream in streams:
        stream.close()


def test_many_clients_some_of_them_broken(server: Server) -> None:
    """No answer but 200 and 503 with Retry-After, whatever others do meanwhile."""
    (server.folder / "go").touch()
    statuses: dict[int, int] = {}
    for number in range(60):
        if number % 5 == 0:
            open_scan(server, 500, b"cut off").close()
        if number % 7 == 0:
            broken = socket.create_connection(("127.0.0.1", server.port))
            broken.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
            broken.close()
        answer = httpx.post(f"{server.url}/v1/scan", content=b"x" * 10_000, headers=server.headers)
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        assert answer.status_code == 200 or answer.headers["retry-after"]
    assert set(statuses) <= {200, 503} and statuses[200] > 0
    assert httpx.get(f"{server.url}/healthz").status_code == 200
    assert not any(line["event"] == "failure" for line in log_of(server))


def test_the_same_with_postgresql_and_without_it(
    tmp_path: Path, postgres: Callable[[], AbstractContextManager[str]]
) -> None:
    with ExitStack() as until_it_goes, running_with(until_it_goes, postgres, tmp_path) as server:
        test_many_clients_some_of_them_broken(server)
        record = httpx.get(f"{server.url}/v1/manifests/urn:x", headers=server.headers)
        assert record.status_code == 404 and httpx.get(f"{server.url}/readyz").status_code == 200
        (server.folder / "go").unlink()
        (server.folder / "begun").unlink()
        test_whoever_watches_gets_an_answer_whatever_is_queued(server)
        until_it_goes.close()  # the database is gone
        until(lambda: httpx.get(f"{server.url}/readyz", timeout=60).status_code == 503)
        record = httpx.get(f"{server.url}/v1/manifests/urn:x", headers=server.headers, timeout=60)
        assert record.status_code == 503 and record.json()["code"] == "repository.unavailable"
        assert httpx.get(f"{server.url}/healthz", timeout=60).status_code == 200
        assert not any(line.get("status") == 500 or line["event"] == "failure" for line in log_of(server))


def running_with(
    stack: ExitStack, postgres: Callable[[], AbstractContextManager[str]], folder: Path
) -> AbstractContextManager[Server]:
    """The service on a database that goes when ``stack`` is closed."""
    return running(folder, stack.enter_context(postgres()))


# --- one connection ------------------------------------------------------------------------------


class Pipe:
    """A transport whose other end reads nothing."""

    def __init__(self, unsent: int) -> None:
        self.unsent = unsent
        self.ended = ""

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return bool(self.ended)

    def abort(self) -> None:
        self.ended = "aborted"


def test_a_client_that_does_not_read_is_cut_off() -> None:
    connection = GuardedProtocol.__new__(GuardedProtocol)
    connection.transport, connection.waiting_since = Pipe(1000), None  # type: ignore[assignment]
    connection._unsent, connection._unsent_since, connection.send_seconds = 0, 0.0, 30.0
    connection.check(100.0)
    connection.check(129.0)
    connection.transport.unsent = 900  # type: ignore[attr-defined]
    connection.check(131.0)  # it has read something
    connection.check(160.0)
    assert not connection.transport.is_closing()
    connection.check(162.0)
    assert connection.transport.ended == "aborted"  # type: ignore[attr-defined]


# --- at the start --------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Settings:
    return Settings(repository=f"sqlite:///{tmp_path}/m.db", tokens=tmp_path / "tokens.json", warm=False)


def refusal(code: str, *arguments: Any, **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        run_service(*arguments, **options)
    assert caught.value.code == code
    return caught.value.message


def test_a_wrong_certificate_is_a_sentence(place: Settings, tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    missing = tmp_path / "missing.pem"
    for certificate, key in ((junk, None), (None, junk), (missing, junk), (junk, missing), (junk, junk)):
        said = refusal("service.certificate", settings=place, certificate=certificate, key=key)
        assert "Traceback" not in said
    assert str(missing) in refusal("service.certificate", settings=place, certificate=missing, key=junk)


def test_a_key_of_another_certificate_is_a_sentence(place: Settings, tmp_path: Path) -> None:
    from countermark.provenance.identities import certificates as certs

    key, ca = certs.make_authority("Test")
    other, _ = certs.make_authority("Other")
    (tmp_path / "cert.pem").write_text(certs.to_pem(ca))
    (tmp_path / "other.pem").write_bytes(certs.key_to_pem(other))
    (tmp_path / "key.pem").write_bytes(certs.key_to_pem(key))
    refusal(
        "service.certificate", settings=place, certificate=tmp_path / "cert.pem", key=tmp_path / "other.pem"
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")  # the right pair is one


def test_a_taken_port_is_a_sentence(place: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in refusal("service.port", "127.0.0.1", port, settings=place)


def test_an_address_of_nobody_is_a_sentence(place: Settings) -> None:
    refusal("service.host", "192.0.2.1", 0, settings=place)


@pytest.mark.parametrize("text", ["{", "[]", '{"tokens": [{"name": 1}]}', '{"tokens": 7}'])
def test_broken_tokens_are_a_sentence(place: Settings, text: str) -> None:
    assert place.tokens is not None
    place.tokens.write_text(text)
    assert str(place.tokens) in refusal("token.file", "127.0.0.1", 0, settings=place)


def test_tokens_that_break_while_it_runs_let_nobody_in(place: Settings, tmp_path: Path) -> None:
    from fastapi.testclient import TestClient

    secret = create_token("one", ["fetch:manifests"], path=tmp_path / "tokens.json")
    app = create_app(place)
    client = TestClient(app, headers={"Authorization": f"Bearer {secret}"})
    assert client.get("/v1/manifests/urn:x").status_code == 404
    (tmp_path / "tokens.json").write_text("{")
    answer = client.get("/v1/manifests/urn:x")
    assert answer.status_code == 503 and answer.json()["code"] == "token.file"
    assert client.get("/healthz", headers={"Authorization": ""}).status_code == 200
    app.state.context.close()


@pytest.mark.parametrize(
    "arguments, code, sentence",
    [
        (["--page", "sometimes"], 4, "page is 'sometimes'"),
        (["--public", "everything"], 4, "no scope 'everything'"),
        (["--keep-minutes", "0"], 4, "must be above zero"),
        (["--certificate", "missing.pem"], 2, "needs a key"),
        (["--host", "192.0.2.1"], 2, "cannot be listened on"),
    ],
)
def test_the_command_ends_with_a_sentence(
    arguments: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from countermark.cli import run

    assert run(["serve", *arguments]) == code
    said = capsys.readouterr().err
    assert sentence in " ".join(said.split()) and "Traceback" not in said


# --- before the first request --------------------------------------------------------------------


def test_it_is_not_ready_before_it_is_warm(place: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading
    from dataclasses import replace

    from fastapi.testclient import TestClient

    from countermark.app.service import work

    gate = threading.Event()
    monkeypatch.setattr(work, "rehearse", lambda context: gate.wait(120))
    with TestClient(create_app(replace(place, warm=True))) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 503 and answer.json()["code"] == "service.starting"
        assert client.get("/healthz").status_code == 200
        gate.set()
        until(lambda: client.get("/readyz").status_code == 200)


def test_the_rehearsal_does_all_that_a_first_request_does(place: Settings, paper: Any) -> None:
    calls = []

    class Watched(type(paper)):  # type: ignore[misc]
        def score(self, images: Any) -> Any:
            calls.append("score")
            return super().score(images)

        def heatmap(self, image: Any) -> Any:
            calls.append("heatmap")
            return super().heatmap(image)

    from countermark.app.service.work import rehearse

    app = create_app(place)
    app.state.context._detector = Watched()
    rehearse(app.state.context)
    assert calls.count("score") == 4 and calls.count("heatmap") == 1, "each delivery, and the map"
    app.state.context.close()


# --- files ---------------------------------------------------------------------------------------


def test_an_upload_has_no_name_on_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data = encode_image(np.zeros((4, 4, 3), np.uint8), "png")
    with as_file(data) as path:
        assert Path(path).read_bytes() == data
        if sys.platform == "linux":
            assert list(tmp_path.iterdir()) == []


def test_work_folders_of_killed_processes_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    left = tmp_path / f"countermark-service-{process.pid}-abc"
    left.mkdir()
    (left / "image").write_bytes(b"x")
    (tmp_path / "countermark-service-notes").mkdir()
    with workplace() as mine:
        assert sweep() == 1
        assert mine.is_dir() and not left.exists() and (tmp_path / "countermark-service-notes").is_dir()
