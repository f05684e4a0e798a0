"""What all routes share: repository, detector, workers, metrics; and who may call them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import UploadFile

from countermark.app.service.errors import refuse
from countermark.app.service.lanes import Budget, FullError, Lane
from countermark.app.service.observe import LOGGER, Metrics
from countermark.app.service.settings import SCOPES, Settings
from countermark.core.errors import CountermarkError
from countermark.provenance.repository import Repository, open_repository

T = TypeVar("T")

#: Look-ups in the repository run beside the pictures; they take milliseconds.
LOOKUP_WORKERS, LOOKUP_QUEUE = 4, 256
#: How long an answer of the repository stands for ``/readyz``, and how long one is waited for.
ALIVE_SECONDS, ALIVE_PATIENCE = 1.0, 2.0

_bearer = HTTPBearer(auto_error=False, description="A token made with `countermark serve --new-token`.")


class Context:
    """The parts of one service, made once and shared by all requests."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.repository: Repository = open_repository(settings.repository)
        self.lane = Lane(workers=settings.workers, queue=settings.queue)
        self.budget = Budget(settings.waiting_bytes)
        self.warming = False
        self.stopping = threading.Event()
        self._detector: Any = None
        self._detector_lock = threading.Lock()
        self._lookups: anyio.CapacityLimiter | None = None
        self._looking = 0
        self._alive: tuple[float, bool] | None = None
        self._asking: asyncio.Task[bool] | None = None

    def close(self) -> None:
        self.lane.close()
        self.repository.close()

    async def warm(self) -> None:
        """Does everything once that the first request would wait for; a failure shows at ``/readyz``."""
        with contextlib.suppress(CountermarkError):
            await anyio.to_thread.run_sync(self.repository.warm)
        if self.settings.warm:
            from countermark.app.service.work import rehearse

            try:
                await self.lane.run(rehearse, self, owner="warm-up")
            except Exception:  # whatever it is, requests will meet it, and say so
                logging.getLogger(LOGGER).exception("warm-up")
        self.warming = False

    def alive(self) -> bool:
        """Whether the repository answers."""
        try:
            self.repository.by_sha256("0" * 64)
        except CountermarkError:
            return False
        return True

    async def ready(self) -> bool:
        """``alive``, asked at most once a second whoever asks, and never behind anybody's pictures."""
        if self._alive is not None and time.monotonic() - self._alive[0] < ALIVE_SECONDS:
            return self._alive[1]
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        try:
            return await asyncio.wait_for(asyncio.shield(self._asking), ALIVE_PATIENCE)
        except TimeoutError:
            return False

    async def _ask(self) -> bool:
        # A thread of its own: one that hangs holds up nobody else.
        found = await anyio.to_thread.run_sync(
            self.alive, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1)
        )
        self._alive = (time.monotonic(), found)
        return found

    def detector(self) -> Any:
        """The default detector, loaded when it is first asked for."""
        with self._detector_lock:
            if self._detector is None:
                from countermark.detectors import load_detector

                self._detector = load_detector("default")
            return self._detector

    async def work(self, request: Request, task: Callable[..., T], *arguments: Any) -> T:
        """Runs a task about a picture when its turn has come; 503 when too many wait already."""
        try:
            return await self.lane.run(
                task, *arguments, owner=owner_of(request), gone=request.is_disconnected
            )
        except FullError as error:
            raise busy(error) from None

    async def look_up(self, task: Callable[..., T], *arguments: Any) -> T:
        """Runs a look-up in the repository, beside the pictures; 503 when too many wait already."""
        if self._lookups is None:
            self._lookups = anyio.CapacityLimiter(LOOKUP_WORKERS)
        if self._looking >= LOOKUP_WORKERS + LOOKUP_QUEUE:
            raise busy(FullError())
        self._looking += 1
        try:
            return await anyio.to_thread.run_sync(task, *arguments, limiter=self._lookups)
        finally:
            self._looking -= 1

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The image that a request carries: its body, or the first file of a form.

        Nothing is read while the queue is full, and what is read counts against the bytes that may
        wait until the caller is done with it.
        """
        if self.lane.full:
            raise busy(FullError())
        size, owner = announced_size(request, self.settings.max_bytes), owner_of(request)
        try:
            self.budget.take(size, owner)
        except FullError as error:
            raise busy(error) from None
        try:
            yield await read_body(request)
        finally:
            self.budget.give(size, owner)


def busy(error: FullError) -> Exception:
    """The refusal when there is no place left."""
    return refuse(503, "All workers are busy.", hint="Try again shortly.", Retry_After=str(error.seconds))


def owner_of(request: Request) -> str:
    """Whose request it is, for turns and shares: a token, or an address."""
    token = getattr(request.state, "token", None)
    if token is not None:
        return f"token {token.name}"
    return f"host {request.client.host if request.client else 'unknown'}"


def announced_size(request: Request, otherwise: int) -> int:
    """Bytes that the body will have at most: as announced, or the most that is allowed."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdigit() else otherwise


def context_of(request: Request) -> Context:
    """The context of the service that answers this request."""
    context: Context = request.app.state.context
    return context


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
    """The whole body, or the first file of a form; the middleware has bounded it."""
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return await _read_form(request)
    body = b"".join([part async for part in request.stream()])
    if not body:
        raise refuse(415, "The request has no body.", hint="Send the bytes of an image as the body.")
    return body


async def _read_form(request: Request) -> bytes:
    async with request.form(max_files=1, max_fields=10) as form:
        for value in form.values():
            if isinstance(value, UploadFile):
                return await value.read()
    raise refuse(415, "The form holds no file.", hint="Send one, as with: curl -F file=@photo.jpg")


def image_body(description: str) -> dict[str, Any]:
    """OpenAPI description of a route that takes an image as its body."""
    binary = {"schema": {"type": "string", "format": "binary", "description": description}}
    kinds = ("image/jpeg", "image/png", "image/webp", "image/avif", "image/tiff", "application/octet-stream")
    content: dict[str, Any] = dict.fromkeys(kinds, binary)
    form = {"type": "object", "required": ["file"], "properties": {"file": binary["schema"]}}
    content["multipart/form-data"] = {"schema": form}
    return {"requestBody": {"required": True, "content": content}}
