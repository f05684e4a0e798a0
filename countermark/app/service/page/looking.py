"""Routes for looking at pictures: handing in, waiting, results, two side by side."""

from __future__ import annotations

import json
import secrets
from functools import partial
from typing import Annotated, Any
from urllib.parse import unquote, urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.datastructures import UploadFile

from countermark.app.service.context import Shared, busy
from countermark.app.service.errors import refuse
from countermark.app.service.lanes import FullError
from countermark.app.service.limits import UPLOAD_FACTOR
from countermark.app.service.page import views, words
from countermark.app.service.page.access import (
    Visitor,
)
from countermark.app.service.page.common import (
    HEADERS,
    CanScan,
    CanSign,
    Name,
    desk_of,
    entry_of,
    is_form,
    language_of,
    looked,
    page,
    read_form,
    room_for,
)
from countermark.app.service.page.desk import Desk, Entry
from countermark.app.service.page.pdfs import is_pdf, pictures_of
from countermark.app.service.page.unpack import pictures_in
from countermark.core.errors import CountermarkError, ImageError
from countermark.detectors.scoring.thresholds import WORKING_POINTS

router = APIRouter(include_in_schema=False)


@router.get("/")
async def home(request: Request, visitor: CanScan) -> Response:
    """Where pictures are dropped."""
    return page(request, "home.html.j2", batch=secrets.token_urlsafe(18), points=list(WORKING_POINTS))


@router.post("/look")
async def look(
    request: Request,
    context: Shared,
    visitor: CanScan,
    name: Annotated[str, Query(max_length=1000)] = "",
    batch: Name = "",
    point: Annotated[str, Query(max_length=20)] = "default",
    place: Annotated[int, Query(ge=0, le=100_000)] = 0,
) -> Response:
    """Takes pictures in: the body as it is (scripts), or a form (without scripts).

    A script sends several at a time, and they arrive in any order: ``place`` is where each was chosen.
    """
    desk, plain = desk_of(request), not is_form(request)
    beside = ""
    try:
        with room_for(request, visitor):
            if plain:
                given = [(unquote(name), b"".join([part async for part in request.stream()]))]
            else:
                form = await read_form(request)
                batch, beside = (str(form.get(each, ""))[:64] for each in ("batch", "with"))
                point = str(form.get("point", ""))
                files = [f for f in form.getlist("file") if isinstance(f, UploadFile) and f.filename]
                given = [(f.filename or "", await f.read()) for f in files]
            rate = WORKING_POINTS.get(point, WORKING_POINTS["default"])
            entries = _take(desk, given, visitor, batch, rate, place)
    except FullError as error:
        raise busy(error) from None
    if not entries:
        raise refuse(400, "No picture was chosen.", hint="Choose one or several.")
    where = f"/r/{entries[0].id}" if len(entries) == 1 else f"/b/{entries[0].batch}"
    if beside:
        where = f"/compare?{urlencode({'left': beside, 'right': entries[0].id})}"
    if plain:
        return JSONResponse({"entries": [e.id for e in entries], "batch": entries[0].batch, "page": where})
    return RedirectResponse(where, 303)


def _take(
    desk: Desk, given: list[tuple[str, bytes]], visitor: Visitor, batch: str, rate: float, place: int
) -> list[Entry]:
    """Entries for what was handed in; a ZIP becomes one entry for each of its pictures."""
    settings = desk.context.settings
    batch = batch or secrets.token_urlsafe(18)
    submit = partial(desk.submit, owner=visitor.owner, batch=batch, max_fpr=rate, place=place)
    entries = []
    for name, data in given:
        try:
            unpack = pictures_of if is_pdf(data) else pictures_in
            unpacked = unpack(
                data, max_bytes=settings.max_bytes, total_bytes=UPLOAD_FACTOR * settings.max_bytes
            )
            if unpacked is None:
                if len(data) > settings.max_bytes:
                    raise ImageError(
                        f"This file has {len(data):,} bytes; the limit is {settings.max_bytes:,}.",
                        code="image.too-large",
                    )
                entries.append(submit(data, name))
                continue
            if not unpacked.pictures:
                raise ImageError("There is no picture in this file.", code="archive.empty")
            desk.note_left_out(batch, unpacked.left_out)
            for inner, content in unpacked.pictures:
                try:
                    entries.append(submit(content, inner))
                except FullError:
                    desk.note_left_out(batch, {"too many": 1})
        except CountermarkError as error:
            entries.append(desk.refuse(name, error, owner=visitor.owner, batch=batch, place=place))
    return entries


@router.get("/b/{batch}")
async def show_batch(request: Request, visitor: CanScan, batch: str) -> Response:
    """Several pictures at once; its list is fetched again by the page while some are open."""
    desk = desk_of(request)
    entries = desk.batch(batch)
    rows = [row_of(desk, entry, request) for entry in entries]
    open_ = sum(entry.open for entry in entries)
    return page(
        request, "batch.html.j2", batch=batch, rows=rows, open=open_, left_out=desk.left_out(batch),
        later=any(entry.state == "ready" for entry in entries), status=200 if entries else 404,
    )  # fmt: skip


def row_of(desk: Desk, entry: Entry, request: Request) -> dict[str, Any]:
    t = views.translations(language_of(request)).gettext
    row: dict[str, Any] = {
        "entry": entry,
        "stage": t(words.STAGES[entry.stage]),
        "before": desk.before(entry),
    }
    if entry.look is not None:
        verdict = entry.look.result.verdict
        name = verdict.value if verdict else "error"
        answer = words.answer(entry.look.result, entry.look.verification)
        row |= {"verdict": name, "verdict_name": t(words.VERDICTS[name]), "headline": t(answer.headline)}
        row["remarks"] = [t(remark) for remark in words.remarks(entry.look.result, entry.look.verification)]
    return row


