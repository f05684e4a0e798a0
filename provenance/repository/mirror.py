"""A copy of the fingerprints in memory that follows the database.

Before every search two cheap questions (newest row, newest deletion) show whether another
thread or process has changed anything; only what is new is fetched.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Connection, Engine, func, select

from countermark.provenance.repository.engine import reading
from countermark.provenance.repository.index import HammingIndex
from countermark.provenance.repository.schema import deletions

#: How long a number that was skipped may still turn up: PostgreSQL hands out row numbers before
#: the transactions that use them are committed.
_GAP_SECONDS = 600.0
_MAX_GAPS = 10_000
_CHUNK = 500
_FETCH = 50_000


class Mirror:
    """A ``HammingIndex`` over one column of hashes; safe to share by threads."""

    def __init__(self, engine: Engine, key: Column[Any], value: Column[Any], *, words: int) -> None:
        self._engine = engine
        self._key = key
        self._value = value
        self._words = words
        self._index: HammingIndex | None = None
        self._last = 0
        self._last_deletion = 0
        self._gaps: dict[int, float] = {}
        self._lock = threading.Lock()

    def search(self, query: bytes, *, max_distance: int, limit: int) -> list[tuple[int, int]]:
        """See ``HammingIndex.search``; sees everything committed before the call."""
        self.refresh()
        index = self._index
        return index.search(query, max_distance=max_distance, limit=limit) if index is not None else []

    def refresh(self) -> None:
        """Fetches what was added and forgets what was deleted since the last time."""
        with self._lock, reading(self._engine) as connection:
            newest = connection.execute(select(func.max(self._key))).scalar() or 0
            deletion = connection.execute(select(func.max(deletions.c.id))).scalar() or 0
            if newest > self._last:
                self._fetch(connection)
            if self._gaps:
                self._fill_gaps(connection)
            if deletion > self._last_deletion:
                rows = connection.execute(
                    select(deletions.c.id, deletions.c.row).where(deletions.c.id > self._last_deletion)
                ).all()
                if self._index is not None:
                    self._index.remove([row.row for row in rows])
                self._last_deletion = max((row.id for row in rows), default=deletion)

    def _fetch(self, connection: Connection) -> None:
        # The driver's own cursor: a row object for each of a million rows would take longer than
        # everything else. Names come from our tables and the number is an integer.
        cursor = connection.connection.cursor()
        table, key, value = self._key.table.name, self._key.name, self._value.name
        cursor.execute(f"SELECT {key}, {value} FROM {table} WHERE {key} > {int(self._last)} ORDER BY {key}")
        while rows := cursor.fetchmany(_FETCH):
            self._add(rows)
            if connection.dialect.name != "sqlite":
                seen = {row[0] for row in rows}
                missing = [k for k in range(self._last + 1, rows[-1][0]) if k not in seen]
                moment = time.monotonic()
                self._gaps.update((k, moment) for k in missing[-_MAX_GAPS:])
            self._last = rows[-1][0]
        cursor.close()

    def _fill_gaps(self, connection: Connection) -> None:
        waiting = list(self._gaps)
        for start in range(0, len(waiting), _CHUNK):
            some = waiting[start : start + _CHUNK]
            rows = connection.execute(select(self._key, self._value).where(self._key.in_(some))).all()
            self._add(rows)
            for row in rows:
                del self._gaps[row[0]]
        oldest = time.monotonic() - _GAP_SECONDS
        self._gaps = {k: seen for k, seen in self._gaps.items() if seen > oldest}

    def _add(self, rows: Sequence[Any]) -> None:
        if not rows:
            return
        if self._index is None:
            self._index = HammingIndex(self._words, len(rows[0][1]) // (8 * self._words))
        width = 8 * self._words * self._index.per_entry
        fitting = [(row[0], bytes(row[1])) for row in rows if len(row[1]) == width]
        self._index.add([key for key, _ in fitting], [value for _, value in fitting])
