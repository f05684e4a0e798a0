"""A model card in Hugging Face's format: YAML front matter from the weights' card, then the audit.

>>> text = model_card({"name": "x", "kind": "detector", "licence": "Apache-2.0"}, None)
>>> text.splitlines()[:2]
['---', 'license: "apache-2.0"']
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from countermark.reports.claims import DISCLAIMER
from countermark.reports.text import code_span, figure, markdown_text

_PIPELINES = {"detector": "image-classification", "generator": "unconditional-image-generation"}


def model_card(card: Mapping[str, Any], audit: Mapping[str, Any] | None) -> str:
    """Markdown with front matter.

    Args:
        card: The weights' card, as ``WeightsCard.model_dump()`` gives it.
        audit: A ``countermark.audit/1`` document whose figures are quoted, or None.
    """
    lines = [*_front_matter(card, audit), "", f"# {markdown_text(card.get('name', 'model'))}", ""]
    if card.get("summary"):
        lines += [markdown_text(card["summary"]), ""]
    facts = [("Kind", card.get("kind")), ("Family", card.get("family")), ("Version", card.get("version"))]
    facts += [("Licence", card.get("licence")), ("SHA-256", card.get("sha256"))]
    lines += [f"- {name}: {code_span(value)}" for name, value in facts if value]
    lines += _section("Training data", [markdown_text(line) for line in card.get("training_data", ())])
    trained = dict(card.get("trained") or {})
    lines += _section("Training", [f"{markdown_text(k)}: {code_span(_line(v))}" for k, v in trained.items()])
    lines += _section("Limits", [markdown_text(line) for line in card.get("limits", ())])
    if audit is not None:
        lines += _evaluation(audit)
    return "\n".join(lines) + "\n"


def _front_matter(card: Mapping[str, Any], audit: Mapping[str, Any] | None) -> list[str]:
    """YAML is a superset of JSON: every value is written as JSON, so nothing can break out."""
    kind = str(card.get("kind", ""))
    lines = ["---", f"license: {json.dumps(str(card.get('licence', 'unknown')).lower())}"]
    if kind in _PIPELINES:
        lines.append(f"pipeline_tag: {json.dumps(_PIPELINES[kind])}")
    tags = ["countermark", kind, str(card.get("family", ""))]
    lines += ["library_name: countermark", f"tags: {json.dumps([t for t in tags if t])}"]
    results = _results(audit) if audit is not None else []
    if results:
        index = [{"name": str(card.get("name", "")), "results": results}]
        lines.append(f"model-index: {json.dumps(index)}")
    return [*lines, "---"]


def _results(audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for check in audit["checks"]:
        interval = check["interval"]
        if interval and interval["value"] is not None:
            found.append(
                {
                    "task": {"type": "image-classification", "name": check["title"]},
                    "dataset": {"type": "custom", "name": audit["policy"]},
                    "metrics": [{"type": check["id"], "name": check["id"], "value": interval["value"]}],
                }
            )
    return found


def _section(title: str, items: list[str]) -> list[str]:
    return ["", f"## {title}", "", *(f"- {item}" for item in items)] if items else []


def _line(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _evaluation(audit: Mapping[str, Any]) -> list[str]:
    lines = ["", "## Evaluation", "", f"Policy: {markdown_text(audit['policy'])}.", ""]
    lines += ["| Check | Measured | Interval | Images | Asked | Outcome |", "|---|---|---|---|---|---|"]
    for check in audit["checks"]:
        interval, unit = check["interval"] or {}, check["unit"]
        sign = "≥" if check["direction"] == "at-least" else "≤"
        asked = f"{sign} {figure(check['threshold'], unit)}" if check["threshold"] is not None else ""
        bounds = (
            f"{figure(interval.get('low'), unit)} … {figure(interval.get('high'), unit)}" if interval else ""
        )
        value = figure(interval.get("value"), unit) if interval else ""
        cells = (code_span(check["id"]), value, bounds, interval.get("n", ""), asked, check["outcome"])
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    if audit["towards"]:
        lines += ["", "## Evidence towards", "", DISCLAIMER, ""]
        for section in audit["towards"]:
            checks = ", ".join(f"{code_span(c['id'])} {c['outcome']}" for c in section["checks"])
            lines.append(
                f"- {markdown_text(section['title'])} ({markdown_text(section['source'])}): {checks}"
            )
    return lines
