"""One self-contained HTML page: no script, no request, strict content-security policy.

The policy allows nothing but ``data:`` images and the one style sheet, by its hash. Jinja escapes
every value; characters that hide or reorder text are spelled out first.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from countermark.reports import charts, listing, tables
from countermark.reports.advice import next_step, next_steps
from countermark.reports.canonical import Document, dumps
from countermark.reports.claims import DISCLAIMER
from countermark.reports.documents import kind_of, partial_sentence
from countermark.reports.evaluations import bounds, measured, tabulate
from countermark.reports.formats import Options
from countermark.reports.histories import tree
from countermark.reports.text import figure, plural, visible
from countermark.reports.thumbnails import Thumbnail
from countermark.reports.timelines import clock, strongest_frames, timeline_chart

#: Cards with pictures; further results are listed in a table.
MAX_CARDS = 400
MAX_ROWS = 5000

VERDICTS = ("declared-synthetic", "likely-synthetic", "unsure", "no-evidence", "declared-captured")
STATES = ("trusted", "intact", "invalid", "recovered", "absent")
#: States as a list shows them: what needs somebody's eyes first.
_WORST = ("invalid", "recovered", "intact", "trusted", "absent")
OUTCOMES = ("fail", "error", "inconclusive", "waived", "skipped", "pass")
EXPLANATIONS = {
    "declared-synthetic": "A credential, a mark or standard metadata says so.",
    "likely-synthetic": "The detector’s score is above the threshold for the chosen false-positive rate.",
    "unsure": "Between the thresholds, or the score does not hold under small changes.",
    "no-evidence": "Nothing points to synthetic origin. That is not evidence of a photograph.",
    "declared-captured": "A trusted credential says that a camera captured it.",
    "trusted": "Intact, and signed by someone on the trust list.",
    "intact": "Unchanged since it was signed, by a signer who is not on the trust list.",
    "invalid": "The credential and the file do not agree.",
    "recovered": "The credential was stripped; the watermark led back to its record.",
    "absent": "No credential. That says nothing about the image.",
}


def render(document: Document, options: Options) -> str:
    """The document as one HTML page."""
    kind = kind_of(document)
    view = _VIEWS[kind](document, options)
    style = _style() + view.pop("rules", "")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    template = _environment().get_template(f"{kind}.html.j2")
    return template.render(
        doc=document,
        style=Markup(style),  # the package's own file, and rules made of numbers
        policy=policy,
        explanations=EXPLANATIONS,
        digest=hashlib.sha256(dumps(document).encode()).hexdigest(),
        **view,
    )


@cache
def _style() -> str:
    return resources.files(__package__).joinpath("templates/style.css").read_text("utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("countermark.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(v=visible, figure=figure, plural=lambda n, one: plural(n, one))
    environment.filters["compact"] = _compact
    environment.globals.update(
        interval_bar=charts.interval_bar,
        score_bar=charts.score_bar,
        share_bar=charts.share_bar,
        roc_plot=charts.roc_plot,
        reliability_plot=charts.reliability_plot,
        measured=measured,
        bounds=bounds,
        next_step=next_step,
        boxes=listing.boxes,
        clock=clock,
        timeline_chart=timeline_chart,
        strongest_frames=strongest_frames,
    )
    return environment


def _compact(value: Any) -> str:
    """A value for a definition list: text as it is, the rest as one line of JSON."""
    return visible(value if isinstance(value, str) else " ".join(dumps(value).split()), 1200)


def _picture(options: Options, row: Mapping[str, Any]) -> Thumbnail | None:
    return options.images.get(row["path"]) or options.images.get(row.get("sha256") or "")


def _scan(document: Document, options: Options) -> dict[str, Any]:
    order = {name: i for i, name in enumerate(VERDICTS)}
    read = [r for r in document["results"] if r["error"] is None]
    read.sort(key=lambda r: (order.get(r["verdict"], 9), -(r["score"] or 0), r["path"]))
    cards = [{"row": r, "image": _picture(options, r), "lead": r["evidence"]} for r in read[:MAX_CARDS]]
    left_out = document["settings"].get("left_out")
    return {
        "cards": cards,
        "images": options.images,
        "rules": listing.orders(read[:MAX_CARDS]),
        "orders": listing.ORDERS,
        "steps": next_steps(read),
        "points": document["settings"].get("working_points") or [],
        "left_out": dict(left_out) if isinstance(left_out, Mapping) else {},
        "stopped": sum(_stopped(r) for r in read),
        "partial": partial_sentence(document),
        "others": document["settings"].get("left_out_files") or [],
        "csv": listing.csv_link(tables.render(document, options)),
        "rest": read[MAX_CARDS:MAX_ROWS],
        "hidden": max(0, len(read) - MAX_ROWS),
        "errors": [r for r in document["results"] if r["error"] is not None],
        "verdicts": VERDICTS,
        "detectors": _detectors(read),
    }


def _stopped(row: Mapping[str, Any]) -> bool:
    """Whether the search for a mark in this picture ended before it was through."""
    return any(e["kind"] == "mark" and "stopped_after" in e["detail"] for e in row["evidence"])


def _detectors(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    seen = {tuple(sorted(row["detector"].items())) for row in rows if row["detector"]}
    return [dict(entry) for entry in sorted(seen)]


def _verify(document: Document, options: Options) -> dict[str, Any]:
    order = {name: i for i, name in enumerate(_WORST)}
    rows = sorted(document["results"], key=lambda r: (order.get(r["state"], 9), r["path"]))
    cards = [
        {"row": r, "image": _picture(options, r), "tree": tree(r, options.images)} for r in rows[:MAX_CARDS]
    ]
    return {
        "cards": cards,
        "rules": listing.orders(rows[:MAX_CARDS]),
        "orders": {"name": listing.ORDERS["name"]},
        "states": STATES,
        "errors": document.get("errors", []),
        "steps": next_steps(rows),
        "hidden": max(0, len(rows) - MAX_CARDS),
        "csv": listing.csv_link(tables.render(document, options)),
    }


def _audit(document: Document, options: Options) -> dict[str, Any]:
    order = {name: i for i, name in enumerate(OUTCOMES)}
    checks = sorted(document["checks"], key=lambda c: order.get(c["outcome"], 9))
    worst = [{"row": w, "image": _picture(options, w)} for w in document["detail"].get("worst", [])]
    return {"checks": checks, "worst": worst, "outcomes": OUTCOMES, "disclaimer": DISCLAIMER}


def _evaluation(document: Document, options: Options) -> dict[str, Any]:
    named = [(options.images.get(p["name"]), p["caption"]) for p in document.get("pictures", [])]
    return {"table": tabulate(document), "pictures": [(i, caption) for i, caption in named if i is not None]}


_VIEWS = {"scan": _scan, "verify": _verify, "audit": _audit, "evaluation": _evaluation}
