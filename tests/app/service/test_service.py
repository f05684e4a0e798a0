"""The service: the resolution API's shapes, tokens, bounds, rate limit, logs, metrics, shutdown."""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import httpx
import jsonschema
import numpy as np
import pytest
from fastapi.testclient import TestClient

from countermark.app.service import Settings, create_app, create_token, list_tokens, revoke_token
from countermark.app.service.observe import LOGGER, JsonFormatter
from countermark.app.service.resolution import FINGERPRINT_ALGORITHM, WATERMARK_ALGORITHM
from countermark.app.service.tokens import TokenStore
from countermark.core.errors import ConfigError
from countermark.core.images import encode_image
from countermark.core.perturb import perturb
from countermark.core.seeds import rng
from countermark.provenance.repository import record_for

PAYLOAD = b"\x01\x02\x03\x04\x05\x06\x07\x08"

RESULT_SCHEMA = {
    "type": "object",
    "required": ["matches"],
    "additionalProperties": False,
    "properties": {
        "matches": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["manifestId"],
                "additionalProperties": False,
                "properties": {
                    "manifestId": {"type": "string"},
                    "endpoint": {"type": "string"},
                    "similarityScore": {"type": "integer", "minimum": 0, "maximum": 100},
                },
            },
        }
    },
}


def picture(seed: int, height: int = 192, width: int = 256) -> np.ndarray:
    """A synthetic picture with structure at several scales."""
    draw = rng(seed, "picture")
    layers = np.zeros((height, width, 3), np.float32)
    for cells in (3, 6, 12, 24):
        grid = draw.normal(0, 1, (cells, cells + 1, 3)).astype(np.float32)
        layers += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * (60 / cells**0.5)
    return np.clip(128 + layers, 0, 255).astype(np.uint8)


def box(kind: bytes, content: bytes) -> bytes:
    return (len(content) + 8).to_bytes(4, "big") + kind + content


def manifest_box(label: str, content: bytes) -> bytes:
    described = bytes(16) + b"\x03" + label.encode() + b"\0"
    return box(b"jumb", box(b"jumd", described) + content)


ACTIVE, PARENT = "urn:c2pa:active", "urn:c2pa:parent"
STORE = manifest_box(
    "c2pa", manifest_box(PARENT, box(b"cbor", b"old")) + manifest_box(ACTIVE, box(b"cbor", b"new"))
)


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


Make = Callable[..., TestClient]


@pytest.fixture
def make(tokens: Path) -> Iterator[Make]:
    """Makes clients whose repository holds one record; the token ``all`` may fetch, verify and scan."""
    secret = create_token("all", ["fetch:manifests", "verify", "scan", "sign", "metrics"], path=tokens)
    clients = []

    def build(*, token: str | None = secret, **settings: object) -> TestClient:
        values: dict[str, object] = {"repository": "sqlite://", "tokens": tokens, "rate": 1e6, "burst": 10**6}
        app = create_app(Settings(**(values | settings)))  # type: ignore[arg-type]
        app.state.context.repository.add(
            record_for(picture(1), manifest_id=ACTIVE, store=STORE, sha256="0" * 64, payload=PAYLOAD)
        )
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        client = TestClient(app, headers=headers, raise_server_exceptions=False)
        clients.append(client)
        return client

    yield build
    for client in clients:
        client.app.state.context.close()


def b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def stored_fingerprint(client: TestClient) -> bytes:
    (record,) = client.app.state.context.repository
    return record.fingerprint


# --- the C2PA Soft Binding Resolution API -------------------------------------------------------


def test_by_binding_finds_a_watermark(make: Make) -> None:
    client = make()
    query = {"alg": WATERMARK_ALGORITHM, "value": b64(PAYLOAD)}
    for answer in (
        client.get("/v1/matches/byBinding", params=query),
        client.post("/v1/matches/byBinding", json=query),
    ):
        assert answer.status_code == 200
        jsonschema.validate(answer.json(), RESULT_SCHEMA)
        assert answer.json() == {"matches": [{"manifestId": ACTIVE, "similarityScore": 100}]}
    query["value"] = b64(bytes(8))
    assert client.get("/v1/matches/byBinding", params=query).json() == {"matches": []}


