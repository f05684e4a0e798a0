"""What the service is told when it starts.

>>> Settings(max_bytes=1_000_000).limits.max_bytes
1000000
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from countermark.core.configuration import choice
from countermark.core.errors import ConfigError, known_names
from countermark.core.images import Limits

#: What a token may be allowed to do. The first is the name that the C2PA API gives.
SCOPES = {
    "fetch:manifests": "search and read manifests",
    "sign": "sign images with the service's identity",
    "verify": "verify images",
    "scan": "scan images",
    "metrics": "read the Prometheus metrics",
    "admin": "see keys, tokens and settings on the page",
}


_ABOVE_ZERO = (
    "max_bytes max_pixels rate burst workers waiting_bytes connections head_seconds body_seconds body_rate "
    "send_seconds keep_seconds keep_bytes grace_seconds"
).split()


@dataclass(frozen=True)
class Settings:
    """Settings of one service.

    Attributes:
        repository: Database URL of the manifest repository; None for the default one.
        tokens: File of token digests; None for ``tokens.json`` in the configuration folder.
        public: Scopes that need no token. Empty: everything but health and discovery needs one.
        identity: Name of the identity that signs.
        max_bytes: Largest request body.
        max_pixels: Largest image.
        rate: Requests a second that one client may keep up.
        burst: Requests that one client may make at once.
        workers: Images that are worked on at the same time.
        queue: Images that may wait for a worker; more are turned away with 503.
        waiting_bytes: Bytes of request bodies that may be held at once; one client gets half.
        connections: Connections at once; beyond it, one that waits for a request is closed.
        head_seconds: Longest time that the head of a request may take.
        body_seconds: Longest pause between two parts of a request body.
        body_rate: Bytes a second that a body must keep up after its first ``body_seconds``.
        send_seconds: Longest time that a client may read nothing of its answer.
        warm: Load and try everything at the start; until then ``/readyz`` says so.
        page: ``open``: the page for people needs no token on this machine; ``token``: it always
            does, for services behind a proxy; ``off``: there is none.
        keep_seconds: How long the page keeps a picture and its result, in memory only.
        keep_bytes: Bytes of pictures and results that the page keeps; the oldest go first.
        grace_seconds: Time that running requests get when the service is stopped.
        public_url: Address under which clients reach the service, for the discovery document;
            None: as they called it.
    """

    repository: str | None = None
    tokens: Path | None = None
    public: frozenset[str] = frozenset()
    identity: str = "default"
    max_bytes: int = 32 * 1024 * 1024
    max_pixels: int = 50_000_000
    rate: float = 10.0
    burst: int = 40
    workers: int = os.cpu_count() or 1
    queue: int = 64
    waiting_bytes: int = 256 * 1024 * 1024
    connections: int = 512
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    body_rate: float = 64 * 1024
    send_seconds: float = 30.0
    warm: bool = True
    page: Literal["open", "token", "off"] = "open"
    keep_seconds: float = 900.0
    keep_bytes: int = 384 * 1024 * 1024
    grace_seconds: float = 30.0
    public_url: str | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.public) - set(SCOPES))
        if unknown:
            raise ConfigError(
                f"There is no scope {unknown[0]!r}.",
                code="service.scope",
                hint=known_names(unknown[0], SCOPES),
            )
        if self.page not in ("open", "token", "off"):
            raise choice("The settings of the service", "page", self.page, ("open", "token", "off"))
        for name in _ABOVE_ZERO:
            if not getattr(self, name) > 0:
                raise ConfigError(f"The setting {name} must be above zero.", code="service.setting")

    @property
    def limits(self) -> Limits:
        """Bounds for the image gate."""
        return Limits(max_bytes=self.max_bytes, max_pixels=self.max_pixels)
