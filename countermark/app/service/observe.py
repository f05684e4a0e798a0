"""What the service tells about itself: one JSON line a request, and Prometheus metrics.

Neither holds query strings, bodies, addresses of images or tokens: only the token's name.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import sys
import time
from datetime import UTC, datetime
from typing import Any, TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.requests import ClientDisconnect

from countermark.app.service.limits import Application, Message, Receive, Scope, Send

LOGGER = "countermark.service"
#: What the log and the metrics say of a client that did not wait for its answer; it is never sent.
HUNG_UP = 499

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The service's own registry, so that several services in one process stay apart."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "countermark_requests_total",
            "Requests by route and status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "countermark_request_seconds",
            "Time to answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.received = Counter(
            "countermark_received_bytes_total", "Bytes of request bodies.", registry=self.registry
        )
        self.running = Gauge("countermark_requests_running", "Requests in progress.", registry=self.registry)
        self.matches = Counter(
            "countermark_matches_total", "Manifests found, by the way.", ["method"], registry=self.registry
        )
        self.signed = Counter("countermark_signed_total", "Images signed.", registry=self.registry)
        self.scanned = Counter(
            "countermark_scanned_total", "Images scanned, by verdict.", ["verdict"], registry=self.registry
        )


class Observed:
    """Outermost middleware: request id, log line, metrics."""

    def __init__(self, app: Application, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics
        self.logger = logging.getLogger(LOGGER)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        asked = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        name = asked if _REQUEST_ID.fullmatch(asked) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = name
        seen = {"status": 0, "bytes": 0}
        started = time.perf_counter()

        async def counted() -> Message:
            message = await receive()
            seen["bytes"] += len(message.get("body", b""))
            return message

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                given = message.get("headers", [])
                added = [(b"x-request-id", name.encode()), (b"x-content-type-options", b"nosniff")]
                if not any(key == b"cache-control" for key, _ in given):
                    added.append((b"cache-control", b"no-store"))
                message["headers"] = [*given, *added]
            await send(message)

        self.metrics.running.inc()
        try:
            await self.app(scope, counted, noted)
        except ClientDisconnect:
            seen["status"] = HUNG_UP
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():  # the server stops
                raise
            seen["status"] = HUNG_UP  # only the work was: nobody waited for it any more
        except Exception:
            self.logger.exception("failure", extra={"facts": {"request": name}})
            if seen["status"]:  # the answer has begun: all that is left is to break it off
                raise
            await _apologise(noted)
        finally:
            self.metrics.running.dec()
            self._note(scope, name, seen, time.perf_counter() - started)

    def _note(self, scope: Scope, name: str, seen: dict[str, int], seconds: float) -> None:
        # Paths that no route knows are put together: a scanner must not fill the memory.
        route = getattr(scope.get("route"), "path", None) or "unknown"
        method = scope["method"] if scope["method"] in ("GET", "POST", "HEAD", "DELETE", "PUT") else "other"
        self.metrics.requests.labels(method, route, str(seen["status"])).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        self.metrics.received.inc(seen["bytes"])
        token = scope.get("state", {}).get("token")
        facts: dict[str, Any] = {
            "request": name,
            "method": method,
            "route": route,
            "status": seen["status"],
            "ms": round(1000 * seconds, 1),
            "bytes": seen["bytes"],
            "client": scope["client"][0] if scope.get("client") else None,
            "token": token.name if token else None,
        }
        # 503 is said on purpose, and often: nothing is broken.
        level = logging.ERROR if seen["status"] >= 500 and seen["status"] != 503 else logging.INFO
        self.logger.log(level, "request", extra={"facts": facts})


async def _apologise(send: Send) -> None:
    facts = {"code": "service.failure", "detail": "The service failed.", "hint": "The log says why."}
    body = json.dumps(facts).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, event, and the facts of a request."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": moment, "level": record.levelname.lower(), "logger": record.name}
        line["event"] = record.getMessage()
        line |= getattr(record, "facts", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


def log_to(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Sends the service's and the server's log as JSON lines to ``stream`` (standard error)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in (LOGGER, "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
    logging.getLogger("uvicorn.access").handlers = []
    logging.getLogger("uvicorn.access").propagate = False
