"""The service: the C2PA Soft Binding Resolution API, and signing, verifying and scanning over HTTP.

>>> from countermark.app.service import Settings, create_app
>>> app = create_app(Settings(repository="sqlite://"))
>>> sorted(route for route in app.openapi()["paths"] if "matches" in route)
['/v1/matches/byBinding', '/v1/matches/byContent']
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from countermark.app.service.factory import create_app
    from countermark.app.service.server import run_service
    from countermark.app.service.settings import SCOPES, Settings
    from countermark.app.service.tokens import create_token, list_tokens, revoke_token

__all__ = [
    "SCOPES",
    "Settings",
    "create_app",
    "create_token",
    "list_tokens",
    "revoke_token",
    "run_service",
]

_HOMES = {
    "SCOPES": "settings",
    "Settings": "settings",
    "create_app": "factory",
    "create_token": "tokens",
    "list_tokens": "tokens",
    "revoke_token": "tokens",
    "run_service": "server",
}


def __getattr__(name: str) -> Any:
    """Imports on first use; the web framework is an optional dependency."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from countermark.core.errors import MissingExtraError

    try:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name in ("fastapi", "starlette", "uvicorn", "prometheus_client"):
            raise MissingExtraError(str(error.name), "serve") from error
        raise
