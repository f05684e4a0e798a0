"""Puts the service together.

>>> app = create_app(Settings(repository="sqlite://"))
>>> app.title
'Countermark'
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from countermark.app.service import errors, health, images, resolution
from countermark.app.service.context import Context
from countermark.app.service.limits import Limited
from countermark.app.service.observe import Observed
from countermark.app.service.page import routes as page
from countermark.app.service.page.access import Sessions
from countermark.app.service.page.desk import Desk
from countermark.app.service.settings import Settings
from countermark.app.service.tokens import TokenStore
from countermark.core.version import VERSION

_ABOUT = (
    "Finds, signs, verifies and scans images. The routes under /v1/matches, /v1/manifests and "
    "/v1/services are the C2PA Soft Binding Resolution API."
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The ASGI application; opens the repository at once, so that a wrong address shows early.

    Raises:
        ConfigError: a setting, the repository's address or the token file is wrong.
        ProvenanceError: the repository cannot be opened.
    """
    settings = settings or Settings()
    context = Context(settings)
    tokens = TokenStore(settings.tokens)
    desk = Desk(context)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        context.warming = settings.warm
        warming = asyncio.create_task(context.warm())
        sweeping = asyncio.create_task(desk.sweep())
        yield
        context.stopping.set()
        sweeping.cancel()
        await desk.close()
        await warming
        context.close()

    # The documentation pages load scripts from elsewhere, so only the description is served.
    app = FastAPI(
        title="Countermark",
        description=_ABOUT,
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.context = context
    app.state.desk = desk
    app.state.sessions = Sessions(tokens)
    routers = [resolution.router, images.router, health.router]
    if settings.page != "off":
        routers += page.ROUTERS
    errors.install(app, routers, page=None if settings.page == "off" else page.error_page)
    for router in routers:
        app.include_router(router)
    app.add_middleware(Limited, settings=settings, tokens=tokens)
    app.add_middleware(Observed, metrics=context.metrics)
    app.openapi = lambda: _description(app)  # type: ignore[method-assign]
    return app


def _description(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description; invalid requests are answered 400, so 422 is taken out."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        for methods in schema["paths"].values():
            for operation in methods.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(name, None)
        app.openapi_schema = schema
    return app.openapi_schema
