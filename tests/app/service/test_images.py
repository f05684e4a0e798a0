"""Signing, verifying and scanning over HTTP, with the real functions behind it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import cv2
import jsonschema
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from countermark.app.service import Settings, create_app, create_token
from countermark.core.files import HOME_VARIABLE
from countermark.core.images import encode_image, read_image
from countermark.core.perturb import perturb
from countermark.core.seeds import rng

STATE_SCHEMA = {
    "type": "object",
    "required": ["schema", "state", "problems", "chain", "summary", "sha256"],
    "properties": {
        "schema": {"const": "countermark.verification/1"},
        "state": {"enum": ["trusted", "intact", "invalid", "recovered", "absent"]},
        "path": {"const": ""},
    },
}


def picture(seed: int, height: int = 384, width: int = 512) -> np.ndarray:
    """A synthetic picture with structure at several scales and some grain."""
    draw = rng(seed, "picture")
    layers = draw.normal(0, 6, (height, width, 3)).astype(np.float32)
    for cells in (3, 6, 12, 24, 48):
        grid = draw.normal(0, 1, (cells, cells + 1, 3)).astype(np.float32)
        layers += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * (60 / cells**0.5)
    return np.clip(128 + layers, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv(HOME_VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[TestClient]:
    tokens = home / "tokens.json"
    scopes = ["fetch:manifests", "sign", "verify", "scan", "metrics"]
    secret = create_token("tests", scopes, path=tokens)
    url = f"sqlite:///{home / 'service.db'}"
    app = create_app(Settings(repository=url, tokens=tokens, rate=1e6, burst=10**6, warm=False))
    with TestClient(app, headers={"Authorization": f"Bearer {secret}"}) as client:
        yield client


@pytest.fixture(scope="module")
def signed(client: TestClient) -> bytes:
    """A picture that went through the service with everything on."""
    answer = client.post(
        "/v1/sign", content=encode_image(picture(1), "png"), params={"generator": "model/1.0"}
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-content-sha256"] == hashlib.sha256(answer.content).hexdigest()
    assert len(bytes.fromhex(answer.headers["x-watermark"])) == 8
    return answer.content


def verify(client: TestClient, body: bytes, **params: object) -> dict[str, object]:
    answer = client.post("/v1/verify", content=body, params=params)
    assert answer.status_code == 200, answer.text
    jsonschema.validate(answer.json(), STATE_SCHEMA)
    return answer.json()


def strip(data: bytes) -> bytes:
    """The same pixels without any metadata."""
    return encode_image(read_image(data).pixels, "png")


def test_what_the_service_signs_it_verifies(client: TestClient, signed: bytes) -> None:
    found = verify(client, signed)
    assert found["state"] == "trusted"
    assert found["digital_source_type"] == "trainedAlgorithmicMedia"
    assert found["sha256"] == hashlib.sha256(signed).hexdigest()


def test_a_changed_pixel_is_invalid(client: TestClient, signed: bytes) -> None:
    at = signed.index(b"IDAT") + 40
    broken = signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :]
    answer = client.post("/v1/verify", content=broken, params={"recover": False})
    assert answer.status_code == 415 or answer.json()["state"] == "invalid"
    appended = verify(client, signed + b"more", recover=False)
    assert appended["state"] == "invalid"


def test_a_form_says_what_the_raw_body_says(client: TestClient, signed: bytes) -> None:
    """``curl -F file=@x`` beside ``curl --data-binary @x``."""
    by_form = client.post("/v1/verify", files={"file": ("x.png", signed, "image/png")})
    assert by_form.status_code == 200 and by_form.json() == verify(client, signed)
    empty = client.post("/v1/verify", files={"other": (None, "text")})
    assert empty.status_code == 415 and "curl -F file=@photo.jpg" in empty.text


@pytest.mark.parametrize("spec", ["none", "jpeg:50", "resize:0.5", "crop:0.75", "screenshot"])
def test_a_stripped_copy_is_recovered_and_its_manifest_fetched(
    client: TestClient, signed: bytes, spec: str
) -> None:
    copy = encode_image(perturb(spec, read_image(signed).pixels, rng(0, spec)), "png")
    found = verify(client, copy)
    assert found["state"] == "recovered", found["problems"]
    assert found["digital_source_type"] == "trainedAlgorithmicMedia"
    matches = client.post("/v1/matches/byContent", content=copy).json()["matches"]
    (match,) = matches
    store = client.get(f"/v1/manifests/{match['manifestId']}")
    assert store.status_code == 200 and store.content[4:8] == b"jumb"
    assert store.content in signed or store.content[:40] in signed


def test_only_the_active_manifest_is_a_readable_store(client: TestClient, signed: bytes) -> None:
    again = client.post("/v1/sign", content=signed, params={"watermark": False})
    assert again.status_code == 200
    url = f"/v1/manifests/{again.headers['x-manifest-id']}"
    whole = client.get(url).content
    only = client.get(url, params={"returnActiveManifest": "true"}).content
    assert len(only) < len(whole)
    assert int.from_bytes(only[:4], "big") == len(only) and only[4:8] == b"jumb"
    assert again.headers["x-manifest-id"].encode() in only


def test_recovery_can_be_left_out(client: TestClient, signed: bytes) -> None:
    assert verify(client, strip(signed), recover=False)["state"] == "absent"


def test_another_picture_is_absent(client: TestClient, signed: bytes) -> None:
    assert verify(client, encode_image(picture(2), "jpeg"))["state"] == "absent"


def test_a_mark_can_be_left_out_and_records_too(client: TestClient) -> None:
    body = encode_image(picture(3), "jpeg")
    before = len(client.app.state.context.repository)
    answer = client.post("/v1/sign", content=body, params={"watermark": False, "record": False})
    assert answer.status_code == 200 and "x-watermark" not in answer.headers
    assert len(client.app.state.context.repository) == before
    assert verify(client, answer.content)["state"] == "trusted"
    assert Image.open(io.BytesIO(answer.content)).format == "JPEG"


class Half:
    """A detector that cannot decide; the real ones have their own tests and take long to load."""

    name = "half"
    card = None

    def score(self, images: Sequence[np.ndarray]) -> np.ndarray:
        return np.full(len(images), 0.5)

    def thresholds(self, max_fpr: float = 0.01) -> SimpleNamespace:
        return SimpleNamespace(likely=1 - max_fpr, unsure=0.4, note="")


def test_scanning_says_what_the_library_says(client: TestClient, signed: bytes) -> None:
    client.app.state.context._detector = Half()
    answer = client.post("/v1/scan", content=signed)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["schema"] == "countermark.scan-result/1" and found["verdict"] == "declared-synthetic"
    assert {item["kind"] for item in found["evidence"]} >= {"credential", "mark"}
    assert found["width"] == 512 and found["path"] == "" and found["score"] == 0.5
    plain = client.post("/v1/scan", content=encode_image(picture(4), "jpeg"), params={"max_fpr": 0.3}).json()
    assert plain["verdict"] == "unsure" and plain["thresholds"] == {"likely": 0.7, "unsure": 0.4}


def test_nothing_stays_behind_and_the_own_repository_is_untouched(home: Path, signed: bytes) -> None:
    assert (home / "service.db").exists() and not (home / "manifests.db").exists()


def test_nothing_is_signed_that_cannot_be_recorded(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from countermark.core.errors import ProvenanceError
    from countermark.provenance.repository import Repository

    def gone(*_: object) -> None:
        raise ProvenanceError("The manifest repository failed.", code="repository.unavailable")

    monkeypatch.setattr(Repository, "add", gone)
    body = encode_image(picture(7), "png")
    answer = client.post("/v1/sign", content=body)
    assert answer.status_code == 503 and answer.json()["code"] == "repository.unavailable"
    assert "The picture was not signed" in answer.json()["detail"]
    assert client.post("/v1/sign", content=body, params={"record": False}).status_code == 200
