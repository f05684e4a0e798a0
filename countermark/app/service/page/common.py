"""What the page's routes share: who may come in, the headers of every page, forms, entries."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import HTMLResponse
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException

from countermark.app.service.context import announced_size
from countermark.app.service.errors import refuse
from countermark.app.service.limits import UPLOAD_FACTOR
from countermark.app.service.page import views
from countermark.app.service.page.access import (
    Visitor,
    visit,
    visitor_of,
)
from countermark.app.service.page.catalogues import languages, negotiate
from countermark.app.service.page.desk import Desk, Entry

LANGUAGE_COOKIE = "countermark_language"
MAX_FILES = 100
POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    # Names of results stand in addresses: no other site may learn them. ("no-referrer" would make
    # browsers hide the origin of our own forms.)
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
    "X-Robots-Tag": "noindex",
}

CanScan = Annotated[Visitor, visit("scan", "verify")]
CanSign = Annotated[Visitor, visit("sign")]
CanRead = Annotated[Visitor, visit("fetch:manifests")]
CanRun = Annotated[Visitor, visit("admin")]
Name = Annotated[str, Query(max_length=64)]


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page in the visitor's language, with the headers that every page has."""
    language = language_of(request)
    visitor = visitor_of(request)
    settings = request.app.state.context.settings
    text = views.render(
        template,
        language,
        path=request.url.path,
        visitor=visitor,
        style=f"/static/page.css?{views.stamp('page.css')}",
        script=f"/static/page.js?{views.stamp('page.js')}",
        keep_minutes=max(1, round(settings.keep_seconds / 60)),
        settings=settings,
        **values,
    )
    return HTMLResponse(text, status, HEADERS | {"Content-Language": language, "Vary": "Cookie"})


def language_of(request: Request) -> str:
    """As chosen, else as the browser asks."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    return chosen if chosen in languages() else negotiate(request.headers.get("accept-language", ""))


def desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def room_for(request: Request, visitor: Visitor) -> AbstractContextManager[None]:
    """Holds a place for the bytes of an upload while it is read."""
    context = request.app.state.context
    size = announced_size(request, UPLOAD_FACTOR * context.settings.max_bytes)
    held: AbstractContextManager[None] = context.budget.hold(size, visitor.owner)
    return held


def is_form(request: Request) -> bool:
    kind = request.headers.get("content-type", "").lower()
    return kind.startswith(("multipart/form-data", "application/x-www-form-urlencoded"))


async def read_form(request: Request) -> FormData:
    try:
        return await request.form(max_files=MAX_FILES, max_fields=20)
    except MultiPartException as error:
        raise refuse(400, f"The form is not understood: {error.message}") from None


def entry_of(request: Request, name: str) -> Entry:
    entry = desk_of(request).find(name)
    if entry is None:
        raise refuse(
            404,
            "There is nothing under this link, or not any more.",
            code="page.gone",
            hint="Results are kept for a short time only; hand the picture in again.",
        )
    return entry


def looked(request: Request, name: str) -> Entry:
    entry = entry_of(request, name)
    if entry.look is None:
        raise refuse(404, "There is no result yet.", code="page.waiting", hint="Wait a moment.")
    return entry
