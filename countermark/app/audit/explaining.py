"""``audit explain``: what a check measures, its formula, its source, its options, from the class itself.

>>> print(explain("detector.auroc").splitlines()[0])
detector.auroc: Ranks synthetic images above real ones
"""

from __future__ import annotations

import inspect

from countermark.app.audit.checks import CHECKS
from countermark.app.audit.schema import CheckEntry
from countermark.reports.claims import CLAIMS


def explain(name: str) -> str:
    """Plain text about one check; UnknownNameError lists the known ones."""
    check = CHECKS.get(name)
    key = "at_least" if check.direction == "at-least" else "at_most"
    lines = [
        f"{check.id}: {check.title}",
        "",
        f"  Measures   {check.formula}.",
        f"  Source     {check.source}.",
        f"  Audits     {', '.join(check.kinds)}",
        f"  Threshold  {key}"
        + (f" (default {check.default_threshold:g})" if check.default_threshold is not None else ""),
        f"  Unit       {check.unit or 'none'}",
        f"  Evidence   {'an evidence table' if check.needs_evidence else 'none; made from the subject'}",
    ]
    if check.claims:
        lines.append("  Towards    " + "; ".join(CLAIMS.get(c, (c, ""))[0] for c in check.claims))
    lines += ["", "  Options"]
    described = _described(check.Options)
    for field, info in check.Options.model_fields.items():
        if field in ("id", "at_least", "at_most"):
            continue
        default = "required" if info.is_required() else f"default {_show(info.get_default())}"
        text = f"    {field}  ({default})  {described.get(field, '')}"
        lines.append(text.rstrip())
    return "\n".join(lines) + "\n"


def overview() -> str:
    """One line a check, for ``audit explain`` without a name."""
    width = max(len(name) for name in CHECKS)
    return "\n".join(f"{name:<{width}}  {CHECKS.get(name).title}" for name in CHECKS) + "\n"


def _show(value: object) -> str:
    return "none" if value is None or value in ((), "") else str(value)


def _described(options: type[CheckEntry]) -> dict[str, str]:
    """What the docstrings of the options' classes say about each field."""
    found: dict[str, str] = {}
    for cls in reversed(options.__mro__):
        doc = inspect.getdoc(cls) if issubclass(cls, CheckEntry) else None
        field = ""
        for line in (doc or "").splitlines():
            head, colon, tail = line.strip().partition(":")
            if colon and head in options.model_fields and line.startswith("    "):
                field, found[head] = head, tail.strip()
            elif field and line.startswith("        "):
                found[field] += " " + line.strip()
            else:
                field = ""
    return found
