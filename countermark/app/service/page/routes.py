"""The page's routes, together. All HTML is made on the server; scripts only save clicks and show progress."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from countermark.app.service.page import coming, looking, running, signing
from countermark.app.service.page.access import is_local
from countermark.app.service.page.common import page

ROUTERS: tuple[APIRouter, ...] = (looking.router, signing.router, running.router, coming.router)


def error_page(request: Request, status: int, body: dict[str, str], headers: dict[str, str]) -> Response:
    """What a browser gets where other clients get JSON."""
    made = page(request, "error.html.j2", status=status, error=body, local=is_local(request))
    for name, value in headers.items():
        made.headers[name] = value
    return made
