"""Tokens with scopes. Only digests are stored, so that the file gives nobody access.

>>> import tempfile, pathlib
>>> path = pathlib.Path(tempfile.mkdtemp()) / "tokens.json"
>>> token = create_token("newsroom", ["verify", "scan"], path=path)
>>> sorted(TokenStore(path).find(token).scopes)
['scan', 'verify']
>>> TokenStore(path).find("cm_guess") is None
True

A token holds 256 random bits, so one pass of SHA-256 is enough: there is nothing to guess that a
slow hash would protect.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from countermark.app.service.settings import SCOPES
from countermark.core.errors import ConfigError, known_names
from countermark.core.files import atomic_write, config_dir, private_dir

PREFIX = "cm_"
MAX_TOKENS = 10_000
MAX_FILE_BYTES = 8 * 1024 * 1024

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Token:
    """A token as it is stored: its name, digest and scopes; times in ISO 8601, UTC."""

    name: str
    sha256: str
    scopes: tuple[str, ...]
    created: str
    expires: str | None = None

    @property
    def expired(self) -> bool:
        return self.expires is not None and datetime.fromisoformat(self.expires) <= datetime.now(UTC)


def default_path() -> Path:
    """Where tokens are kept unless the settings say otherwise."""
    return config_dir() / "tokens.json"


def create_token(
    name: str, scopes: Iterable[str], *, days: float | None = None, path: Path | None = None
) -> str:
    """Makes a token and returns it: the only time that it can be read.

    Args:
        name: What it is called in logs; letters, digits, dots, dashes.
        scopes: What it may do, see ``SCOPES``.
        days: After how many days it expires; None: never.
        path: The token file; None for the default one.

    Raises:
        ConfigError: ``token.name``, ``token.taken``, ``token.scope`` or ``token.file``.
    """
    wanted = tuple(sorted(set(scopes)))
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if unknown or not wanted:
        raise ConfigError(
            f"There is no scope {unknown[0]!r}." if unknown else "A token needs at least one scope.",
            code="token.scope",
            hint=known_names(unknown[0], SCOPES) if unknown else f"Known: {', '.join(SCOPES)}.",
        )
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be the name of a token.",
            code="token.name",
            hint="Use letters, digits, dots, dashes and underscores; at most 64.",
        )
    tokens = list_tokens(path)
    if any(token.name == name for token in tokens):
        raise ConfigError(f"There is a token {name!r} already.", code="token.taken", hint="Revoke it first.")
    if len(tokens) >= MAX_TOKENS:
        raise ConfigError(f"There are {MAX_TOKENS} tokens already.", code="token.file")
    secret = PREFIX + secrets.token_urlsafe(32)
    moment = datetime.now(UTC)
    expires = None if days is None else (moment + timedelta(days=days)).isoformat(timespec="seconds")
    entry = Token(name, _digest(secret), wanted, moment.isoformat(timespec="seconds"), expires)
    _write([*tokens, entry], path)
    return secret


def revoke_token(name: str, *, path: Path | None = None) -> None:
    """Removes a token; a running service notices within a second. ConfigError if there is none."""
    tokens = list_tokens(path)
    kept = [token for token in tokens if token.name != name]
    if len(kept) == len(tokens):
        known = known_names(name, [token.name for token in tokens])
        raise ConfigError(f"There is no token {name!r}.", code="token.unknown", hint=known)
    _write(kept, path)


def list_tokens(path: Path | None = None) -> list[Token]:
    """The tokens of a file, without their secrets; empty when there is no file.

    Raises:
        ConfigError: ``token.file`` when the file is not understood.
    """
    path = path or default_path()
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError("too large")
        entries = json.loads(path.read_text("utf-8"))["tokens"]
        return [Token(**{**entry, "scopes": tuple(entry["scopes"])}) for entry in entries]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"The token file {path} is not understood ({error}).",
            code="token.file",
            hint="Remove it and make new tokens.",
        ) from error


class TokenStore:
    """Looks tokens up by their digest and reads the file again when it has changed."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()
        self._stamp: tuple[int, int] | None = None
        self._by_digest: dict[str, Token] = {}
        self._lock = threading.Lock()

    def find(self, secret: str) -> Token | None:
        """The token, or None when it is unknown or has expired."""
        with self._lock:
            self._reload()
            # A look-up by digest: timing says nothing about a secret that nobody can steer.
            token = self._by_digest.get(_digest(secret))
        if token is None or token.expired or not hmac.compare_digest(token.sha256, _digest(secret)):
            return None
        return token

    def _reload(self) -> None:
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
        except OSError:
            self._stamp, self._by_digest = None, {}
            return
        if stamp != self._stamp:
            self._by_digest = {token.sha256: token for token in list_tokens(self.path)}
            self._stamp = stamp


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _write(tokens: list[Token], path: Path | None) -> None:
    path = path or private_dir(default_path().parent) / default_path().name
    text = json.dumps({"tokens": [asdict(token) for token in tokens]}, indent=2) + "\n"
    atomic_write(path, text, overwrite=True, mode=0o600)
