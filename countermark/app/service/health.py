"""Health for whoever watches over the service, and its metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from countermark.app.service.context import Shared, require
from countermark.app.service.errors import refuse, responses
from countermark.core.version import VERSION

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """That the service runs, and its version."""

    status: str
    version: str


@router.get("/healthz", operation_id="health")
async def health() -> Health:
    """The process answers."""
    return Health(status="ok", version=VERSION)


@router.get("/readyz", operation_id="ready", responses=responses(503))
async def ready(context: Shared) -> Health:
    """The repository answers too, and what the first picture needs is loaded."""
    if context.warming:
        raise refuse(503, "The service is starting.", code="service.starting", Retry_After="2")
    if not await context.ready():
        raise refuse(503, "The manifest repository does not answer.", code="repository.unavailable")
    return Health(status="ok", version=VERSION)


@router.get(
    "/metrics",
    operation_id="metrics",
    dependencies=[require("metrics")],
    response_class=Response,
    responses={
        **responses(401, 403),
        200: {
            "description": "Prometheus metrics",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
    },
)
async def metrics(context: Shared) -> Response:
    """Counters and timings in the Prometheus text format."""
    return Response(generate_latest(context.metrics.registry), media_type=CONTENT_TYPE_LATEST)
