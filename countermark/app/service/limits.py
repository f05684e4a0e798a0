"""Bounds that hold before anything is read: body size, body speed, requests a second.

Written as plain ASGI, so that a body that is too large is refused by its announced length, and one
that lies about its length is cut off where the limit is.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from countermark.app.service.errors import refuse
from countermark.app.service.settings import Settings
from countermark.app.service.tokens import TokenStore
from countermark.core.errors import ConfigError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Bodies of routes that take JSON.
MAX_JSON_BYTES = 64 * 1024
#: Routes that take an image.
IMAGE_ROUTES = frozenset({"/v1/matches/byContent", "/v1/sign", "/v1/verify", "/v1/scan"})
#: Routes of the page that take pictures, several at once or a ZIP.
UPLOAD_ROUTES = frozenset({"/look", "/sign", "/compare"})
#: So many times the largest picture may come in one upload of the page.
UPLOAD_FACTOR = 4
#: Never limited: whoever watches over the service must always get an answer.
FREE_ROUTES = frozenset({"/healthz", "/readyz", "/metrics"})
#: Nor are what a page is made of and results that are read again while they grow.
FREE_PREFIXES = ("/static/", "/r/", "/b/")

LOG = logging.getLogger("countermark.service")

_MAX_CLIENTS = 10_000


class RateLimiter:
    """A token bucket for each client; the clients seen longest ago are forgotten first.

    >>> clock = iter([0.0, 0.0, 0.0, 1.0]).__next__
    >>> limiter = RateLimiter(rate=1, burst=2, clock=clock)
    >>> [limiter.wait("a"), limiter.wait("a"), limiter.wait("a"), limiter.wait("a")]
    [0.0, 0.0, 1.0, 0.0]
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self.burst = burst
        self._clock = clock
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> float:
        """Takes one request from the client's bucket; 0, or the seconds until there is one."""
        now = self._clock()
        level, last = self._clients.pop(client, (float(self.burst), now))
        level = min(float(self.burst), level + (now - last) * self.rate)
        allowed = level >= 1
        self._clients[client] = (level - 1 if allowed else level, now)
        if len(self._clients) > _MAX_CLIENTS:
            self._clients.popitem(last=False)
        return 0.0 if allowed else (1 - level) / self.rate


class Limited:
    """Middleware with all bounds; also finds out whose token a request carries."""

    def __init__(self, app: Application, settings: Settings, tokens: TokenStore) -> None:
        self.app = app
        self.settings = settings
        self.tokens = tokens
        self.limiter = RateLimiter(settings.rate, settings.burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"]}
        state = scope.setdefault("state", {})
        try:
            state["token"] = self._token(headers.get(b"authorization", b""))
        except ConfigError as broken:  # the file was good at the start and is not now: nobody gets in
            LOG.error("token-file", extra={"facts": {"problem": broken.message}})
            refusal = refuse(503, "The service cannot read its tokens.", code=broken.code, Retry_After="30")
            await _answer(send, refusal)
            return
        path = scope["path"]
        free = path in FREE_ROUTES or (scope["method"] == "GET" and path.startswith(FREE_PREFIXES))
        if not free:
            token = state["token"]
            host = scope["client"][0] if scope.get("client") else "unknown"
            pause = self.limiter.wait(f"token {token.name}" if token else f"host {host}")
            if pause > 0:
                seconds = str(max(1, int(pause + 0.999)))
                error = refuse(429, "Too many requests.", hint=f"Wait {seconds} s.", Retry_After=seconds)
                await _answer(send, error)
                return
        limit = self._limit(path)
        announced = headers.get(b"content-length", b"0")
        if not announced.isdigit() or int(announced[:20]) > limit:
            await _answer(send, _too_large(limit))
            return
        settings = self.settings
        await self.app(scope, _Counted(receive, limit, settings.body_seconds, settings.body_rate), send)

    def _limit(self, path: str) -> int:
        if path in UPLOAD_ROUTES:
            return UPLOAD_FACTOR * self.settings.max_bytes
        return self.settings.max_bytes if path in IMAGE_ROUTES else MAX_JSON_BYTES

    def _token(self, header: bytes) -> Any:
        kind, _, secret = header.partition(b" ")
        if kind.lower() != b"bearer" or not 1 <= len(secret) <= 200:
            return None
        return self.tokens.find(secret.strip().decode("latin-1"))


class _Counted:
    """Passes a body on, part by part, until it is larger or slower than allowed.

    No pause may last longer than ``seconds``, and the whole may take so long and as long as its bytes
    take at ``rate`` bytes a second: a byte now and then keeps nothing open.
    """

    def __init__(self, receive: Receive, limit: int, seconds: float, rate: float) -> None:
        self.receive = receive
        self.limit = limit
        self.seconds = seconds
        self.rate = rate
        self.seen = 0
        self.done = False
        self.started = time.monotonic()

    async def __call__(self) -> Message:
        if self.done:  # only a disconnect can follow, and that may take as long as it likes
            return await self.receive()
        left = self.started + self.seconds + self.seen / self.rate - time.monotonic()
        try:
            message = await asyncio.wait_for(self.receive(), max(0.0, min(self.seconds, left)))
        except TimeoutError:
            raise refuse(408, "The request body came too slowly.", Connection="close") from None
        if message["type"] == "http.request":
            self.seen += len(message.get("body", b""))
            self.done = not message.get("more_body", False)
            if self.seen > self.limit:
                raise _too_large(self.limit)
        return message


def _too_large(limit: int) -> Any:
    return refuse(413, f"The request body is larger than {limit:,} bytes.", Connection="close")


async def _answer(send: Send, error: Any) -> None:
    body = json.dumps(error.detail).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **(error.headers or {})}
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status_code, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
