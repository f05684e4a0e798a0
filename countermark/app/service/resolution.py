"""The C2PA Soft Binding Resolution API 1.0: five routes and the discovery document.

Specification: C2PA, "Soft Binding API" (https://spec.c2pa.org, softbinding/Decoupled). From its 2.4
edition come the two service routes that the discovery document names.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field, JsonValue

from countermark.app import marking
from countermark.app.service.context import Context, Shared, image_body, require
from countermark.app.service.errors import refuse, responses
from countermark.app.verify import read_mark
from countermark.core.images import read_image
from countermark.provenance import fingerprint as fp
from countermark.provenance.repository import extract_manifest
from countermark.provenance.repository.recovery import Known, Recovered, recover_all
from countermark.provenance.repository.store import MAX_RESULTS

WATERMARK_ALGORITHM = marking.ALGORITHM
FINGERPRINT_ALGORITHM = fp.ALGORITHM
#: The edition of the specification whose semantics are implemented.
SPECIFICATION = "2.4.0"
#: Longest value in a query string; longer ones go into the body of a POST.
MAX_QUERY_VALUE = 2048

router = APIRouter(tags=["soft binding resolution"])

_ALGORITHMS: list[JsonValue] = [WATERMARK_ALGORITHM, FINGERPRINT_ALGORITHM]
_FETCH = require("fetch:manifests")
_REFUSALS = (400, 401, 403, 408, 413, 429, 503)


class Algorithm(BaseModel):
    """The name of one algorithm."""

    alg: str


class Algorithms(BaseModel):
    """``c2pa.softBindingAlgList``."""

    watermarks: list[Algorithm]
    fingerprints: list[Algorithm]


class Match(BaseModel):
    """One manifest; it is fetched from this service, so there is no ``endpoint``."""

    manifestId: str
    similarityScore: int = Field(ge=0, le=100)


class Matches(BaseModel):
    """``c2pa.softBindingQueryResult``."""

    matches: list[Match]


class Binding(BaseModel):
    """``c2pa.softBindingQuery``."""

    alg: str = Field(json_schema_extra={"enum": _ALGORITHMS})
    value: str = Field(max_length=8192, description="The soft binding's value, base64.")


class Capabilities(BaseModel):
    """``c2pa.serviceCapabilities``."""

    c2paSpecificationVersion: str
    supportedCapabilities: list[str]


class Status(BaseModel):
    """``c2pa.serviceStatus``."""

    status: str
    timestamp: datetime


class Discovery(BaseModel):
    """``c2pa.wellKnownDiscovery``."""

    apiEndpoint: str
    c2paSpecificationVersion: str
    capabilitiesEndpoint: str
    statusEndpoint: str


MaxResults = Annotated[int, Query(ge=1, description=f"At most {MAX_RESULTS} are returned.")]
Alg = Annotated[str, Query(json_schema_extra={"enum": _ALGORITHMS})]


@router.get(
    "/v1/matches/byBinding",
    operation_id="queryByBinding",
    dependencies=[_FETCH],
    responses=responses(*_REFUSALS, 414),
)
async def query_by_binding(
    context: Shared,
    alg: Alg,
    value: Annotated[str, Query(description="The soft binding's value, base64.")],
    maxResults: MaxResults = 10,
) -> Matches:
    """Manifests that carry this soft binding."""
    if len(value) > MAX_QUERY_VALUE:
        raise refuse(414, "The value is too long for a query.", hint="Send it with POST.")
    return await context.look_up(_by_binding, context, alg, value, maxResults)


@router.post(
    "/v1/matches/byBinding",
    operation_id="queryByLargeBinding",
    dependencies=[_FETCH],
    responses=responses(*_REFUSALS),
)
async def query_by_large_binding(context: Shared, query: Binding, maxResults: MaxResults = 10) -> Matches:
    """Manifests that carry this soft binding, for values that are too long for an address."""
    return await context.look_up(_by_binding, context, query.alg, query.value, maxResults)


@router.post(
    "/v1/matches/byContent",
    operation_id="uploadFile",
    dependencies=[_FETCH],
    responses=responses(*_REFUSALS, 415),
    openapi_extra=image_body("The image whose manifest is looked for."),
)
async def query_by_content(
    request: Request,
    context: Shared,
    alg: Annotated[str | None, Query(json_schema_extra={"enum": _ALGORITHMS})] = None,
    maxResults: MaxResults = 10,
    hintAlg: Annotated[str | None, Query(json_schema_extra={"enum": _ALGORITHMS})] = None,
    hintValue: Annotated[str | None, Query(max_length=MAX_QUERY_VALUE)] = None,
) -> Matches:
    """Manifests of this image, every one re-checked against the fingerprint of the original."""
    for name in (alg, hintAlg):
        if name is not None and name not in _ALGORITHMS:
            raise _unknown_algorithm()
    if (hintAlg is None) != (hintValue is None):
        raise refuse(400, "hintAlg and hintValue belong together.")
    hint = None if hintAlg is None else (hintAlg, _decode(hintAlg, hintValue or ""))
    async with context.body(request) as body:
        return await context.work(request, _by_content, context, body, alg, hint, maxResults)


@router.get(
    "/v1/manifests/{manifestId:path}",
    operation_id="getManifestById",
    dependencies=[_FETCH],
    response_class=Response,
    responses={
        **responses(*_REFUSALS, 404),
        200: {
            "description": "The C2PA manifest store",
            "content": {"application/c2pa": {"schema": {"type": "string", "format": "binary"}}},
        },
    },
)
async def get_manifest(
    context: Shared,
    manifestId: Annotated[str, Path(min_length=1, max_length=255)],
    returnActiveManifest: bool = False,
) -> Response:
    """A manifest store, or only the manifest of this id out of it."""
    record = await context.look_up(context.repository.by_manifest_id, manifestId)
    if record is None:
        raise refuse(404, "There is no manifest of this id.", code="manifest.unknown")
    store = extract_manifest(record.store, manifestId) if returnActiveManifest else record.store
    return Response(store, media_type="application/c2pa")


@router.get("/v1/services/supportedAlgorithms", operation_id="getSupportedBindings", responses=responses(429))
async def get_supported_algorithms() -> Algorithms:
    """Soft binding algorithms that can be asked for."""
    return Algorithms(
        watermarks=[Algorithm(alg=WATERMARK_ALGORITHM)], fingerprints=[Algorithm(alg=FINGERPRINT_ALGORITHM)]
    )


@router.get("/v1/services/capabilities", operation_id="getServiceCapabilities", responses=responses(429))
async def get_capabilities() -> Capabilities:
    """Optional parts of the API that this service has."""
    return Capabilities(c2paSpecificationVersion=SPECIFICATION, supportedCapabilities=["queryByContent"])


@router.get("/v1/services/status", operation_id="getServiceStatus", responses=responses(429, 503))
async def get_status(context: Shared) -> Status:
    """Whether the service can answer queries."""
    state = "ok" if await context.ready() else "down"
    return Status(status=state, timestamp=datetime.now(UTC))


@router.get(
    "/.well-known/c2pa-soft-binding-resolution", operation_id="getWellKnown", responses=responses(429)
)
async def get_discovery(request: Request, context: Shared) -> Discovery:
    """Where the API is (RFC 8615)."""
    base = (context.settings.public_url or str(request.base_url)).rstrip("/") + "/v1"
    return Discovery(
        apiEndpoint=base,
        c2paSpecificationVersion=SPECIFICATION,
        capabilitiesEndpoint=f"{base}/services/capabilities",
        statusEndpoint=f"{base}/services/status",
    )


def _by_binding(context: Context, alg: str, value: str, limit: int) -> Matches:
    raw = _decode(alg, value)
    limit = min(limit, MAX_RESULTS)
    if alg == WATERMARK_ALGORITHM:
        found = [(r.manifest_id, 100) for r in context.repository.by_payload(raw, limit=limit)]
    else:
        hits = context.repository.by_fingerprint(raw, limit=limit)
        found = [(hit.record.manifest_id, _score(hit.distance)) for hit in hits]
    context.metrics.matches.labels("binding").inc(len(found))
    return Matches(matches=[Match(manifestId=name, similarityScore=score) for name, score in found])


def _by_content(
    context: Context, body: bytes, alg: str | None, hint: tuple[str, bytes] | None, limit: int
) -> Matches:
    pixels = read_image(body, context.settings.limits).pixels
    marks: list[Known] = []
    if alg in (None, WATERMARK_ALGORITHM):
        reading, _ = read_mark(pixels)
        if reading is not None and reading.payload is not None:
            marks.append(Known(bytes.fromhex(reading.payload), reading.p_value))
    if hint is not None and hint[0] == WATERMARK_ALGORITHM:
        marks.append(Known(hint[1]))
    looks = alg in (None, FINGERPRINT_ALGORITHM) or (hint is not None and hint[0] == FINGERPRINT_ALGORITHM)
    best: dict[str, Recovered] = {}
    for mark in marks:
        for found in recover_all(pixels, context.repository, reading=mark, looks=False):
            best.setdefault(found.record.manifest_id, found)
    if looks:
        for found in recover_all(pixels, context.repository):
            best.setdefault(found.record.manifest_id, found)
    ranked = sorted(best.values(), key=lambda found: -found.similarity)[: min(limit, MAX_RESULTS)]
    for found in ranked:
        context.metrics.matches.labels(found.method).inc()
    return Matches(
        matches=[Match(manifestId=f.record.manifest_id, similarityScore=f.similarity) for f in ranked]
    )


def _decode(alg: str, value: str) -> bytes:
    if alg not in _ALGORITHMS:
        raise _unknown_algorithm()
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise refuse(400, "The value is not base64.") from None
    if alg == FINGERPRINT_ALGORITHM and len(raw) != fp.BYTES:
        raise refuse(400, f"A value of {alg} has {fp.BYTES} bytes, not {len(raw)}.")
    if not 1 <= len(raw) <= 4096:
        raise refuse(400, "The value is empty or too long.")
    return raw


def _score(distance: int) -> int:
    return max(0, round(100 * (1 - distance / 128)))


def _unknown_algorithm() -> Exception:
    return refuse(
        400,
        "This algorithm is not supported.",
        hint=f"Supported: {WATERMARK_ALGORITHM}, {FINGERPRINT_ALGORITHM}.",
    )
