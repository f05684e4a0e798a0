"""Results of a large scan on disk: a folder of Parquet files, each written whole or not at all.

    with Dataset("out", settings, resume=True) as rows:
        for item in plan:
            if item not in rows: ...
            rows.add(item, result)

A file is one row, in one file of the folder (a *part*). What a killed scan had finished is kept and not done
again; what it had not written is. Files that failed (*dead letters*) are rows with an ``error_code``;
``failed`` gives them back, to be tried again in their place. pandas, DuckDB and Spark read the folder as it
is.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from countermark.app.scan.items import Item
from countermark.app.scan.rows import SCHEMA, pyarrow_or_refuse, row_of, table
from countermark.core.errors import ConfigError, OutputError
from countermark.core.files import atomic_path, atomic_write, sweep
from countermark.core.results import ScanResult

ABOUT = "_countermark.json"
LOCK = "_lock"
#: A part is written after so many rows, or seconds.
ROWS, SECONDS = 1000, 120.0
_KEY = 16


class Dataset:
    """The folder of one scan.

    Args:
        folder: Is made when it is missing.
        settings: What verdicts follow from (JSON types): a scan may only go on with the same.
        resume: Whether there may be parts already.
        rows: Rows of a part.

    Raises:
        OutputError: ``output.exists``: there are parts, and ``resume`` is false; ``output.busy``: another
            scan writes there.
        ConfigError: ``scan.resume``: the parts are of other settings, or damaged.
        MissingExtraError: pyarrow is not installed.
    """

    def __init__(
        self, folder: Path | str, settings: Mapping[str, Any], *, resume: bool = False, rows: int = ROWS
    ) -> None:
        pyarrow_or_refuse()
        self.folder = Path(folder)
        self._rows = rows
        self._waiting: list[dict[str, Any]] = []
        self._written = time.monotonic()
        self._lock = _lock(self.folder)
        try:
            parts = self.parts()
            if parts and not resume:
                raise OutputError(
                    f"{self.folder} holds results already.",
                    code="output.exists",
                    hint="Go on with --resume, or choose another folder.",
                )
            self._agree(settings, bool(parts))
            sweep(self.folder)
            self._next = 1 + max((_number(part) for part in parts), default=0)
            self._done = self._keys(parts)
        except BaseException:
            self._unlock()
            raise
        self.earlier = len(self._done)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What was added is written in any case: it is finished."""
        try:
            self.flush()
        finally:
            self._unlock()

    def __contains__(self, item: Item) -> bool:
        """Whether the item has a row, from before."""
        key = np.array(_key(_shown(item.path)), self._done.dtype)
        place = int(np.searchsorted(self._done, key))
        return place < len(self._done) and bool(self._done[place] == key)

    def parts(self) -> list[Path]:
        """The finished parts, in order."""
        return sorted(self.folder.glob("part-*.parquet"))

    def add(self, item: Item, result: ScanResult) -> None:
        """Adds a row; every so many of them, or seconds, a part is written."""
        self._waiting.append(_row(item, result))
        if len(self._waiting) >= self._rows or time.monotonic() - self._written > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes what was added."""
        if self._waiting:
            self._write(self.folder / f"part-{self._next:06d}.parquet", self._waiting, overwrite=False)
            self._next += 1
            self._waiting = []
        self._written = time.monotonic()

    def failed(self) -> Iterator[tuple[Path, list[Item]]]:
        """Every part with files that failed, and those files."""
        pyarrow_or_refuse()
        import pyarrow.compute
        import pyarrow.parquet

        for part in self.parts():
            columns = ["path", "item", "error_code"]
            found = pyarrow.parquet.read_table(part, columns=columns, partitioning=None)
            found = found.filter(pyarrow.compute.is_valid(found["error_code"]))
            if found.num_rows:
                yield part, [_item(row) for row in found.to_pylist()]

    def replace(self, part: Path, results: Mapping[str, ScanResult]) -> None:
        """Writes a part again, with other results for some of its files (by path), in one step."""
        import pyarrow.parquet

        rows = pyarrow.parquet.read_table(part, partitioning=None).to_pylist()
        new = {_shown(path): result for path, result in results.items()}
        self._write(
            part,
            [_row(_item(row), new[row["path"]]) if row["path"] in new else row for row in rows],
            overwrite=True,
        )

    def _write(self, path: Path, rows: list[dict[str, Any]], *, overwrite: bool) -> None:
        import pyarrow.parquet

        whole = table(rows)
        with atomic_path(path, overwrite=overwrite) as temporary:
            pyarrow.parquet.write_table(whole, temporary, compression="zstd")

    def _agree(self, settings: Mapping[str, Any], going_on: bool) -> None:
        about = {"schema": SCHEMA, "settings": dict(settings)}
        path = self.folder / ABOUT
        if path.is_file() and going_on:
            try:
                before = json.loads(path.read_text("utf-8"))["settings"]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ConfigError(f"{path} is damaged.", code="scan.resume") from error
            now = json.loads(json.dumps(dict(settings)))
            other = sorted(k for k in {*before, *now} if before.get(k) != now.get(k))
            if other:
                raise ConfigError(
                    f"The results in {self.folder} were made with another {', '.join(other)}.",
                    code="scan.resume",
                    hint="Use the same options and detector, or another folder.",
                )
            return
        atomic_write(path, json.dumps(about, indent=2, sort_keys=True) + "\n", overwrite=True)

    def _keys(self, parts: list[Path]) -> np.ndarray:
        arrow = pyarrow_or_refuse()
        import pyarrow.parquet

        keys: list[bytes] = []
        for part in parts:
            try:
                paths = pyarrow.parquet.read_table(part, columns=["path"], partitioning=None)["path"]
            except (OSError, arrow.ArrowException, KeyError) as error:
                raise ConfigError(
                    f"{part} cannot be read: {error}.",
                    code="scan.resume",
                    hint="Remove it: its files are then scanned again.",
                ) from error
            keys += [_key(path) for path in paths.to_pylist()]
        return np.sort(np.array(keys, dtype=f"S{_KEY}"))

    def _unlock(self) -> None:
        os.close(self._lock)


def _row(item: Item, result: ScanResult) -> dict[str, Any]:
    row = row_of(result) | {"path": _shown(item.path)}
    if item.kind not in ("file", "bytes") or row["path"] != item.path:
        about = asdict(item)
        row["item"] = json.dumps({name: about[name] for name in ("path", "holder", "kind", "at", "size")})
    return row


def _item(row: Mapping[str, Any]) -> Item:
    return Item(**json.loads(row["item"])) if row["item"] else Item(row["path"])


def _shown(path: str) -> str:
    """A path as a table can hold it."""
    return path.encode("utf-8", "backslashreplace").decode()


def _key(path: str) -> bytes:
    """Names a path among all; as likely to name another one as two files are to have one SHA-1 by chance."""
    return blake2b(path.encode(), digest_size=_KEY).digest()


def _number(part: Path) -> int:
    digits = part.stem.partition("-")[2]
    return int(digits) if digits.isdecimal() else 0


def _lock(folder: Path) -> int:
    """Holds the folder for one scan, as long as the process lives."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise OutputError(
            f"Cannot write into {folder}: {error.strerror or error}.",
            hint="Choose another folder or free some space.",
        ) from error
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # not on Windows
        pass
    except OSError as error:
        os.close(handle)
        raise OutputError(
            f"Another scan writes into {folder}.", code="output.busy", hint="Wait for it to end."
        ) from error
    return handle