@router.get("/r/{name}")
async def show_result(request: Request, visitor: CanScan, name: str) -> Response:
    """One picture: waiting, failed, or its result."""
    desk, entry = desk_of(request), entry_of(request, name)
    if entry.look is not None:
        view = views.result_view(entry, language_of(request), lambda each: f"/r/{entry.id}/{each}")
        return page(request, "result.html.j2", **view)
    if entry.state == "failed":
        return page(request, "failed.html.j2", entry=entry)
    t = views.translations(language_of(request)).gettext
    return page(
        request, "waiting.html.j2", entry=entry, stage=t(words.STAGES[entry.stage]), before=desk.before(entry)
    )


@router.get("/r/{name}/state")
async def show_state(request: Request, visitor: CanScan, name: str) -> Response:
    """How far it is, for the page's script."""
    desk, entry = desk_of(request), entry_of(request, name)
    t = views.translations(language_of(request)).gettext
    facts = {"state": entry.state, "stage": t(words.STAGES[entry.stage]), "before": desk.before(entry)}
    return JSONResponse(facts, headers={"Referrer-Policy": "same-origin"})


@router.get("/r/{name}/result.json")
async def fetch_json(request: Request, visitor: CanScan, name: str) -> Response:
    """The result for machines: a ``countermark.scan/1`` and a ``countermark.verify/1`` document."""
    entry = looked(request, name)
    return Response(
        json.dumps(_documents(entry), indent=2, ensure_ascii=False) + "\n",
        media_type="application/json",
        headers=_download(entry, "json"),
    )


@router.get("/r/{name}/result.html")
async def fetch_html(request: Request, visitor: CanScan, name: str) -> Response:
    """The result as one file that loads nothing."""
    entry = looked(request, name)
    text = views.standalone(entry, language_of(request))
    return HTMLResponse(text, headers=HEADERS | _download(entry, "html"))


@router.get("/r/{name}/signed")
async def fetch_signed(request: Request, visitor: CanSign, name: str) -> Response:
    """The signed file."""
    entry = entry_of(request, name)
    if entry.signed is None:
        raise refuse(404, "There is no signed file here.")
    disposition = f'attachment; filename="{entry.signed.file_name}"'
    headers = {"Content-Disposition": disposition, "Content-Security-Policy": "sandbox"}
    return Response(entry.signed.data, media_type="application/octet-stream", headers=headers)


@router.post("/r/{name}/forget")
async def forget(request: Request, visitor: CanScan, name: str) -> Response:
    """Drops a result now."""
    desk_of(request).forget(name)
    return RedirectResponse("/", 303)


@router.get("/r/{name}/{picture}")
async def fetch_picture(request: Request, visitor: CanScan, name: str, picture: str) -> Response:
    """One of the pictures that a result shows, encoded anew."""
    data = looked(request, name).look.pictures.get(picture)  # type: ignore[union-attr]
    if data is None:
        raise refuse(404, "There is no such picture.")
    kind = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
    headers = {"Cross-Origin-Resource-Policy": "same-origin", "Content-Security-Policy": "default-src 'none'"}
    return Response(data, media_type=kind, headers=headers)


def _documents(entry: Entry) -> dict[str, Any]:
    from dataclasses import replace

    from countermark.reports import scan_document, verify_document

    assert entry.look is not None
    named = replace(entry.look.result, path=entry.name)
    settings = {"max_fpr": entry.max_fpr, "stress": True}
    document: dict[str, Any] = {"scan": scan_document([named], settings=settings)}
    if entry.look.verification is not None:
        document["verify"] = verify_document([replace(entry.look.verification, path=entry.name)])
    return document


def _download(entry: Entry, ending: str) -> dict[str, str]:
    assert entry.look is not None
    digest = (entry.look.result.sha256 or "picture")[:12]
    return {"Content-Disposition": f'attachment; filename="countermark-{digest}.{ending}"'}


@router.get("/compare")
async def compare(
    request: Request, visitor: CanScan, left: Name = "", right: Name = "",
    ids: Annotated[list[str], Query(alias="id", max_length=50)] = [],  # noqa: B006
) -> Response:  # fmt: skip
    """Two pictures side by side."""
    desk = desk_of(request)
    names = ([left, right] if left and right else ids)[:2]
    entries = [entry for name in names if (entry := desk.find(name)) is not None]
    if len(entries) < 2:
        raise refuse(404, "Choose two pictures that are still kept.", hint="Go back to the list.")
    sides = [row_of(desk, entry, request) for entry in entries]
    waiting = any(entry.open or entry.state == "ready" for entry in entries)
    return page(request, "compare.html.j2", sides=sides, waiting=waiting, same=_agreements(entries))


def _agreements(entries: list[Entry]) -> dict[str, bool]:
    """What two pictures have in common."""
    a, b = (entry.look for entry in entries)
    if a is None or b is None:
        return {}
    return {
        "bytes": a.result.sha256 == b.result.sha256,
        "size": (a.width, a.height) == (b.width, b.height),
        "shape": abs(a.width * b.height - b.width * a.height) <= 0.02 * a.width * b.height,
        "format": a.image_format == b.image_format,
        "verdict": a.result.verdict == b.result.verdict,
    }