def test_by_binding_finds_a_fingerprint(make: Make) -> None:
    client = make()
    near = bytearray(stored_fingerprint(client))
    near[0] ^= 0xFF
    query = {"alg": FINGERPRINT_ALGORITHM, "value": b64(bytes(near)), "maxResults": 1}
    (match,) = client.get("/v1/matches/byBinding", params=query).json()["matches"]
    assert match == {"manifestId": ACTIVE, "similarityScore": 94}


@pytest.mark.parametrize(
    "query, status",
    [
        ({"alg": "com.adobe.trustmark.P", "value": "AAAA"}, 400),
        ({"alg": WATERMARK_ALGORITHM}, 400),
        ({"value": "AAAA"}, 400),
        ({"alg": WATERMARK_ALGORITHM, "value": "not base64!"}, 400),
        ({"alg": WATERMARK_ALGORITHM, "value": ""}, 400),
        ({"alg": FINGERPRINT_ALGORITHM, "value": "AAAA"}, 400),
        ({"alg": WATERMARK_ALGORITHM, "value": "AAAA", "maxResults": 0}, 400),
        ({"alg": WATERMARK_ALGORITHM, "value": "AAAA", "maxResults": "many"}, 400),
        ({"alg": WATERMARK_ALGORITHM, "value": "A" * 2052}, 414),
    ],
)
def test_bad_queries_are_refused_with_a_reason(make: Make, query: dict[str, object], status: int) -> None:
    answer = make().get("/v1/matches/byBinding", params=query)
    assert answer.status_code == status
    assert set(answer.json()) == {"code", "detail", "hint"} and answer.json()["detail"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"alg": 1, "value": 2}', b"{", b"null"])
