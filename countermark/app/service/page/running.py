"""Routes for whoever runs the service: records, keys, an audit's report."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import TemplateError
from starlette.datastructures import UploadFile

from countermark.app.service.context import Shared
from countermark.app.service.errors import refuse
from countermark.app.service.page.common import (
    HEADERS,
    CanRead,
    CanRun,
    page,
    read_form,
    room_for,
)
from countermark.core.errors import CountermarkError

router = APIRouter(include_in_schema=False)
MAX_AUDIT_BYTES = 8 << 20


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


@router.post("/audit")
async def audit_report(request: Request, visitor: CanRun) -> Response:
    """Shows the JSON report of an audit as its HTML report; nothing of it is kept."""
    with room_for(request, visitor):
        file = (await read_form(request)).get("file")
        if not isinstance(file, UploadFile) or not file.filename:
            raise refuse(400, "No report was chosen.", hint="Choose the JSON report of an audit.")
        data = await file.read(MAX_AUDIT_BYTES + 1)
    if len(data) > MAX_AUDIT_BYTES:
        raise refuse(413, f"The report is larger than {MAX_AUDIT_BYTES:,} bytes.")
    context = request.app.state.context
    text, policy = await context.look_up(_audit_page, data)
    return HTMLResponse(text, headers=HEADERS | {"Content-Security-Policy": policy})


def _audit_page(data: bytes) -> tuple[str, str]:
    """The report as HTML and the policy that it comes with."""
    from countermark.reports import render
    from countermark.reports.documents import kind_of

    try:
        document = json.loads(data)
        if kind_of(document) != "audit":
            raise ValueError("another kind of report")
        text = render(document, "html")
    except (CountermarkError, ValueError, TypeError, KeyError, AttributeError, RecursionError, TemplateError):
        raise refuse(
            400,
            "This is not the JSON report of an audit.",
            hint="Make one with: countermark audit policy.toml --output json=audit.json",
        ) from None
    found = re.search(r"sha256-([A-Za-z0-9+/=]{44})", text)  # of its own style sheet, at the top
    assert found is not None
    return text, (
        f"default-src 'none'; img-src data:; style-src 'sha256-{found[1]}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
