"""Rows of a scan as a table: one a file, flat columns first, all of the evidence as JSON in the last.

The columns are ``countermark.scan-row/1``. A later version adds columns and takes none away; the version
stands in every row and in the table's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from countermark.core.errors import MissingExtraError
from countermark.core.results import ScanResult

if TYPE_CHECKING:
    import pyarrow
    from pydantic import TypeAdapter

SCHEMA = "countermark.scan-row/1"

#: Columns and their Arrow types.
COLUMNS = {
    "schema": "string",
    "path": "string",
    "sha256": "string",
    "verdict": "string",
    "score": "double",
    "reason": "string",
    "format": "string",
    "width": "int32",
    "height": "int32",
    "likely": "double",
    "unsure": "double",
    "detector": "string",
    "detector_sha256": "string",
    "error_code": "string",
    "error_message": "string",
    "item": "string",
    "record": "string",
}


def row_of(result: ScanResult) -> dict[str, Any]:
    """One row: the columns that one filters by, and the whole record as JSON.

    ``item`` says where the bytes lie that are no file of their own, so that they can be read again.
    """
    error = result.error
    return {
        "schema": SCHEMA,
        "path": result.path,
        "sha256": result.sha256,
        "verdict": None if result.verdict is None else result.verdict.value,
        "score": result.score,
        "reason": result.evidence[0].sentence if result.evidence else None,
        "format": result.format,
        "width": result.width,
        "height": result.height,
        "likely": result.thresholds.get("likely"),
        "unsure": result.thresholds.get("unsure"),
        "detector": result.detector.get("name"),
        "detector_sha256": result.detector.get("sha256"),
        "error_code": None if error is None else error.code,
        "error_message": None if error is None else error.message,
        "item": None,
        "record": json.dumps(asdict(result), ensure_ascii=False),
    }


def result_of(row: Mapping[str, Any]) -> ScanResult:
    """The record that a row was made of."""
    return result_from_json(row["record"])


def result_from_json(text: str | bytes) -> ScanResult:
    """The record that ``json.dumps(asdict(result))`` came from.

    Raises:
        ValueError: it is none.
    """
    found: ScanResult = _adapter().validate_json(text)
    return found


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[ScanResult]:
    from pydantic import TypeAdapter

    return TypeAdapter(ScanResult)


def table(rows: Sequence[Mapping[str, Any]]) -> pyarrow.Table:
    """Rows as an Arrow table. Text that is no Unicode (file names of bytes) is written with escapes.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    arrow = pyarrow_or_refuse()
    schema = arrow.schema(
        [(name, getattr(arrow, _TYPES[kind])()) for name, kind in COLUMNS.items()],
        metadata={b"countermark.schema": SCHEMA.encode()},
    )
    columns = [[_clean(row[name]) for row in rows] for name in COLUMNS]
    return arrow.table(
        [arrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )


def pyarrow_or_refuse() -> ModuleType:
    """The package pyarrow.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet") from error
    module: ModuleType = pyarrow
    return module


_TYPES = {"string": "string", "double": "float64", "int32": "int32"}


def _clean(value: object) -> object:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
