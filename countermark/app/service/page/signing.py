"""Routes for signing: the form, the signed picture, a look at it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData, UploadFile

from countermark.app.service.context import Shared, busy
from countermark.app.service.errors import refuse
from countermark.app.service.lanes import FullError
from countermark.app.service.page import views, words
from countermark.app.service.page.common import (
    CanScan,
    CanSign,
    desk_of,
    entry_of,
    language_of,
    page,
    read_form,
    room_for,
)
from countermark.app.service.page.desk import Desk
from countermark.core.errors import CountermarkError

router = APIRouter(include_in_schema=False)


@router.get("/sign")
async def sign_form(
    request: Request, context: Shared, visitor: CanSign, source: Annotated[str, Query(alias="from")] = ""
) -> Response:
    """The form for signing; with ``from``, for a picture that was looked at."""
    entry = desk_of(request).find(source) if source else None
    known = entry if entry is not None and entry.look is not None else None
    identities = await context.look_up(_identities)
    return page(
        request, "sign.html.j2", known=known, identities=identities, source_types=words.SOURCE_TYPES,
        default_identity=context.settings.identity,
    )  # fmt: skip


@router.post("/sign")
async def sign(request: Request, context: Shared, visitor: CanSign) -> Response:
    """Takes a picture in to be signed."""
    desk = desk_of(request)
    try:
        with room_for(request, visitor):
            form = await read_form(request)
            name, data = await _to_sign(desk, form)
            if len(data) > context.settings.max_bytes:
                raise refuse(413, f"The picture is larger than {context.settings.max_bytes:,} bytes.")
            kind = str(form.get("source_type", ""))
            options = {
                "identity": str(form.get("identity", "")) or context.settings.identity,
                "generator": str(form.get("generator", ""))[:200].strip() or None,
                "digital_source_type": kind if kind in words.SOURCE_TYPES else None,
                "watermark": form.get("watermark") == "on",
                "record": form.get("record") == "on",
            }
            entry = desk.sign(data, name, owner=visitor.owner, options=options)
    except FullError as error:
        raise busy(error) from None
    return RedirectResponse(f"/s/{entry.id}", 303)


async def _to_sign(desk: Desk, form: FormData) -> tuple[str, bytes]:
    """The picture that was chosen, or else the one that was looked at before."""
    file, known = form.get("file"), desk.find(str(form.get("from", ""))[:64])
    if isinstance(file, UploadFile) and file.filename:
        return file.filename, await file.read()
    if known is not None and known.look is not None:
        return known.name, known.look.data
    raise refuse(400, "No picture was chosen.", hint="Choose one.")


@router.get("/s/{name}")
async def show_signed(request: Request, visitor: CanSign, name: str) -> Response:
    """A signed picture, once it is."""
    desk, entry = desk_of(request), entry_of(request, name)
    if entry.signed is not None:
        return page(request, "signed.html.j2", entry=entry, signed=entry.signed)
    if entry.state == "failed":
        return page(request, "failed.html.j2", entry=entry)
    t = views.translations(language_of(request)).gettext
    return page(
        request, "waiting.html.j2", entry=entry, stage=t(words.STAGES[entry.stage]), before=desk.before(entry)
    )


@router.post("/s/{name}/look")
async def look_at_signed(request: Request, visitor: CanScan, name: str) -> Response:
    """Looks at what was signed, as somebody who receives it would."""
    desk, entry = desk_of(request), entry_of(request, name)
    if entry.signed is None:
        raise refuse(404, "There is no signed file here.")
    try:
        made = desk.submit(entry.signed.data, entry.signed.file_name, owner=visitor.owner, batch="")
    except FullError as error:
        raise busy(error) from None
    return RedirectResponse(f"/r/{made.id}", 303)


def _identities() -> list[Any]:
    from countermark.provenance.identities.store import list_identities

    try:
        return [record for record in list_identities() if record.status == "active"]
    except CountermarkError:
        return []
