"""Results as a notebook shows them: a small table, everything escaped, no script, no picture."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, Template

from countermark.reports.advice import next_step
from countermark.reports.canonical import Document
from countermark.reports.documents import kind_of
from countermark.reports.text import figure, visible

MAX_ROWS = 200
_COLOURS = {
    "declared-synthetic": "#7b2d8b",
    "likely-synthetic": "#b3261e",
    "unsure": "#8a5a00",
    "declared-captured": "#00658a",
    "trusted": "#1b6b3a",
    "intact": "#00658a",
    "invalid": "#b3261e",
    "recovered": "#7b2d8b",
    "pass": "#1b6b3a",
    "fail": "#b3261e",
    "inconclusive": "#8a5a00",
    "error": "#b3261e",
}
_TEMPLATE = """\
<table><caption style="text-align:left">{{ caption }}</caption>
<thead><tr>{% for head in heads %}<th style="text-align:left">{{ head }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in rows %}<tr>
{%- for cell in row %}<td style="text-align:left;vertical-align:top;max-width:42em">
{%- if loop.index0 == 1 %}<b style="color:{{ colours.get(cell, "inherit") }}">{{ cell }}</b>
{%- else %}{{ cell }}{% endif -%}
</td>{% endfor %}</tr>
{% endfor %}</tbody></table>
"""


def table(document: Document) -> str:
    """The HTML of a scan's, a verification's or an audit's document; at most 200 rows of it.

    >>> from countermark.reports.documents import scan_document
    >>> "0 files" in table(scan_document([], settings={}))
    True
    """
    kind = kind_of(document)
    heads, row_of, rows, noun = {
        "scan": (("file", "verdict", "score", "why", "next"), _scan, "results", "file"),
        "verify": (("file", "state", "signer", "what was found", "next"), _verify, "results", "file"),
        "audit": (("check", "outcome", "measured", "why"), _check, "checks", "check"),
    }[kind]
    counts = document["counts"]
    said = ", ".join(f"{count} {name}" for name, count in counts.items() if count and name != "total")
    caption = f"{counts['total']:,} {noun}{'' if counts['total'] == 1 else 's'}" + (
        f": {said}" if said else ""
    )
    cells = [[visible(cell, 400) for cell in row_of(row)] for row in document[rows][:MAX_ROWS]]
    return _template().render(caption=caption, heads=heads, rows=cells, colours=_COLOURS)


@cache
def _template() -> Template:
    return Environment(autoescape=True, trim_blocks=True).from_string(_TEMPLATE)


def _scan(row: Mapping[str, Any]) -> tuple[str, ...]:
    if row["error"]:
        return row["path"], "error", "–", row["error"]["message"], row["error"]["hint"]
    why = row["evidence"][0]["sentence"] if row["evidence"] else ""
    return row["path"], row["verdict"], figure(row["score"]), why, next_step(row)


def _verify(row: Mapping[str, Any]) -> tuple[str, ...]:
    link = row["chain"][0] if row["chain"] else {}
    said = row["summary"] or (row["problems"][0]["sentence"] if row["problems"] else "")
    return row["path"], row["state"], link.get("signer") or link.get("issuer") or "", said, next_step(row)


def _check(check: Mapping[str, Any]) -> tuple[str, ...]:
    interval = check["interval"] or {}
    measured = figure(interval.get("value"), check["unit"]) if interval else "–"
    return check["id"], check["outcome"], measured, check["sentence"]
