"""What all routes share: repository, detector, workers, metrics; and who may call them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from countermark.app.service.errors import refuse
from countermark.app.service.observe import Metrics
from countermark.app.service.settings import SCOPES, Settings
from countermark.core.errors import CountermarkError
from countermark.provenance.repository import Repository, open_repository

T = TypeVar("T")

_bearer = HTTPBearer(auto_error=False, description="A token made with `countermark serve --new-token`.")


class Context:
    """The parts of one service, made once and shared by all requests."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.repository: Repository = open_repository(settings.repository)
        self._detector: Any = None
        self._detector_lock = threading.Lock()
        self._limiter: anyio.CapacityLimiter | None = None
        self._waiting = 0

    def close(self) -> None:
        self.repository.close()

    async def warm(self) -> None:
        """Loads the fingerprints before they are first asked for; a failure shows at ``/readyz``."""
        with contextlib.suppress(CountermarkError):
            await anyio.to_thread.run_sync(self.repository.warm)

    def alive(self) -> bool:
        """Whether the repository answers."""
        try:
            self.repository.by_sha256("0" * 64)
        except CountermarkError:
            return False
        return True

    def detector(self) -> Any:
        """The default detector, loaded when it is first asked for."""
        with self._detector_lock:
            if self._detector is None:
                from countermark.detectors import load_detector

                self._detector = load_detector("default")
            return self._detector

    async def work(self, task: Callable[..., T], *arguments: Any) -> T:
        """Runs a task on a worker thread; 503 when too many are waiting already."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self.settings.workers)
        if self._waiting >= self.settings.workers + self.settings.queue:
            raise refuse(503, "All workers are busy.", hint="Try again shortly.", Retry_After="2")
        self._waiting += 1
        try:
            return await anyio.to_thread.run_sync(task, *arguments, limiter=self._limiter)
        finally:
            self._waiting -= 1


def context_of(request: Request) -> Context:
    """The context of the service that answers this request."""
    return request.app.state.context


Shared = Annotated[Context, Depends(context_of)]


def require(scope: str) -> Any:
    """A dependency that lets a request in when its token (or everybody) has the scope.

    It runs before the body of an image route is read.
    """
    if scope not in SCOPES:
        raise ValueError(scope)

    def check(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]) -> None:
        token = getattr(request.state, "token", None)
        if scope in context_of(request).settings.public:
            return
        if token is None:
            raise refuse(
                401,
                "This needs a token.",
                hint="Send it as 'Authorization: Bearer …'.",
                WWW_Authenticate="Bearer",
            )
        if scope not in token.scopes:
            raise refuse(403, f"The token {token.name!r} does not have the scope {scope}.")

    return Depends(check)


async def read_body(request: Request) -> bytes:
    """The whole body; the middleware has bounded it."""
    parts = [part async for part in _parts(request)]
    body = b"".join(parts)
    if not body:
        raise refuse(415, "The request has no body.", hint="Send the bytes of an image as the body.")
    return body


async def _parts(request: Request) -> AsyncIterator[bytes]:
    async for part in request.stream():
        yield part


def image_body(description: str) -> dict[str, Any]:
    """OpenAPI description of a route that takes an image as its body."""
    binary = {"schema": {"type": "string", "format": "binary", "description": description}}
    kinds = ("image/jpeg", "image/png", "image/webp", "image/avif", "image/tiff", "application/octet-stream")
    return {"requestBody": {"required": True, "content": {kind: binary for kind in kinds}}}
