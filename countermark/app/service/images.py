"""Sign, verify and scan over HTTP: the body is the image's bytes, the answer an image or JSON."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from countermark.app.service.context import Context, Shared, image_body, read_body, require
from countermark.app.service.errors import responses
from countermark.core.errors import ImageError
from countermark.core.images import read_image

router = APIRouter(prefix="/v1", tags=["images"])

_REFUSALS = (400, 401, 403, 408, 413, 415, 429, 503)
_SUFFIXES = {"jpeg": ".jpg", "heif": ".heic", "tiff": ".tif"}
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
    body = await read_body(request)
    data, headers = await context.work(_sign, context, body, generator, watermark, record)
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
    body = await read_body(request)
    return await context.work(_verify, context, body, recover)


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
    body = await read_body(request)
    return await context.work(_scan, context, body, max_fpr, stress)


def _sign(
    context: Context, body: bytes, generator: str | None, watermark: bool, record: bool
) -> tuple[bytes, dict[str, str]]:
    from countermark.app.sign import sign

    with tempfile.TemporaryDirectory(prefix="countermark-") as folder:
        source = _write(Path(folder), body, context)
        destination = source.with_stem("signed")
        signed = sign(
            source,
            destination,
            identity=context.settings.identity,
            generator=generator,
            watermark=watermark,
            record=record,
            repository=context.repository,
        )
        data = destination.read_bytes()
    context.metrics.signed.inc()
    headers = {"X-Manifest-Id": signed.manifest_id, "X-Content-Sha256": signed.sha256}
    return data, headers | ({"X-Watermark": signed.payload} if signed.payload else {})


def _verify(context: Context, body: bytes, recover: bool) -> dict[str, Any]:
    from countermark.app.verify import verify

    with tempfile.TemporaryDirectory(prefix="countermark-") as folder:
        path = _write(Path(folder), body, context)
        result = verify(path, recover=recover, repository=context.repository, digest=True)
    return {"schema": "countermark.verification/1", **asdict(replace(result, path=""))}


def _scan(context: Context, body: bytes, max_fpr: float, stress: bool) -> dict[str, Any]:
    from countermark.app.scan.run import scan

    with tempfile.TemporaryDirectory(prefix="countermark-") as folder:
        path = _write(Path(folder), body, context)
        (result,) = scan(
            path,
            max_fpr=max_fpr,
            stress=stress,
            detector=context.detector(),
            limits=context.settings.limits,
            workers=1,
        )
    if result.error is not None and result.error.code.startswith("image.") and result.sha256 is None:
        raise ImageError(result.error.message, code=result.error.code, hint=result.error.hint)
    context.metrics.scanned.labels(result.verdict.value if result.verdict else "error").inc()
    return {"schema": "countermark.scan-result/1", **asdict(replace(result, path=""))}


def _write(folder: Path, body: bytes, context: Context) -> Path:
    """The body as a file, named by what it is: nothing of the client's goes into the name."""
    kind = read_image(body, context.settings.limits).format  # raises what is wrong with it
    path = folder / f"image{_SUFFIXES.get(kind, f'.{kind}')}"
    path.write_bytes(body)
    return path
