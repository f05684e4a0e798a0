"""What uvicorn leaves open: time-outs for request heads, stalled readers, and a bound on connections.

A head that never ends, an answer that nobody reads and a body that trickles each hold a connection.
One look at all connections every half second ends those, and where the bound is reached the one that
has waited longest without a request makes room, so that half-open connections shut nobody out.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 2\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s"
)
_BODY = b'{"code": "service.busy", "detail": "Too many connections.", "hint": "Try again shortly."}'
_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s"
)
_SLOW_BODY = b'{"code": "request.slow", "detail": "The head of the request came too slowly.", "hint": ""}'


class GuardedProtocol(H11Protocol):
    """HTTP/1.1 with the bounds of ``GuardedServer``, which sets the three class attributes."""

    max_connections = 512
    head_seconds = 10.0
    send_seconds = 30.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.waiting_since: float | None = None
        self.begun = False  # whether part of a head has come
        self._unsent = 0
        self._unsent_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.waiting_since = time.monotonic()
        if len(self.connections) > self.max_connections and not self._make_room():
            transport.write(_BUSY % (len(_BODY), _BODY))
            transport.close()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._answering():
            self.waiting_since = None
        else:
            self.begun = True
            if self.waiting_since is None:
                self.waiting_since = time.monotonic()

    def on_response_complete(self) -> None:
        self.waiting_since = time.monotonic()
        self.begun = False
        super().on_response_complete()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _make_room(self) -> bool:
        """Ends the connection that has been without a request for longest; False if there is none."""
        idle = [
            each
            for each in self.connections
            if isinstance(each, GuardedProtocol)
            and each is not self
            and each.waiting_since is not None
            and not each.transport.is_closing()
        ]
        if not idle:
            return False
        min(idle, key=lambda each: each.waiting_since or 0.0).transport.abort()
        return True

    def check(self, now: float) -> None:
        """Ends this connection if it has overstepped a time; called for all of them twice a second."""
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent or not unsent:
            self._unsent, self._unsent_since = unsent, now
        elif now - self._unsent_since > self.send_seconds:
            self.transport.abort()
            return
        if self.waiting_since is None or self.transport.is_closing():
            return
        if now - self.waiting_since > self.head_seconds and (self.begun or self.cycle is None):
            if self.begun and self.conn.our_state is h11.IDLE:
                self.transport.write(_SLOW % (len(_SLOW_BODY), _SLOW_BODY))
            self.transport.close()


class GuardedServer(uvicorn.Server):
    """uvicorn's server, which also looks after its connections."""

    @staticmethod
    def configure(
        app: Any,
        *,
        http: type[GuardedProtocol],
        grace_seconds: float,
        certificate: str | None = None,
        key: str | None = None,
    ) -> uvicorn.Config:
        """uvicorn's settings, but for the address: the socket is handed over when it runs."""
        return uvicorn.Config(
            app,
            http=http,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=max(1, round(grace_seconds)),
            h11_max_incomplete_event_size=32 * 1024,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )

    async def on_tick(self, counter: int) -> bool:
        if counter % 5 == 0:
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                if isinstance(connection, GuardedProtocol):
                    connection.check(now)
        return await super().on_tick(counter)


def guarded(max_connections: int, head_seconds: float, send_seconds: float) -> type[GuardedProtocol]:
    """A protocol class with these bounds."""
    bounds = {
        "max_connections": max_connections,
        "head_seconds": head_seconds,
        "send_seconds": send_seconds,
    }
    return type("GuardedProtocol", (GuardedProtocol,), bounds)
