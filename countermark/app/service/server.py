"""Runs the service with uvicorn until it is told to stop, and lets running requests finish.

>>> run_service("127.0.0.1", 8722)  # doctest: +SKIP
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from countermark.app.service.factory import create_app
from countermark.app.service.observe import LOGGER, log_to
from countermark.app.service.settings import Settings
from countermark.app.service.tokens import list_tokens
from countermark.app.service.work import sweep
from countermark.core.errors import ConfigError


def run_service(
    host: str = "127.0.0.1",
    port: int = 8722,
    *,
    settings: Settings | None = None,
    certificate: Path | str | None = None,
    key: Path | str | None = None,
    started: Callable[[str], None] | None = None,
    level: int = logging.INFO,
) -> None:
    """Serves until SIGTERM or SIGINT; then takes no new requests and finishes those that run.

    Args:
        host: Address to listen on; the default is reachable from this machine only.
        port: Port; 0 picks a free one, which the log names.
        settings: See ``Settings``.
        certificate, key: PEM files for HTTPS. Without them put a proxy in front that does it.
        started: Told the address, once it is listened on.
        level: The least that is logged, as JSON lines on standard error.

    Raises:
        ConfigError: before anything is served: ``service.certificate``, ``service.port``,
            ``service.host``, ``token.file`` or a wrong setting.
        ProvenanceError: the repository cannot be opened.
    """
    from countermark.app.service.protocol import GuardedServer, guarded

    settings = settings or Settings()
    _check_certificate(certificate, key)
    list_tokens(settings.tokens)
    with _listen(host, port) as listener:
        app = create_app(settings)
        sweep()
        log_to(level=level)
        config = GuardedServer.configure(
            app,
            http=guarded(settings.connections, settings.head_seconds, settings.send_seconds),
            grace_seconds=settings.grace_seconds,
            certificate=None if certificate is None else str(certificate),
            key=None if key is None else str(key),
        )
        address = f"{'http' if certificate is None else 'https'}://{_shown(listener)}/"
        logging.getLogger(LOGGER).info("listening", extra={"facts": {"address": address}})
        if started is not None:
            started(address)
        GuardedServer(config).run(sockets=[listener])


def _check_certificate(certificate: Path | str | None, key: Path | str | None) -> None:
    """Reads both files as the server will, so that what is wrong with them is said before it starts."""
    if certificate is None and key is None:
        return
    if certificate is None or key is None:
        missing, given = ("certificate", "key") if certificate is None else ("key", "certificate")
        raise ConfigError(
            f"HTTPS needs a {missing} beside the {given}.",
            code="service.certificate",
            hint="Give both --certificate and --key, or neither.",
        )
    for path in (certificate, key):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be read: {error.strerror or error}.", code="service.certificate"
            ) from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"{certificate} and {key} are no certificate with its key ({error}).",
            code="service.certificate",
            hint="Both must be PEM, and the key without a passphrase.",
        ) from error


def _listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address, so that a port that is taken is said before anything is loaded."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{host!r} is no address of this machine.", code="service.host") from error
    family, _, _, _, address = found[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"Port {port} of {host} is taken.",
                code="service.port",
                hint="Another service runs there; choose another with --port.",
            ) from error
        if error.errno == errno.EACCES:
            raise ConfigError(
                f"Port {port} may not be opened.", code="service.port", hint="Choose one above 1023."
            ) from error
        raise ConfigError(
            f"{host} cannot be listened on: {error.strerror or error}.", code="service.host"
        ) from error
    return listener


def _shown(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ipaddress.ip_address(host).version == 6 else f"{host}:{port}"
