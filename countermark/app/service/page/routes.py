"""The page's routes. All HTML is made on the server; scripts only save clicks and show progress."""

from __future__ import annotations

import json
import secrets
from contextlib import AbstractContextManager
from typing import Annotated, Any
from urllib.parse import unquote, urlencode

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException

from countermark.app.service.context import Shared, announced_size, busy
from countermark.app.service.errors import refuse
from countermark.app.service.lanes import FullError
from countermark.app.service.limits import UPLOAD_FACTOR
from countermark.app.service.page import views, words
from countermark.app.service.page.access import (
    COOKIE,
    SESSION_SECONDS,
    Visitor,
    check_origin,
    is_local,
    own_path,
    visit,
    visitor_of,
)
from countermark.app.service.page.catalogues import languages, negotiate
from countermark.app.service.page.desk import Desk, Entry
from countermark.app.service.page.unpack import pictures_in
from countermark.core.errors import CountermarkError, ImageError
from countermark.detectors.scoring.thresholds import WORKING_POINTS

router = APIRouter(include_in_schema=False)

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


# --- looking -------------------------------------------------------------------------------------


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
) -> Response:
    """Takes pictures in: the body as it is (scripts), or a form (without scripts)."""
    desk, plain = desk_of(request), not _is_form(request)
    beside = ""
    try:
        with _room(request, visitor):
            if plain:
                given = [(unquote(name), b"".join([part async for part in request.stream()]))]
            else:
                form = await _form(request)
                batch, beside = (str(form.get(each, ""))[:64] for each in ("batch", "with"))
                point = str(form.get("point", ""))
                files = [f for f in form.getlist("file") if isinstance(f, UploadFile) and f.filename]
                given = [(f.filename or "", await f.read()) for f in files]
            rate = WORKING_POINTS.get(point, WORKING_POINTS["default"])
            entries = _take(desk, given, visitor, batch, rate)
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
    desk: Desk, given: list[tuple[str, bytes]], visitor: Visitor, batch: str, rate: float
) -> list[Entry]:
    """Entries for what was handed in; a ZIP becomes one entry for each of its pictures."""
    settings = desk.context.settings
    batch = batch or secrets.token_urlsafe(18)
    entries = []
    for name, data in given:
        try:
            unpacked = pictures_in(
                data, max_bytes=settings.max_bytes, total_bytes=UPLOAD_FACTOR * settings.max_bytes
            )
            if unpacked is None:
                if len(data) > settings.max_bytes:
                    raise ImageError(
                        f"This file has {len(data):,} bytes; the limit is {settings.max_bytes:,}.",
                        code="image.too-large",
                    )
                entries.append(desk.submit(data, name, owner=visitor.owner, batch=batch, max_fpr=rate))
                continue
            if not unpacked.pictures:
                raise ImageError("There is no picture in this ZIP.", code="archive.empty")
            desk.note_left_out(batch, unpacked.left_out)
            for inner, content in unpacked.pictures:
                try:
                    entries.append(
                        desk.submit(content, inner, owner=visitor.owner, batch=batch, max_fpr=rate)
                    )
                except FullError:
                    desk.note_left_out(batch, {"too many": 1})
        except CountermarkError as error:
            entries.append(desk.refuse(name, error, owner=visitor.owner, batch=batch))
    return entries


def _room(request: Request, visitor: Visitor) -> AbstractContextManager[None]:
    """Holds a place for the bytes of an upload while it is read."""
    context = request.app.state.context
    size = announced_size(request, UPLOAD_FACTOR * context.settings.max_bytes)
    held: AbstractContextManager[None] = context.budget.hold(size, visitor.owner)
    return held


def _is_form(request: Request) -> bool:
    kind = request.headers.get("content-type", "").lower()
    return kind.startswith(("multipart/form-data", "application/x-www-form-urlencoded"))


async def _form(request: Request) -> FormData:
    try:
        return await request.form(max_files=MAX_FILES, max_fields=20)
    except MultiPartException as error:
        raise refuse(400, f"The form is not understood: {error.message}") from None


@router.get("/b/{batch}")
async def show_batch(request: Request, visitor: CanScan, batch: str) -> Response:
    """Several pictures at once; its list is fetched again by the page while some are open."""
    desk = desk_of(request)
    entries = desk.batch(batch)
    rows = [_row(desk, entry, request) for entry in entries]
    open_ = sum(entry.open for entry in entries)
    return page(
        request, "batch.html.j2", batch=batch, rows=rows, open=open_, left_out=desk.left_out(batch),
        status=200 if entries else 404,
    )  # fmt: skip


def _row(desk: Desk, entry: Entry, request: Request) -> dict[str, Any]:
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
        row["remarks"] = [t(remark) for remark in words.remarks(entry.look.verification)]
    return row


