"""Sign, verify and scan over HTTP: the body is the image's bytes, the answer an image or JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from countermark.app.service.context import Context, Shared, image_body, require
from countermark.app.service.errors import responses
from countermark.app.service.work import scan_picture, sign_picture, verify_picture

router = APIRouter(prefix="/v1", tags=["images"])

_REFUSALS = (400, 401, 403, 408, 413, 415, 429, 503)
_JSON: dict[str, Any] = {"type": "object", "additionalProperties": True}


@router.post(
    "/sign",
    operation_id="sign",
    dependencies=[require("sign")],
    response_class=Response,
    openapi_extra=image_body("The image that is signed."),
    responses={
        **responses(*_REFUSALS),
        200: {
            "description": "The signed image, in the format of the body",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            "headers": {
                "X-Manifest-Id": {"schema": {"type": "string"}, "description": "Id of the active manifest"},
                "X-Watermark": {"schema": {"type": "string"}, "description": "Payload, hex"},
                "X-Content-Sha256": {"schema": {"type": "string"}, "description": "Of the signed file"},
            },
        },
    },
)
async def sign_image(
    request: Request,
    context: Shared,
    generator: Annotated[str | None, Query(max_length=200, description="What made the image.")] = None,
    watermark: Annotated[bool, Query(description="Embed a watermark before signing.")] = True,
    record: Annotated[bool, Query(description="Keep a record, so that it can be recovered.")] = True,
) -> Response:
    """Signs an image with the service's identity: declared as made by a trained model."""
    async with context.body(request) as body:
        data, headers = await context.work(request, _sign, context, body, generator, watermark, record)
    return Response(data, headers=headers, media_type="application/octet-stream")


@router.post(
    "/verify",
    operation_id="verify",
    dependencies=[require("verify")],
    openapi_extra=image_body("The image that is verified."),
    responses=responses(*_REFUSALS),
)
async def verify_image(
    request: Request,
    context: Shared,
    recover: Annotated[bool, Query(description="Look a stripped credential up in the repository.")] = True,
) -> dict[str, Any]:
    """Verifies the credential of an image; see ``countermark.core.results.Verification``."""
    async with context.body(request) as body:
        return await context.work(request, _verify, context, body, recover)


@router.post(
    "/scan",
    operation_id="scan",
    dependencies=[require("scan")],
    openapi_extra=image_body("The image that is scanned."),
    responses=responses(*_REFUSALS),
)
async def scan_image(
    request: Request,
    context: Shared,
    max_fpr: Annotated[
        float, Query(gt=0, le=0.5, description="Share of photographs called synthetic.")
    ] = 0.01,
    stress: Annotated[bool, Query(description="Also score re-encoded copies.")] = False,
) -> dict[str, Any]:
    """Scans an image; see ``countermark.core.results.ScanResult``."""
    async with context.body(request) as body:
        return await context.work(request, _scan, context, body, max_fpr, stress)


def _sign(
    context: Context, body: bytes, generator: str | None, watermark: bool, record: bool
) -> tuple[bytes, dict[str, str]]:
    data, signed = sign_picture(context, body, generator=generator, watermark=watermark, record=record)
    headers = {"X-Manifest-Id": signed.manifest_id, "X-Content-Sha256": signed.sha256}
    return data, headers | ({"X-Watermark": signed.payload} if signed.payload else {})


def _verify(context: Context, body: bytes, recover: bool) -> dict[str, Any]:
    found = verify_picture(context, body, recover=recover)
    return {"schema": "countermark.verification/1", **asdict(found)}


def _scan(context: Context, body: bytes, max_fpr: float, stress: bool) -> dict[str, Any]:
    result = scan_picture(context, body, max_fpr=max_fpr, stress=stress)
    context.metrics.scanned.labels(result.verdict.value if result.verdict else "error").inc()
    return {"schema": "countermark.scan-result/1", **asdict(result)}
