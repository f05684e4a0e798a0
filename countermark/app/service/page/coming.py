"""Routes for coming in and leaving, languages, and the page's own files."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse

from countermark.app.service.page import views
from countermark.app.service.page.access import (
    COOKIE,
    SESSION_SECONDS,
    check_origin,
    own_path,
)
from countermark.app.service.page.catalogues import languages
from countermark.app.service.page.common import (
    LANGUAGE_COOKIE,
    page,
    read_form,
)

router = APIRouter(include_in_schema=False)


@router.get("/enter")
async def enter_form(request: Request, next: Annotated[str, Query(max_length=500)] = "/") -> Response:
    """Asks for a token."""
    if request.app.state.context.settings.page == "off":
        raise HTTPException(404)
    return page(request, "enter.html.j2", next=own_path(next), wrong=False)


@router.post("/enter")
async def enter(request: Request) -> Response:
    """Opens a session for a token."""
    check_origin(request)
    form = await read_form(request)
    following = own_path(str(form.get("next", "/"))[:500])
    name = request.app.state.sessions.open(str(form.get("token", "")).strip())
    if name is None:
        return page(request, "enter.html.j2", status=401, next=following, wrong=True)
    response = RedirectResponse(following, 303)
    response.set_cookie(
        COOKIE, name, max_age=int(SESSION_SECONDS), httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return response


@router.post("/leave")
async def leave(request: Request) -> Response:
    """Ends a session."""
    check_origin(request)
    request.app.state.sessions.close(request.cookies.get(COOKIE, ""))
    response = RedirectResponse("/enter", 303)
    response.delete_cookie(COOKIE)
    return response


@router.get("/language/{code}")
async def choose_language(
    request: Request, code: str, next: Annotated[str, Query(max_length=500)] = "/"
) -> Response:
    """Remembers a language."""
    response = RedirectResponse(own_path(next), 303)
    if code in languages():
        response.set_cookie(LANGUAGE_COOKIE, code, max_age=365 * 86400, samesite="lax")
    return response


@router.get("/static/{name}")
async def fetch_static(name: str) -> Response:
    """The style sheet, the script, the icon."""
    kinds = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
    try:
        data = views.static(name)
    except FileNotFoundError:
        raise HTTPException(404) from None
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(data, media_type=f"{kinds[name]}; charset=utf-8", headers=headers)
