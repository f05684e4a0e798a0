"""``countermark serve``: the page for people, the Soft Binding Resolution API, and the rest over HTTP."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import typer

from countermark.cli.logs import LOGGER, tell
from countermark.cli.output import PASS, say, wrong_usage
from countermark.core.errors import MissingExtraError


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("serve")(serve)


def serve(
    host: str = typer.Option("127.0.0.1", "--host", help="Address to listen on."),
    port: int = typer.Option(8722, "--port", min=0, max=65535, help="Port; 0 takes a free one."),
    repository: str | None = typer.Option(None, "--repository", help="Database URL; your own by default."),
    public: list[str] = typer.Option([], "--public", help="A scope that needs no token."),
    new_token: str | None = typer.Option(None, "--new-token", help="Make a token of this name and print it."),
    scope: list[str] = typer.Option(["verify", "scan"], "--scope", help="What the new token may do."),
    days: float | None = typer.Option(None, "--days", min=0, help="After how many days the token expires."),
    revoke_token: str | None = typer.Option(None, "--revoke-token", help="End the token of this name."),
    list_tokens: bool = typer.Option(False, "--list-tokens", help="List tokens: names, scopes, expiry."),
    certificate: Path | None = typer.Option(None, "--certificate", help="PEM file, for HTTPS."),
    key: Path | None = typer.Option(None, "--key", help="PEM file, for HTTPS."),
    page: str = typer.Option(
        "open", "--page", help="The page: open on this machine, token (always; behind a proxy), or off."
    ),
    identity: str = typer.Option("default", "--identity", help="Who signs unless another is chosen."),
    keep_minutes: float = typer.Option(
        15.0, "--keep-minutes", help="How long the page keeps a picture, in memory only."
    ),
) -> int:
    """Serve the page for people and the API (needs the extra 'serve')."""
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("fastapi", "serve") from error
    from countermark.app.service import tokens
    from countermark.app.service.server import run_service
    from countermark.app.service.settings import Settings

    if new_token is not None:
        typer.echo(tokens.create_token(new_token, scope, days=days))
        return PASS
    if revoke_token is not None:
        tokens.revoke_token(revoke_token)
        return PASS
    if list_tokens:
        for token in tokens.list_tokens():
            until = "expired" if token.expired else token.expires or "no end"
            say(f"{token.name:20} {' '.join(token.scopes)}  ({until})")
        return PASS
    with wrong_usage():
        settings = Settings(
            repository=repository,
            public=frozenset(public),
            identity=identity,
            page=page,  # type: ignore[arg-type]  # checked there
            keep_seconds=60 * keep_minutes,
        )
    terminal = sys.stderr.isatty()

    def started(address: str) -> None:
        what = f"Open {address} in a browser." if page != "off" else f"Listening at {address}"
        tell(what + (" Ctrl+C ends it." if terminal else ""))

    # Lines for machines stand in nobody's way where somebody sits at the terminal, unless asked for.
    talks = logging.getLogger(LOGGER).isEnabledFor(logging.INFO)
    level = logging.WARNING if terminal and not talks else logging.INFO
    run_service(host, port, settings=settings, certificate=certificate, key=key, started=started, level=level)
    return PASS