@router.get("/r/{name}")
async def show_result(request: Request, visitor: CanScan, name: str) -> Response:
    """One picture: waiting, failed, or its result."""
    desk, entry = desk_of(request), _entry(request, name)
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
    desk, entry = desk_of(request), _entry(request, name)
    t = views.translations(language_of(request)).gettext
    facts = {"state": entry.state, "stage": t(words.STAGES[entry.stage]), "before": desk.before(entry)}
    return JSONResponse(facts, headers={"Referrer-Policy": "same-origin"})


@router.get("/r/{name}/result.json")
async def fetch_json(request: Request, visitor: CanScan, name: str) -> Response:
    """The result for machines: a ``countermark.scan/1`` and a ``countermark.verify/1`` document."""
    entry = _looked(request, name)
    return Response(
        json.dumps(_documents(entry), indent=2, ensure_ascii=False) + "\n",
        media_type="application/json",
        headers=_download(entry, "json"),
    )


@router.get("/r/{name}/result.html")
async def fetch_html(request: Request, visitor: CanScan, name: str) -> Response:
    """The result as one file that loads nothing."""
    entry = _looked(request, name)
    text = views.standalone(entry, language_of(request))
    return HTMLResponse(text, headers=HEADERS | _download(entry, "html"))


@router.get("/r/{name}/signed")
async def fetch_signed(request: Request, visitor: CanSign, name: str) -> Response:
    """The signed file."""
    entry = _entry(request, name)
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
    data = _looked(request, name).look.pictures.get(picture)  # type: ignore[union-attr]
    if data is None:
        raise refuse(404, "There is no such picture.")
    kind = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
    headers = {"Cross-Origin-Resource-Policy": "same-origin", "Content-Security-Policy": "default-src 'none'"}
    return Response(data, media_type=kind, headers=headers)


def _entry(request: Request, name: str) -> Entry:
    entry = desk_of(request).find(name)
    if entry is None:
        raise refuse(
            404,
            "There is nothing under this link, or not any more.",
            code="page.gone",
            hint="Results are kept for a short time only; hand the picture in again.",
        )
    return entry


def _looked(request: Request, name: str) -> Entry:
    entry = _entry(request, name)
    if entry.look is None:
        raise refuse(404, "There is no result yet.", code="page.waiting", hint="Wait a moment.")
    return entry


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
    sides = [_row(desk, entry, request) for entry in entries]
    waiting = any(entry.open for entry in entries)
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


# --- signing -------------------------------------------------------------------------------------


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
        with _room(request, visitor):
            form = await _form(request)
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
    desk, entry = desk_of(request), _entry(request, name)
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
    desk, entry = desk_of(request), _entry(request, name)
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


# --- for whoever runs it -------------------------------------------------------------------------


@router.get("/records")
async def records(
    request: Request, context: Shared, visitor: CanRead, q: Annotated[str, Query(max_length=255)] = ""
) -> Response:
    """Records of signed pictures; ``q`` is a manifest id, a mark or a SHA-256."""
    repository = context.repository
    found, total, gone = await context.look_up(_search, repository, q.strip())
    return page(request, "records.html.j2", q=q.strip(), records=found, total=total, deletions=gone)


def _search(repository: Any, query: str) -> tuple[list[Any], int, list[Any]]:
    if not query:
        return repository.latest(50), len(repository), []
    if query.startswith(("urn:", "xmp:")):
        one = repository.by_manifest_id(query)
        return ([one] if one else []), len(repository), repository.deleted(query)
    text = query.lower()
    if all(letter in "0123456789abcdef" for letter in text) and len(text) % 2 == 0:
        found = repository.by_sha256(text) if len(text) == 64 else repository.by_payload(bytes.fromhex(text))
        return found, len(repository), []
    return [], len(repository), []


@router.get("/keys")
async def keys(request: Request, context: Shared, visitor: CanRun) -> Response:
    """Signing identities with their expiry, tokens, and what this service is set to."""
    identities, tokens, trust = await context.look_up(_keys, context.settings.tokens)
    return page(request, "keys.html.j2", identities=identities, tokens=tokens, trust=trust)


def _keys(token_file: Any) -> tuple[list[dict[str, Any]], list[Any], str]:
    from datetime import UTC, datetime

    from countermark.app.service.page.examine import _trust_name
    from countermark.app.service.tokens import list_tokens
    from countermark.provenance.identities.store import list_identities

    rows = []
    for record in list_identities():
        days = None
        if record.not_after:
            try:
                until = datetime.fromisoformat(record.not_after.replace("Z", "+00:00"))
                until = until if until.tzinfo else until.replace(tzinfo=UTC)
                days = (until - datetime.now(UTC)).days
            except ValueError:
                days = None
        rows.append({"record": record, "days": days})
    return rows, list_tokens(token_file), _trust_name()


# --- coming in, language, files ------------------------------------------------------------------


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
    form = await _form(request)
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


def error_page(request: Request, status: int, body: dict[str, str], headers: dict[str, str]) -> Response:
    """What a browser gets where other clients get JSON."""
    made = page(request, "error.html.j2", status=status, error=body, local=is_local(request))
    for name, value in headers.items():
        made.headers[name] = value
    return made
