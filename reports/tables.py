"""One line a file, for spreadsheets, Photo Mechanic and scripts: CSV with a heading.

Cells that a spreadsheet would take for a formula get an apostrophe before them: names come from strangers.

>>> cell("=1+1"), cell("holiday.jpg")
("'=1+1", 'holiday.jpg')
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from countermark.reports.advice import next_step
from countermark.reports.canonical import Document
from countermark.reports.documents import kind_of
from countermark.reports.formats import Options
from countermark.reports.text import visible

SCAN = (
    *("file", "verdict", "score", "reason", "next_step", "strength", "width", "height", "format"),
    *("sha256", "suppressed", "error"),
)
VERIFY = ("file", "state", "signer", "generator", "signed", "source_type", "finding", "next_step", "sha256")


def render(document: Document, options: Options) -> str:
    """The document as CSV (RFC 4180, lines end with CR LF)."""
    columns, row_of = {"scan": (SCAN, _scan), "verify": (VERIFY, _verify)}[kind_of(document)]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns)
    writer.writeheader()
    for row in document["results"]:
        writer.writerow({name: cell(value) for name, value in row_of(row).items()})
    for error in document.get("errors", ()):
        said = f"{error['code']}: {error['message']}"
        writer.writerow({"file": cell(error["path"]), "state": "error", "finding": cell(said)})
    return stream.getvalue()


def cell(value: object) -> str:
    """A value as text that no spreadsheet runs, without characters that hide or reorder it."""
    text = "" if value is None else visible(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _scan(row: Mapping[str, Any]) -> dict[str, object]:
    first = row["evidence"][0] if row["evidence"] else {}
    error = row["error"] or {}
    suppressed = row["finding"]["suppressed"] or {}
    return {
        "file": row["path"],
        "verdict": row["verdict"],
        "score": None if row["score"] is None else f"{row['score']:.4f}",
        "reason": first.get("sentence"),
        "next_step": next_step(row),
        "strength": first.get("strength"),
        "width": row["width"],
        "height": row["height"],
        "format": row["format"],
        "sha256": row["sha256"],
        "suppressed": suppressed.get("reason"),
        "error": f"{error['code']}: {error['message']}" if error else None,
    }


def _verify(row: Mapping[str, Any]) -> dict[str, object]:
    link = row["chain"][0] if row["chain"] else {}
    return {
        "file": row["path"],
        "state": row["state"],
        "signer": link.get("signer") or link.get("issuer"),
        "generator": link.get("generator"),
        "signed": link.get("time"),
        "source_type": row["digital_source_type"],
        "finding": row["summary"] or (row["problems"][0]["sentence"] if row["problems"] else None),
        "next_step": next_step(row),
        "sha256": row["sha256"],
    }
