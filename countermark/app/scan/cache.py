"""Results of earlier scans, by what a file holds and what it was scanned with.

    cache = ResultCache("cache", fingerprint(model, bounds, ...))
    cache.get(sha256, "a.jpg")

A file that was scanned before is read and hashed, and nothing else. What depends on more than its bytes is
not kept: credentials (authorities and certificates change), what records say, errors, searches that ran out
of time, and pictures beside which a credential lies.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import threading
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from countermark.app.scan.rows import result_from_json
from countermark.core.errors import ConfigError
from countermark.core.results import ScanResult
from countermark.core.version import VERSION

LOG = logging.getLogger(__name__)
FILE = "countermark-scan.sqlite3"
_MAX_ROW = 4 << 20
#: Kinds of evidence that follow from more than the file: authorities, certificates, records.
_CHANGES = frozenset({"credential", "recovery"})


def fingerprint(settings: Mapping[str, Any]) -> str:
    """A digest of everything that a verdict follows from, beside the file: detector, thresholds, options."""
    text = json.dumps({"version": VERSION, **settings}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class ResultCache:
    """A folder with one SQLite file; several processes and threads of one machine may share it.

    Args:
        folder: Is made when it is missing.
        fingerprint: See ``fingerprint``.

    Raises:
        ConfigError: ``scan.cache``: the folder cannot be written, or holds something else under that name.
    """

    def __init__(self, folder: Path | str, fingerprint: str) -> None:
        self._path = Path(folder) / FILE
        self._fingerprint = bytes.fromhex(fingerprint)
        self._local = threading.local()
        self.hits = 0
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection().execute("SELECT count(*) FROM results LIMIT 1")
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(
                f"{self._path} cannot be used as a cache: {error}.",
                code="scan.cache",
                hint="Name another folder, or remove the file: it holds nothing but copies.",
            ) from error

    def get(self, sha256: str, path: str) -> ScanResult | None:
        """The result for these bytes, under another name perhaps; None where there is none."""
        if _has_companion(path):
            return None
        with suppress(sqlite3.Error, ValueError, KeyError, TypeError, zlib.error):
            row = self._connection().execute("SELECT row FROM results WHERE key = ?", (self._key(sha256),))
            found = row.fetchone()
            if found is not None:
                text = zlib.decompressobj().decompress(found[0], _MAX_ROW)
                result = result_from_json(text)
                self.hits += 1
                return replace(result, path=path)
        return None

    def put(self, result: ScanResult) -> None:
        """Keeps a result, if it follows from the file's bytes alone. A cache that fails costs time only."""
        if result.sha256 is None or not _follows_from_bytes(result) or _has_companion(result.path):
            return
        text = json.dumps({**asdict(result), "path": ""})
        try:
            with self._connection() as connection:
                connection.execute(
                    "INSERT OR REPLACE INTO results VALUES (?, ?)",
                    (self._key(result.sha256), zlib.compress(text.encode())),
                )
        except sqlite3.Error:
            LOG.debug("A result was not kept in %s.", self._path, exc_info=True)

    def _key(self, sha256: str) -> bytes:
        return hashlib.sha256(bytes.fromhex(sha256) + self._fingerprint).digest()

    def _connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = sqlite3.connect(self._path, timeout=30)
            found.execute("PRAGMA journal_mode = WAL")
            found.execute("PRAGMA synchronous = NORMAL")
            found.execute("CREATE TABLE IF NOT EXISTS results (key BLOB PRIMARY KEY, row BLOB) WITHOUT ROWID")
            self._local.connection = found
        return found


def _follows_from_bytes(result: ScanResult) -> bool:
    timed = any("stopped_after" in each.detail or "error" in each.detail for each in result.evidence)
    return result.error is None and not timed and not any(e.kind in _CHANGES for e in result.evidence)


def _has_companion(path: str) -> bool:
    """Whether a credential may lie beside the file."""
    return os.path.isfile(os.path.splitext(path)[0] + ".c2pa")
