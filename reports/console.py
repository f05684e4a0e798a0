"""Console tables (rich). Every string from a file is shown literally, with control characters spelled.

>>> from countermark.reports.documents import verify_document
>>> from countermark.reports.formats import Options
>>> "0 files" in render(verify_document([]), Options(width=60))
True
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from countermark.reports.advice import PLACED, next_steps
from countermark.reports.canonical import Document
from countermark.reports.documents import kind_of, partial_sentence
from countermark.reports.evaluations import bounds, measured, tabulate
from countermark.reports.formats import Options
from countermark.reports.text import figure, plural, visible
from countermark.reports.timelines import sparkline

STYLES = {
    "declared-synthetic": "bold magenta",
    "likely-synthetic": "bold red",
    "unsure": "yellow",
    "no-evidence": "dim",
    "declared-captured": "cyan",
    "error": "red",
    "trusted": "green",
    "intact": "cyan",
    "invalid": "bold red",
    "recovered": "magenta",
    "absent": "dim",
    "pass": "green",
    "fail": "bold red",
    "inconclusive": "yellow",
    "skipped": "dim",
    "waived": "blue",
}
#: Files of a reason that are named among those that were not looked at.
SHOWN_NAMES = 3
MARKS = {"pass": "✓", "fail": "✗", "inconclusive": "?", "skipped": "–", "waived": "w", "error": "!"}


def render(document: Document, options: Options) -> str:
    """The document as text of ``options.width`` columns, with ANSI colours when asked."""
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=options.width,
        force_terminal=options.colour,
        no_color=not options.colour,
        color_system="standard" if options.colour else None,
        highlight=False,
        emoji=False,
        markup=False,
        legacy_windows=False,
    )
    console.print(_VIEWS[kind_of(document)](document))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _text(value: object, style: str = "", limit: int = 400) -> Text:
    return Text(visible(value, limit), style=style, overflow="fold")


def _state(name: str | None) -> Text:
    return _text(name or "", STYLES.get(name or "", ""))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in ("score",) else "left")
    return table


def _scan(document: Document) -> RenderableType:
    table = _table("file", "verdict", "score", "why")
    for row in document["results"]:
        if row["error"]:
            error = row["error"]
            why = f"{error['code']}: {error['message']} {error['hint']}".strip()
            table.add_row(_text(row["path"]), _state("error"), "", _text(why))
            continue
        table.add_row(
            _text(row["path"]),
            _state(row["verdict"]),
            figure(row["score"]) if row["score"] is not None else "–",
            _text(_because(row)),
        )
        for sentence in _named_parts(row):
            table.add_row("", "", "", _text(sentence, "dim"))
        if row.get("clip"):
            table.add_row("", "", "", _text(sparkline(row), "dim"))
    counts = document["counts"]
    parts = [f"{n} {name}" for name, n in counts.items() if n and name in STYLES]
    tail = [plural(counts["total"], "file") + (": " + ", ".join(parts) if parts else "")]
    tail += filter(None, [partial_sentence(document)])
    if counts.get("unreadable"):
        tail.append(f"{plural(counts['unreadable'], 'file')} could not be scanned: no gate passes them")
    if counts["suppressed"]:
        tail.append(f"{plural(counts['suppressed'], 'finding')} suppressed by the ignore file or baseline")
    if counts["failing"]:
        fail_on = document["settings"].get("fail_on")
        tail.append(f"{plural(counts['failing'], 'finding')} at or above {fail_on}")
    return Group(
        table, Text(), _text("; ".join(tail)), *_remarks(document), *_points(document), *_steps(document)
    )


def _named_parts(row: Mapping[str, Any]) -> list[str]:
    """What evidence says of a part or a face that speaks for synthetic origin, unless it stands first."""
    later = row["evidence"][1:]
    return [e["sentence"] for e in later if e["kind"] in PLACED and e["points_to"] == "synthetic"]


def _remarks(document: Document) -> list[Text]:
    """What holds for the scan as a whole, each once, under the table."""
    lines = []
    left_out = document["settings"].get("left_out") or {}
    if left_out:
        lines.append(_text(f"Not looked at: {_left_out(left_out, document['settings'])}.", limit=1200))
        if any(_is_packed(each["path"]) for each in document["settings"].get("left_out_files") or ()):
            lines.append(_text("The page takes the pictures out of a PDF or a ZIP: countermark serve"))
    stopped = sum(
        any(e["kind"] == "mark" and "stopped_after" in e["detail"] for e in row["evidence"])
        for row in document["results"]
    )
    if stopped:
        lines.append(
            _text(
                f"In {plural(stopped, 'picture')} the search for a changed watermark was stopped before it "
                "was through; longer: countermark scan --mark-seconds"
            )
        )
    return lines


def _left_out(counts: Mapping[str, int], settings: Mapping[str, Any]) -> str:
    """Files that were not looked at, by reason: the first of them by name, the others as a number."""
    files = settings.get("left_out_files") or ()
    parts = []
    for reason, count in counts.items():
        names = [visible(each["path"], 80) for each in files if each["reason"] == reason][:SHOWN_NAMES]
        more = count - len(names)
        told = ", ".join([*names, *([f"{more:,} more" if names else f"{more:,}"] if more else [])])
        parts.append(f"{visible(reason, 80)}: {told}")
    return "; ".join(parts)


def _is_packed(path: str) -> bool:
    return path.lower().endswith((".pdf", ".zip"))


def _points(document: Document) -> list[RenderableType]:
    """What the score means, and what each working point flags and finds."""
    points = document["settings"].get("working_points") or []
    if not points or all(row["score"] is None for row in document["results"]):
        return []
    table = _table(
        "working point", "likely from", "photographs flagged", "generated ones found, of unseen sources"
    )
    for point in points:
        found = point["found"].get("native")
        table.add_row(
            _text(point["name"]),
            figure(point["likely"]),
            f"at most {figure(point['max_fpr'], 'share')}",
            "–" if found is None else figure(found, "share"),
            style="dim",
        )
    said = (
        "The score is the chance of synthetic origin if half of all pictures were; with fewer it means less."
    )
    return [Text(), table, _text(said, "dim")]


def _steps(document: Document) -> list[RenderableType]:
    """What to do next, once for each answer."""
    found = next_steps(document["results"])
    if not found:
        return []
    table = _table("what to do next", "")
    for answer, step in found:
        table.add_row(_state(answer), _text(step))
    return [Text(), table]


def _because(row: dict[str, Any]) -> str:
    if row["finding"]["suppressed"]:
        return f"suppressed: {row['finding']['suppressed'].get('reason', '')}"
    return str(row["evidence"][0]["sentence"]) if row["evidence"] else ""


def _verify(document: Document) -> RenderableType:
    table = _table("file", "state", "signer", "what was found")
    for row in document["results"]:
        signer = next((link["signer"] or link["issuer"] for link in row["chain"]), "") or ""
        worst = next((p for p in row["problems"]), None)
        said = row["summary"] or (f"{worst['code']}: {worst['sentence']}" if worst else "")
        table.add_row(_text(row["path"]), _state(row["state"]), _text(signer), _text(said))
        for problem in row["problems"]:
            table.add_row(
                "", "", "", _text(f"{problem['severity']} {problem['code']}: {problem['sentence']}")
            )
    for error in document.get("errors", ()):
        why = f"{error['code']}: {error['message']} {error['hint']}".strip()
        table.add_row(_text(error["path"]), _state("error"), "", _text(why))
    counts = document["counts"]
    parts = [f"{n} {name}" for name, n in counts.items() if n and name in STYLES]
    line = plural(counts["total"], "file") + (": " + ", ".join(parts) if parts else "")
    return Group(table, Text(), _text(line), *_steps(document))


def _audit(document: Document) -> RenderableType:
    subject = document["subject"]
    head = Text()
    head.append(visible(document["outcome"]).upper(), STYLES.get(document["outcome"], "bold"))
    head.append(f"  {visible(document['policy'])}  ·  {visible(subject.get('kind', ''))} ")
    head.append(visible(subject.get("name", "")))
    if subject.get("sha256"):
        head.append(f"  ·  sha256 {visible(subject['sha256'])[:12]}")
    table = _table("", "check", "measured", "interval", "asked", "n", "")
    for check in document["checks"]:
        interval = check["interval"] or {}
        unit = check["unit"]
        bounds = ""
        if interval.get("low") is not None:
            bounds = f"{figure(interval['low'], unit)} … {figure(interval['high'], unit)}"
        sign = "≥" if check["direction"] == "at-least" else "≤"
        asked = f"{sign} {figure(check['threshold'], unit)}" if check["threshold"] is not None else ""
        outcome = check["outcome"]
        style = STYLES.get(outcome, "")
        table.add_row(
            Text(f"{MARKS.get(outcome, ' ')} {outcome}", style),
            _text(check["id"]),
            figure(interval.get("value"), unit) if interval else "",
            bounds,
            asked,
            str(interval.get("n", "")),
            _text(check["sentence"] if outcome != "pass" else ""),
        )
    counts = document["counts"]
    parts = [f"{n} {name}" for name, n in counts.items() if n and name in MARKS]
    line = f"{plural(counts['total'], 'check')}: {', '.join(parts)}. Exit code {document['exit_code']}."
    return Group(head, Text(), table, Text(), _text(line))


def _evaluation(document: Document) -> RenderableType:
    found = tabulate(document)
    table = _table("figure", "slice", *(visible(name or "measured", 40) for name in found.conditions), "n")
    for line in found.lines:
        cells = []
        for cell in line.cells:
            interval = bounds(cell, line.unit)
            cells.append(measured(cell, line.unit) + (f"\n{interval}" if interval else ""))
        table.add_row(_text(line.name), _text(line.slice), *cells, line.images)
    head = [_text(document["title"], "bold")]
    if document.get("headline"):
        head.append(_text(document["headline"]))
    return Group(*head, Text(), table, *(_text(note) for note in document["notes"]))


_VIEWS: dict[str, Callable[[Document], RenderableType]] = {
    "scan": _scan,
    "verify": _verify,
    "audit": _audit,
    "evaluation": _evaluation,
}
