"""What the service is told when it starts.

>>> Settings(max_bytes=1_000_000).limits.max_bytes
1000000
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from countermark.core.errors import ConfigError
from countermark.core.images import Limits

#: What a token may be allowed to do. The first is the name that the C2PA API gives.
SCOPES = {
    "fetch:manifests": "search and read manifests",
    "sign": "sign images with the service's identity",
    "verify": "verify images",
    "scan": "scan images",
    "metrics": "read the Prometheus metrics",
}


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
        body_seconds: Longest pause between two parts of a request body.
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
    body_seconds: float = 30.0
    grace_seconds: float = 30.0
    public_url: str | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.public) - set(SCOPES))
        if unknown:
            raise ConfigError(
                f"There is no scope {unknown[0]!r}.",
                code="service.scope",
                hint=f"Known: {', '.join(SCOPES)}.",
            )
        for name in ("max_bytes", "max_pixels", "rate", "burst", "workers", "body_seconds", "grace_seconds"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"The setting {name} must be above zero.", code="service.setting")

    @property
    def limits(self) -> Limits:
        """Bounds for the image gate."""
        return Limits(max_bytes=self.max_bytes, max_pixels=self.max_pixels)
