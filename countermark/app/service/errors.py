"""Errors as the service answers them: a sentence, a machine code, a hint, and the right status.

>>> status_of(ImageError("photo is empty.", code="image.empty"))
415
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException

from countermark.core.errors import ConfigError, CountermarkError, ImageError, OutputError, ProvenanceError

_CODES = {
    400: "request.invalid",
    401: "token.missing",
    403: "token.scope",
    404: "request.unknown",
    405: "request.method",
    408: "request.slow",
    413: "request.too-large",
    414: "request.too-long",
    415: "request.media",
    429: "request.rate",
    503: "service.busy",
}


ErrorPage = Callable[[Request, int, dict[str, str], dict[str, str]], Response]

#: Never answered with HTML, whatever the client says that it takes.
_FOR_MACHINES = ("/v1/", "/.well-known/", "/healthz", "/readyz", "/metrics", "/openapi.json")


class ErrorBody(BaseModel):
    """Body of every answer that is not a success."""

    code: str
    detail: str
    hint: str = ""


def refuse(status: int, detail: str, *, code: str = "", hint: str = "", **headers: str) -> HTTPException:
    """An error to raise inside a route; header names are given with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"code": code or _CODES.get(status, "request.failed"), "detail": detail, "hint": hint}
    return HTTPException(status, body, named or None)


def status_of(error: CountermarkError) -> int:
    """The HTTP status that fits one of our own errors."""
    if isinstance(error, ImageError):
        return 413 if error.code in ("image.too-large", "image.too-many-pixels") else 415
    if isinstance(error, ProvenanceError) and error.code == "repository.unavailable":
        return 503
    if isinstance(error, OutputError):
        return 415 if error.code == "output.format" else 500
    return 400 if isinstance(error, ConfigError | ProvenanceError) else 500


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Documentation of these error statuses for the OpenAPI description."""
    titles = {
        400: "Invalid query value",
        401: "No valid token",
        403: "The token does not have the scope",
        404: "Not found",
        408: "The body came too slowly",
        413: "Too large",
        414: "Query too long, use POST instead",
        415: "Not an image in a supported format",
        429: "Too many requests",
        500: "Service failure",
        503: "Busy",
    }
    return {status: {"model": ErrorBody, "description": titles[status]} for status in statuses}


def install(app: FastAPI, routers: Sequence[APIRouter], *, page: ErrorPage | None = None) -> None:
    """Registers the handlers.

    Args:
        routers: Whose routes there are, for the methods that an address knows.
        page: Makes the answer for a browser that wants HTML.
    """

    def respond(request: Request, status: int, body: Any, headers: dict[str, str]) -> Response:
        wanted = page is not None and "text/html" in request.headers.get("accept", "")
        if page is None or not wanted or request.url.path.startswith(_FOR_MACHINES):
            return JSONResponse(body, status, headers)
        return page(request, status, body, headers)

    @app.exception_handler(StarletteHTTPException)
    async def _http(request: Request, error: StarletteHTTPException) -> Response:
        if error.status_code < 400:
            return Response(status_code=error.status_code, headers=error.headers)
        body: Any = error.detail
        if not isinstance(body, dict):
            body = {"code": _CODES.get(error.status_code, "request.failed"), "detail": str(body), "hint": ""}
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_methods(routers, request.url.path))
        return respond(request, error.status_code, body, headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        detail = f"{where}: {first['msg']}."
        return respond(request, 400, {"code": "request.invalid", "detail": detail, "hint": ""}, {})

    @app.exception_handler(CountermarkError)
    async def _ours(request: Request, error: CountermarkError) -> Response:
        body = {"code": error.code, "detail": error.message, "hint": error.hint}
        return respond(request, status_of(error), body, {})


def _methods(routers: Sequence[APIRouter], path: str) -> list[str]:
    """All methods of a path; the framework only names those of the first route that fits."""
    found: set[str] = set()
    for route in (route for router in routers for route in router.routes):
        if isinstance(route, APIRoute) and route.path_regex.fullmatch(path):
            found |= route.methods or set()
    return sorted(found)
