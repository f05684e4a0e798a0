"""Runs the service with uvicorn until it is told to stop, and lets running requests finish.

>>> run_service("127.0.0.1", 8722)  # doctest: +SKIP
"""

from __future__ import annotations

from pathlib import Path

from countermark.app.service.factory import create_app
from countermark.app.service.observe import log_to
from countermark.app.service.settings import Settings


def run_service(
    host: str = "127.0.0.1",
    port: int = 8722,
    *,
    settings: Settings | None = None,
    certificate: Path | str | None = None,
    key: Path | str | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT; then takes no new requests and finishes those that run.

    Args:
        host: Address to listen on; the default is reachable from this machine only.
        port: Port; 0 picks a free one, which the log names.
        settings: See ``Settings``.
        certificate, key: PEM files for HTTPS. Without them put a proxy in front that does it.
    """
    import uvicorn

    settings = settings or Settings()
    log_to()
    config = uvicorn.Config(
        create_app(settings),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=max(1, round(settings.grace_seconds)),
        h11_max_incomplete_event_size=32 * 1024,
        ssl_certfile=None if certificate is None else str(certificate),
        ssl_keyfile=None if key is None else str(key),
    )
    uvicorn.Server(config).run()
