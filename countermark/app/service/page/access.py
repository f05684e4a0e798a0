"""Who may use the page: everybody who sits at this machine, and elsewhere whoever has a token.

"At this machine" means that the connection comes from it *and* the browser asked for it by a loopback
name *and* no proxy says that it passed the request on: a foreign page cannot pose as it by giving its
own name this machine's address, and a proxy that says nothing of itself speaks HTTP/1.0, which no
browser does. Requests that change something must come from the page itself.
"""

from __future__ import annotations

import ipaddress
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import Depends, HTTPException, Request

from countermark.app.service.context import context_of
from countermark.app.service.errors import refuse
from countermark.app.service.tokens import Token, TokenStore

COOKIE = "countermark_session"
SESSION_SECONDS = 12 * 3600.0
MAX_SESSIONS = 1000

_PASSED_ON = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")


@dataclass(frozen=True)
class Visitor:
    """Who looks at the page: ``owner`` for turns and shares, and what they may do."""

    owner: str
    scopes: frozenset[str]
    local: bool
    token: str | None = None

    def may(self, scope: str) -> bool:
        return scope in self.scopes


LOCAL_SCOPES = frozenset({"scan", "verify", "sign", "fetch:manifests", "admin"})


class Sessions:
    """Browsers that have shown a token. Kept in memory: a restart asks for it again."""

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        self._secrets: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, secret: str) -> str | None:
        """A session for this token; None when the token is not known or has expired."""
        if not 1 <= len(secret) <= 200 or self._store.find(secret) is None:
            return None
        name = secrets.token_urlsafe(32)
        with self._lock:
            self._secrets[name] = (secret, time.monotonic() + SESSION_SECONDS)
            while len(self._secrets) > MAX_SESSIONS:
                self._secrets.popitem(last=False)
        return name

    def find(self, name: str) -> Token | None:
        """The token behind a session, as long as both last."""
        with self._lock:
            secret, until = self._secrets.get(name, ("", 0.0))
            if until <= time.monotonic():
                self._secrets.pop(name, None)
                return None
        return self._store.find(secret)

    def close(self, name: str) -> None:
        with self._lock:
            self._secrets.pop(name, None)


def is_local(request: Request) -> bool:
    """Whether the person sits at this machine; see the module's docstring."""
    client = request.client.host if request.client else ""
    if not _loopback(client) or request.scope.get("http_version") == "1.0":
        return False
    if any(name in request.headers for name in _PASSED_ON):
        return False
    return _loopback(urlsplit(f"//{request.headers.get('host', '')}").hostname or "")


def _loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def visitor_of(request: Request) -> Visitor | None:
    """Who asks; None for somebody who has shown nothing."""
    settings = context_of(request).settings
    if settings.page == "open" and is_local(request):
        host = request.client.host if request.client else "unknown"
        return Visitor(f"host {host}", LOCAL_SCOPES, local=True)
    sessions: Sessions = request.app.state.sessions
    token = getattr(request.state, "token", None) or sessions.find(request.cookies.get(COOKIE, ""))
    if token is not None:
        return Visitor(f"token {token.name}", frozenset(token.scopes), local=False, token=token.name)
    if settings.public:
        host = request.client.host if request.client else "unknown"
        return Visitor(f"host {host}", frozenset(settings.public), local=False)
    return None


def visit(*scopes: str) -> Any:
    """A dependency: the visitor, who must have all of these scopes."""

    def check(request: Request) -> Visitor:
        if request.method not in ("GET", "HEAD"):
            check_origin(request)
        visitor = visitor_of(request)
        if visitor is not None and all(map(visitor.may, scopes)):
            return visitor
        if request.method == "GET" and wants_page(request) and (visitor is None or visitor.token is None):
            where = quote(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
            raise HTTPException(303, "", {"Location": f"/enter?next={where}"})
        if visitor is None:
            raise refuse(401, "This needs a token.", hint="Open / and show one.")
        missing = next(scope for scope in scopes if not visitor.may(scope))
        raise refuse(403, f"This needs the scope {missing}.", hint="Ask whoever runs the service.")

    return Depends(check)


def check_origin(request: Request) -> None:
    """Refuses a request that another site's page has sent.

    Raises:
        HTTPException: 403 ``request.origin``.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    foreign = site is not None and site not in ("same-origin", "none")
    if origin is not None:
        foreign = foreign or urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()
    if foreign:
        raise refuse(403, "This request comes from another site.", code="request.origin")


def wants_page(request: Request) -> bool:
    """Whether a browser asks, which wants HTML."""
    return "text/html" in request.headers.get("accept", "")


def own_path(value: str) -> str:
    """A path of this service to go on to; ``/`` for anything else."""
    parts = urlsplit(value)
    fits = value.startswith("/") and not value.startswith(("//", "/\\")) and not parts.netloc
    return value if fits and value.isprintable() else "/"
