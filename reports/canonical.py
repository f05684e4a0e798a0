"""Canonical JSON: the same results give the same bytes.

Keys are sorted, floats rounded to nine significant digits, not-a-number becomes ``null``, text is
ASCII-escaped (so that file names that are not valid Unicode survive). No time stands in a document
unless ``SOURCE_DATE_EPOCH`` or the caller gives one.

>>> dumps({"b": float("nan"), "a": 1 / 3})
'{\\n  "a": 0.333333333,\\n  "b": null\\n}\\n'
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from pathlib import PurePath
from typing import Any

Document = dict[str, Any]


def plain(value: Any) -> Any:
    """JSON types only: dataclasses, enums, tuples, paths, NumPy scalars and arrays are unwrapped."""
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        number = float(value)
        return float(f"{number:.9g}") if math.isfinite(number) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [plain(item) for item in items]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, PurePath):
        return value.as_posix()
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)


def dumps(document: Any) -> str:
    """Canonical JSON text with a final newline."""
    return json.dumps(plain(document), indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n"


def stamp(when: str | None = None) -> str | None:
    """The time that a document carries: ``when``, or ``SOURCE_DATE_EPOCH`` as UTC, or None."""
    if when is not None:
        return when
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not epoch.isdigit():
        return None
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
