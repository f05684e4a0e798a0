"""Markdown for a step summary (at most 1 MiB) or a pull-request comment (at most 64 KB).

Text from images and manifests is escaped; a document with a ``baseline`` shows the differences.
"""

from __future__ import annotations

from typing import Any

from countermark.reports.canonical import Document
from countermark.reports.claims import DISCLAIMER
from countermark.reports.documents import kind_of, partial_sentence
from countermark.reports.evaluations import bounds, measured, tabulate
from countermark.reports.formats import Options
from countermark.reports.text import code_span, figure, markdown_text, plural

SUMMARY_BYTES = 1024 * 1024 - 4096
COMMENT_BYTES = 64 * 1024 - 4096
MARKS = {
    "pass": "✅",
    "fail": "❌",
    "inconclusive": "❔",
    "skipped": "➖",
    "waived": "📝",
    "error": "⚠️",
    "declared-synthetic": "🔷",
    "likely-synthetic": "🔺",
    "unsure": "❔",
    "no-evidence": "⚪",
    "declared-captured": "📷",
    "trusted": "✅",
    "intact": "🔹",
    "invalid": "❌",
    "recovered": "🔷",
    "absent": "⚪",
}


def render(document: Document, options: Options) -> str:
    """The document as GitHub-flavoured Markdown within the size limit; whole lines are dropped."""
    lines = {"scan": _scan, "verify": _verify, "audit": _audit, "evaluation": _evaluation}[kind_of(document)](
        document
    )
    limit = COMMENT_BYTES if options.comment else SUMMARY_BYTES
    kept: list[str] = []
    size = 0
    for number, line in enumerate(lines):
        size += len(line.encode("utf-8", "replace")) + 1
        if size > limit:
            kept += ["", f"*{plural(len(lines) - number, 'further line')} stand in the full report.*"]
            break
        kept.append(line)
    return "\n".join(kept) + "\n"


def _state(name: str) -> str:
    return f"{MARKS.get(name, '')} {name}".strip()


def _counts(counts: dict[str, int]) -> str:
    parts = [f"{MARKS[name]} {n} {name}" for name, n in counts.items() if n and name in MARKS]
    return " · ".join(parts) or "nothing"


def _scan(document: Document) -> list[str]:
    counts = document["counts"]
    lines = [f"## Countermark scan: {plural(counts['total'], 'image')}", "", _counts(counts), ""]
    if partial := partial_sentence(document):
        lines += [f"**{partial}**", ""]
    if counts["failing"]:
        lines += [f"**{plural(counts['failing'], 'finding')} at or above the policy's level.**", ""]
    if counts.get("unreadable"):
        lines += [f"**{plural(counts['unreadable'], 'file')} could not be scanned.**", ""]
    lines += ["| File | Verdict | Score | Why |", "|---|---|---|---|"]
    order = {name: i for i, name in enumerate(("error", "warning", "note", "none"))}
    rows = sorted(document["results"], key=lambda r: (order[r["finding"]["severity"]], r["path"]))
    for row in rows:
        if row["error"]:
            why = f"{code_span(row['error']['code'])} {markdown_text(row['error']['message'])}"
            lines.append(f"| {code_span(row['path'])} | {_state('error')} | | {why} |")
            continue
        why = markdown_text(row["evidence"][0]["sentence"]) if row["evidence"] else ""
        if row["finding"]["suppressed"]:
            why = f"suppressed: {markdown_text(row['finding']['suppressed'].get('reason', ''))}"
        lines.append(
            f"| {code_span(row['path'])} | {_state(row['verdict'])} | {figure(row['score'])} | {why} |"
        )
    return [*lines, "", "*“No evidence” is not a finding that an image is a photograph.*"]


def _verify(document: Document) -> list[str]:
    counts = document["counts"]
    lines = [f"## Content Credentials: {plural(counts['total'], 'file')}", "", _counts(counts), ""]
    lines += ["| File | State | What was found |", "|---|---|---|"]
    for row in document["results"]:
        problems = "; ".join(
            f"{code_span(p['code'])} {markdown_text(p['sentence'])}" for p in row["problems"]
        )
        said = " ".join(part for part in (markdown_text(row["summary"]), problems) if part)
        lines.append(f"| {code_span(row['path'])} | {_state(row['state'])} | {said} |")
    for error in document.get("errors", ()):
        why = f"{code_span(error['code'])} {markdown_text(error['message'])}"
        lines.append(f"| {code_span(error['path'])} | {_state('error')} | {why} |")
    return lines


