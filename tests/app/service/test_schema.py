"""schemathesis against the service's own OpenAPI description, within a bounded time.

Signing, verifying and scanning are replaced by their input check: what they do has its own tests,
and what is asked here is whether every answer is one that the description promises.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

from countermark.app.service import Settings, create_app, create_token  # noqa: E402
from countermark.app.service.context import Context  # noqa: E402
from countermark.core.images import read_image  # noqa: E402
from countermark.provenance.repository import ManifestRecord  # noqa: E402

SCOPES = ["fetch:manifests", "sign", "verify", "scan", "metrics"]


def _application() -> tuple[Any, str]:
    folder = Path(tempfile.mkdtemp(prefix="countermark-test-"))
    tokens = folder / "tokens.json"
    secret = create_token("schema", SCOPES, path=tokens)
    limits = {"max_bytes": 1_000_000, "max_pixels": 1_000_000, "rate": 1e6, "burst": 10**6, "warm": False}
    app = create_app(Settings(repository=f"sqlite:///{folder}/manifests.db", tokens=tokens, **limits))
    record = ManifestRecord(
        "urn:c2pa:1", b"jumbf", payload=b"8 bytes!", fingerprint=bytes(32), sha256="0" * 64
    )
    app.state.context.repository.add(record)
    return app, secret


def _sign(context: Context, body: bytes, *arguments: Any) -> tuple[bytes, dict[str, str]]:
    read_image(body, context.settings.limits)
    return body, {"X-Manifest-Id": "urn:c2pa:1", "X-Content-Sha256": "0" * 64}


def _result(context: Context, body: bytes, *arguments: Any) -> dict[str, Any]:
    return {"format": read_image(body, context.settings.limits).format}


APP, SECRET = _application()
# A body that breaks the description may also be too large, or too long for a GET: both are refusals.
REFUSALS = ["400", "401", "403", "404", "405", "406", "408", "409", "413", "414", "415", "422", "429", "5xx"]
CONFIG = schemathesis.Config.from_dict(
    {"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}}}
)
schema = schemathesis.openapi.from_asgi("/openapi.json", APP, config=CONFIG)


@pytest.fixture(autouse=True)
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    from countermark.app.service import images

    for name, double in (("_sign", _sign), ("_verify", _result), ("_scan", _result)):
        monkeypatch.setattr(images, name, double)


@schema.auth()
class _Bearer:
    """The token, where the description asks for one."""

    def get(self, case: Any, context: Any) -> str:
        return SECRET

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


@schema.parametrize()
@settings(
    max_examples=int(os.environ.get("COUNTERMARK_SCHEMA_EXAMPLES", "20")),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_that_the_description_promises(case: Any) -> None:
    from schemathesis.checks import CHECKS

    # A description cannot say which bytes are an image, nor which base64 has 32 bytes.
    excluded = [CHECKS.get_one("positive_data_acceptance")]
    case.call_and_validate(excluded_checks=excluded)
