"""Errors as the service answers them: a sentence, a machine code, a hint, and the right status.

>>> status_of(ImageError("photo is empty.", code="image.empty"))
415
"""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
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


def install(app: FastAPI) -> None:
    """Registers the handlers."""

    @app.exception_handler(StarletteHTTPException)
    async def _http(request: Request, error: StarletteHTTPException) -> JSONResponse:
        body: Any = error.detail
        if not isinstance(body, dict):
            body = {"code": _CODES.get(error.status_code, "request.failed"), "detail": str(body), "hint": ""}
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_methods(app, request.url.path))
        return JSONResponse(body, error.status_code, headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        detail = f"{where}: {first['msg']}."
        return JSONResponse({"code": "request.invalid", "detail": detail, "hint": ""}, 400)

    @app.exception_handler(CountermarkError)
    async def _ours(request: Request, error: CountermarkError) -> JSONResponse:
        body = {"code": error.code, "detail": error.message, "hint": error.hint}
        return JSONResponse(body, status_of(error))


def _methods(app: FastAPI, path: str) -> list[str]:
    """All methods of a path; the router only names those of the first route that fits."""
    found: set[str] = set()
    for template, operations in app.openapi()["paths"].items():
        pattern = re.sub(r"\\\{[^}]*\\\}", ".+", re.escape(template))
        if re.fullmatch(pattern, path):
            found |= {method.upper() for method in operations}
    return sorted(found)