def test_bad_bodies_are_refused(make: Make, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = make().post("/v1/matches/byBinding", content=content, headers=headers)
    assert answer.status_code == 400 and answer.json()["code"] == "request.invalid"


@pytest.mark.parametrize("spec", ["jpeg:50", "resize:0.5", "crop:0.75", "screenshot"])
def test_by_content_finds_a_copy_by_its_fingerprint(make: Make, spec: str) -> None:
    body = encode_image(perturb(spec, picture(1), rng(0, spec)), "png")
    answer = make().post(
        "/v1/matches/byContent", content=body, params={"alg": FINGERPRINT_ALGORITHM, "maxResults": 5}
    )
    assert answer.status_code == 200, answer.text
    jsonschema.validate(answer.json(), RESULT_SCHEMA)
    (match,) = answer.json()["matches"]
    assert match["manifestId"] == ACTIVE and match["similarityScore"] > 60


def test_by_content_finds_nothing_for_another_picture(make: Make) -> None:
    body = encode_image(picture(2), "png")
    answer = make().post("/v1/matches/byContent", content=body, params={"alg": FINGERPRINT_ALGORITHM})
    assert answer.json() == {"matches": []}


def test_a_hint_helps_but_is_checked(make: Make) -> None:
    client = make()
    hint = {"alg": FINGERPRINT_ALGORITHM, "hintAlg": WATERMARK_ALGORITHM, "hintValue": b64(PAYLOAD)}
    cut = perturb("crop:0.3", picture(1), rng(1, "cut"))
    plain = {"alg": FINGERPRINT_ALGORITHM}
    url = "/v1/matches/byContent"
    assert client.post(url, content=encode_image(cut, "png"), params=plain).json()["matches"] == []
    helped = client.post(url, content=encode_image(cut, "png"), params=hint).json()["matches"]
    assert [match["manifestId"] for match in helped] == [ACTIVE]
    other = client.post(url, content=encode_image(picture(3), "png"), params=hint).json()["matches"]
    assert other == []


@pytest.mark.parametrize(
    "params",
    [
        {"alg": "unknown"},
        {"hintAlg": WATERMARK_ALGORITHM},
        {"hintValue": "AAAA"},
        {"hintAlg": "unknown", "hintValue": "AAAA"},
        {"hintAlg": WATERMARK_ALGORITHM, "hintValue": "%"},
    ],
)
def test_bad_hints_are_refused(make: Make, params: dict[str, str]) -> None:
    answer = make().post("/v1/matches/byContent", content=b"x", params=params)
    assert answer.status_code == 400


def test_manifests_are_fetched_by_id(make: Make) -> None:
    client = make()
    answer = client.get(f"/v1/manifests/{ACTIVE}")
    assert answer.status_code == 200 and answer.content == STORE
    assert answer.headers["content-type"] == "application/c2pa"
    only = client.get(f"/v1/manifests/{ACTIVE}", params={"returnActiveManifest": "true"})
    assert only.content == manifest_box("c2pa", manifest_box(ACTIVE, box(b"cbor", b"new")))
    missing = client.get("/v1/manifests/urn:c2pa:none/with/slashes")
    assert missing.status_code == 404 and missing.json()["code"] == "manifest.unknown"
    assert client.get(f"/v1/manifests/{'x' * 256}").status_code == 400


def test_service_routes_and_discovery_need_no_token(make: Make) -> None:
    client = make(token=None, public_url="https://marks.example/")
    assert client.get("/v1/services/supportedAlgorithms").json() == {
        "watermarks": [{"alg": WATERMARK_ALGORITHM}],
        "fingerprints": [{"alg": FINGERPRINT_ALGORITHM}],
    }
    assert client.get("/v1/services/status").json()["status"] == "ok"
    found = client.get("/.well-known/c2pa-soft-binding-resolution").json()
    assert found["apiEndpoint"] == "https://marks.example/v1"
    capabilities = client.get("/v1/services/capabilities").json()
    assert capabilities["c2paSpecificationVersion"] == found["c2paSpecificationVersion"] == "2.4.0"
    assert capabilities["supportedCapabilities"] == ["queryByContent"]


# --- tokens --------------------------------------------------------------------------------------

GUARDED = [
    ("GET", "/v1/matches/byBinding?alg=a&value=b"),
    ("POST", "/v1/matches/byBinding"),
    ("POST", "/v1/matches/byContent"),
    ("GET", f"/v1/manifests/{ACTIVE}"),
    ("POST", "/v1/sign"),
    ("POST", "/v1/verify"),
    ("POST", "/v1/scan"),
    ("GET", "/metrics"),
]


@pytest.mark.parametrize("method, url", GUARDED)
def test_routes_need_a_token_with_the_scope(make: Make, tokens: Path, method: str, url: str) -> None:
    body = {"json": {"alg": "a", "value": "b"}} if method == "POST" and "byBinding" in url else {}
    anonymous = make(token=None).request(method, url, **body)
    assert anonymous.status_code == 401 and anonymous.headers["www-authenticate"] == "Bearer"
    assert make(token="cm_wrong").request(method, url, **body).status_code == 401
    scope = "verify" if "verify" not in url else "scan"
    small = create_token("small", [scope], path=tokens)
    expected = 403 if scope not in url else 415
    assert make(token=small).request(method, url, **body).status_code == expected


def test_public_scopes_need_no_token(make: Make) -> None:
    client = make(token=None, public=frozenset({"fetch:manifests"}))
    assert client.get(f"/v1/manifests/{ACTIVE}").status_code == 200
    assert client.post("/v1/sign", content=b"x").status_code == 401


def test_tokens_expire_and_are_revoked_while_the_service_runs(make: Make, tokens: Path) -> None:
    short = create_token("short", ["fetch:manifests"], days=-1, path=tokens)
    assert make(token=short).get(f"/v1/manifests/{ACTIVE}").status_code == 401
    fresh = create_token("fresh", ["fetch:manifests"], path=tokens)
    client = make(token=fresh)
    assert client.get(f"/v1/manifests/{ACTIVE}").status_code == 200
    revoke_token("fresh", path=tokens)
    assert client.get(f"/v1/manifests/{ACTIVE}").status_code == 401


def test_only_digests_are_stored(tokens: Path) -> None:
    secret = create_token("one", ["scan"], path=tokens)
    assert secret not in tokens.read_text() and len(secret) >= 40
    assert stat.S_IMODE(tokens.stat().st_mode) == 0o600
    assert TokenStore(tokens).find(list_tokens(tokens)[0].sha256) is None


@pytest.mark.parametrize(
    "name, scopes, code",
    [
        ("", ["scan"], "token.name"),
        ("a b", ["scan"], "token.name"),
        ("x" * 65, ["scan"], "token.name"),
        ("a", [], "token.scope"),
        ("a", ["everything"], "token.scope"),
        ("taken", ["scan"], "token.taken"),
    ],
)
def test_odd_tokens_are_not_made(tokens: Path, name: str, scopes: list[str], code: str) -> None:
    create_token("taken", ["scan"], path=tokens)
    with pytest.raises(ConfigError) as caught:
        create_token(name, scopes, path=tokens)
    assert caught.value.code == code
    with pytest.raises(ConfigError, match="Known: taken"):
        revoke_token("unknown", path=tokens)


def test_a_damaged_token_file_lets_nobody_in(make: Make, tokens: Path) -> None:
    tokens.write_text("{")
    assert make().get(f"/v1/manifests/{ACTIVE}").status_code >= 400
    with pytest.raises(ConfigError) as caught:
        list_tokens(tokens)
    assert caught.value.code == "token.file"


# --- bounds --------------------------------------------------------------------------------------


def test_an_announced_length_is_refused_before_anything_is_read(make: Make) -> None:
    def never() -> Iterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    headers = {"Content-Length": "1001"}
    answer = make(max_bytes=1000).post("/v1/scan", content=never(), headers=headers)
    assert answer.status_code == 413 and "1,000" in answer.json()["detail"]


@pytest.mark.parametrize("url, limit", [("/v1/scan", 1000), ("/v1/matches/byBinding", 64 * 1024)])
def test_a_body_without_a_length_is_cut_off(make: Make, url: str, limit: int) -> None:
    client = make(max_bytes=1000)
    parts = iter([b"x" * 600] * (limit // 600 + 2))
    headers = {"Content-Type": "application/json"}
    assert client.post(url, content=parts, headers=headers).status_code == 413


def test_json_routes_take_little(make: Make) -> None:
    body = json.dumps({"alg": WATERMARK_ALGORITHM, "value": "A" * 70_000})
    headers = {"Content-Type": "application/json"}
    assert make().post("/v1/matches/byBinding", content=body, headers=headers).status_code == 413


@pytest.mark.parametrize("url", ["/v1/matches/byContent", "/v1/verify", "/v1/scan", "/v1/sign"])
@pytest.mark.parametrize("body", [b"", b"not an image", b"\x89PNG\r\n\x1a\nbroken", b"\xff\xd8\xff\xe0"])
def test_what_is_no_image_gets_a_typed_answer(make: Make, url: str, body: bytes) -> None:
    answer = make().post(url, content=body)
    assert answer.status_code == 415, answer.text
    assert answer.json()["detail"] and "/tmp" not in answer.text


def test_too_many_pixels_are_refused_by_the_header(make: Make) -> None:
    body = encode_image(np.zeros((60, 60, 3), np.uint8), "png")
    answer = make(max_pixels=1000).post("/v1/matches/byContent", content=body)
    assert answer.status_code == 413 and answer.json()["code"] == "image.too-many-pixels"


def test_clients_that_ask_too_often_wait(make: Make, tokens: Path) -> None:
    client = make(rate=0.5, burst=3)
    answers = [client.get(f"/v1/manifests/{ACTIVE}") for _ in range(5)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 3
    other = create_token("other", ["fetch:manifests"], path=tokens)
    headers = {"Authorization": f"Bearer {other}"}
    assert client.get(f"/v1/manifests/{ACTIVE}", headers=headers).status_code == 200
    assert client.get("/healthz").status_code == 200, "health is never limited"


def test_a_full_queue_turns_requests_away(make: Make) -> None:
    client = make(workers=1, queue=0)
    client.app.state.context.lane.running = 1
    answer = client.post("/v1/verify", content=b"x")
    assert answer.status_code == 503 and answer.headers["retry-after"]
    # Look-ups do not stand behind pictures, and nor does whoever watches over the service.
    assert client.get(f"/v1/manifests/{ACTIVE}").status_code == 200
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    "bad", [{"max_bytes": 0}, {"rate": -1}, {"workers": 0}, {"public": frozenset({"root"})}]
)
def test_senseless_settings_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Settings(**bad)  # type: ignore[arg-type]


# --- observation ---------------------------------------------------------------------------------


def test_one_json_line_a_request_without_secrets(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOGGER):
        client = make()
        value = b64(PAYLOAD)
        params = {"alg": WATERMARK_ALGORITHM, "value": value}
        answer = client.get("/v1/matches/byBinding", params=params, headers={"X-Request-Id": "abc-1"})
        client.get("/nowhere", headers={"X-Request-Id": "not valid!"})
    assert answer.headers["x-request-id"] == "abc-1"
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    assert [(e["route"], e["status"], e["token"]) for e in lines] == [
        ("/v1/matches/byBinding", 200, "all"),
        ("unknown", 404, "all"),
    ]
    assert lines[0]["request"] == "abc-1" and lines[1]["request"] != "not valid!"
    assert value not in json.dumps(lines) and "cm_" not in json.dumps(lines)


def test_metrics_count_requests_and_matches(make: Make) -> None:
    client = make()
    client.get("/v1/matches/byBinding", params={"alg": WATERMARK_ALGORITHM, "value": b64(PAYLOAD)})
    for k in range(20):
        client.get(f"/nowhere/{k}")
    text = client.get("/metrics").text
    assert 'countermark_matches_total{method="binding"} 1.0' in text
    assert 'countermark_requests_total{method="GET",route="unknown",status="404"} 20.0' in text
    assert 'route="/v1/matches/byBinding",status="200"} 1.0' in text and "/nowhere" not in text


def test_health_tells_when_the_repository_is_gone(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make(token=None)
    assert client.get("/healthz").json()["status"] == "ok"
    assert client.get("/readyz").status_code == 200
    monkeypatch.setattr(type(client.app.state.context), "alive", lambda self: False)
    assert client.get("/readyz").status_code == 200, "an answer stands for a second"
    client.app.state.context._alive = None
    assert client.get("/readyz").status_code == 503
    assert client.get("/v1/services/status").json()["status"] == "down"
    assert client.get("/healthz").status_code == 200


def test_a_failure_is_logged_and_answered_without_details(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = make()

    def broken(*arguments: object) -> None:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(client.app.state.context.repository, "by_manifest_id", broken)
    answer = client.get("/v1/manifests/urn:x")
    assert answer.status_code == 500 and answer.json()["code"] == "service.failure"
    assert "secret" not in answer.text and answer.headers["x-request-id"]
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    assert "/secret/path" in lines[0]["traceback"] and lines[-1]["status"] == 500


def test_nothing_is_loaded_from_elsewhere(make: Make) -> None:
    client = make()
    assert client.get("/docs").status_code == 404 and client.get("/redoc").status_code == 404
    schema = client.get("/openapi.json").json()
    assert all("422" not in op["responses"] for ops in schema["paths"].values() for op in ops.values())


# --- a real server -------------------------------------------------------------------------------

SERVER = """
import sys
from pathlib import Path
from countermark.app.service import Settings, run_service
run_service("127.0.0.1", int(sys.argv[1]), settings=Settings(
    repository="sqlite:///" + sys.argv[2], tokens=Path(sys.argv[3]), body_seconds=2.0, grace_seconds=20,
    warm=False))
"""


@pytest.fixture
def server(tmp_path: Path, tokens: Path) -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path / "log.jsonl"
    with open(log, "w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(port), str(tmp_path / "m.db"), str(tokens)],
            stderr=stream,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz")
            break
        except httpx.TransportError:
            time.sleep(0.1)
    yield process, port, log
    process.kill()
    process.wait()


def test_a_real_server_finishes_what_runs_and_stops(
    server: tuple[subprocess.Popen[str], int, Path], tokens: Path
) -> None:
    process, port, log = server
    secret = create_token("live", ["fetch:manifests"], path=tokens)
    url = f"http://127.0.0.1:{port}"
    headers = {"Authorization": f"Bearer {secret}"}
    assert httpx.get(f"{url}/v1/manifests/urn:x", headers=headers).status_code == 404
    # A body that stops coming is given up after a while.
    head = f"POST /v1/matches/byBinding HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n"
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall((head + "Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{").encode())
        slow.settimeout(10)
        assert b" 408 " in slow.recv(4096)
    # A request that is on its way when the server is told to stop is still answered.
    with socket.create_connection(("127.0.0.1", port)) as late:
        body = b'{"alg": "org.countermark.tile.1", "value": "AAAA"}'
        length = f"Content-Length: {len(body)}\r\n\r\n"
        late.sendall((head + "Content-Type: application/json\r\n" + length).encode() + body[:10])
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        late.sendall(body[10:])
        late.settimeout(10)
        assert b"200 OK" in late.recv(4096)
    assert process.wait(40) in (0, -signal.SIGTERM)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line.get("status") for line in lines if line["event"] == "request"} >= {200, 404, 408}
    assert secret not in log.read_text()
