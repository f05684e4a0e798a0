"""Scores on disk, so that a second audit of the same images and weights opens no image.

>>> cache = ScoreCache(":memory:")
>>> cache.put("aa", "jpeg:75", "bb", 0.25)
>>> cache.get("aa", "jpeg:75", "bb")
0.25

A key is the SHA-256 of the image's bytes, the perturbation (with its seed) and the SHA-256 of the
weights, under the version of the code that computed the score: a change in any of them is a miss.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from countermark.core.errors import OutputError
from countermark.core.version import VERSION

_TABLE = (
    "create table if not exists scores (version text, image text, spec text, weights text, score real, "
    "primary key (version, image, spec, weights)) without rowid"
)


class ScoreCache:
    """One SQLite file of scores. A score that is not a finite number in [0, 1] is not believed."""

    def __init__(self, path: Path | str) -> None:
        try:
            if str(path) != ":memory:":
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(str(path), timeout=30)
            self._connection.execute(_TABLE)
        except (sqlite3.Error, OSError) as error:
            raise OutputError(
                f"The score cache {path} cannot be used: {error}.", code="cache.failed"
            ) from error

    def get(self, image: str, spec: str, weights: str) -> float | None:
        row = self._connection.execute(
            "select score from scores where version = ? and image = ? and spec = ? and weights = ?",
            (VERSION, image, spec, weights),
        ).fetchone()
        good = row is not None and isinstance(row[0], float) and 0 <= row[0] <= 1
        return row[0] if good else None

    def put(self, image: str, spec: str, weights: str, score: float) -> None:
        self._connection.execute(
            "insert or replace into scores values (?, ?, ?, ?, ?)",
            (VERSION, image, spec, weights, float(score)),
        )

    def commit(self) -> None:
        self._connection.commit()

    def close(self) -> None:
        self._connection.commit()
        self._connection.close()