def _audit(document: Document) -> list[str]:
    word = {0: "passed", 1: "failed", 2: "could not be evaluated", 3: "had nothing to audit"}
    outcome = {0: "pass", 1: "fail"}.get(document["exit_code"], "error")
    said = word.get(document["exit_code"], "")
    subject = document["subject"]
    lines = [
        f"## {MARKS[outcome]} Audit {said}: {markdown_text(document['policy'])}",
        "",
        f"{markdown_text(subject.get('kind', ''))} {code_span(subject.get('name', ''))}"
        + (f", weights {code_span(str(subject['sha256'])[:16])}" if subject.get("sha256") else ""),
        "",
        _counts(document["counts"]),
        "",
    ]
    baseline = {c["id"]: c for c in (document.get("baseline") or {}).get("checks", [])}
    extra = " Baseline |" if baseline else ""
    lines += [
        f"| Outcome | Check | Measured | Interval | Asked | n |{extra}",
        "|---|---|---|---|---|---|" + "---|" * bool(baseline),
    ]
    for check in document["checks"]:
        lines.append(_check_line(check, baseline.get(check["id"]), bool(baseline)))
    remarks = [c for c in document["checks"] if c["outcome"] not in ("pass",)]
    if remarks:
        lines += ["", "### What to look at", ""]
        lines += [
            f"- {_state(c['outcome'])} {code_span(c['id'])}: {markdown_text(c['sentence'])}" for c in remarks
        ]
    if document["towards"]:
        lines += ["", "### Evidence towards", "", f"*{DISCLAIMER}*", ""]
        for section in document["towards"]:
            checks = ", ".join(
                f"{MARKS.get(c['outcome'], '')} {code_span(c['id'])}" for c in section["checks"]
            )
            lines.append(
                f"- {markdown_text(section['title'])} ({markdown_text(section['source'])}): {checks}"
            )
    return lines


def _check_line(check: dict[str, Any], before: dict[str, Any] | None, compared: bool) -> str:
    interval, unit = check["interval"] or {}, check["unit"]
    bounds = f"{figure(interval.get('low'), unit)} … {figure(interval.get('high'), unit)}" if interval else ""
    sign = "≥" if check["direction"] == "at-least" else "≤"
    asked = f"{sign} {figure(check['threshold'], unit)}" if check["threshold"] is not None else ""
    measured = figure(interval.get("value"), unit) if interval else ""
    line = (
        f"| {_state(check['outcome'])} | {code_span(check['id'])} | {measured} | {bounds} | {asked} "
        f"| {interval.get('n', '')} |"
    )
    if compared:
        line += f" {_difference(check, before)} |"
    return line


def _difference(check: dict[str, Any], before: dict[str, Any] | None) -> str:
    if before is None:
        return "new"
    now, then = (c["interval"]["value"] if c["interval"] else None for c in (check, before))
    if now is None or then is None:
        return str(before["outcome"])
    step = now - then
    better = (step >= 0) == (check["direction"] == "at-least")
    arrow = "=" if abs(step) < 1e-12 else "better" if better else "worse"
    return f"{figure(then, check['unit'])} ({step:+.3g}, {arrow})"


def _evaluation(document: Document) -> list[str]:
    found = tabulate(document)
    lines = [f"## {markdown_text(document['title'])}", ""]
    if document.get("headline"):
        lines += [markdown_text(document["headline"]), ""]
    columns = " | ".join(markdown_text(name or "Measured") for name in found.conditions)
    lines += [f"| Figure | Slice | {columns} | n |", "|---|---|" + "---|" * (len(found.conditions) + 1)]
    for line in found.lines:
        cells = []
        for cell in line.cells:
            interval = bounds(cell, line.unit)
            cells.append(measured(cell, line.unit) + (f" ({interval})" if interval else ""))
        names = f"{markdown_text(line.name)} | {markdown_text(line.slice)}"
        lines.append(f"| {names} | {' | '.join(cells)} | {line.images} |")
    return [*lines, "", *(markdown_text(note) for note in document["notes"])]
