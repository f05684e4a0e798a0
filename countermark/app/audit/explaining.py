"""``audit explain``: what a check measures, its formula, its source, its options, from the class itself.

>>> print(explain("detector.auroc").splitlines()[0])
detector.auroc: Ranks synthetic images above real ones
"""

from __future__ import annotations

import inspect
import textwrap

from countermark.app.audit.checks import CHECKS
from countermark.app.audit.schema import CheckEntry
from countermark.core.errors import UnknownNameError, known_names
from countermark.reports.claims import CLAIMS, DISCLAIMER, LAWS


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
        lines += _towards(check.claims)
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


def explain_law(name: str = "") -> str:
    """What published texts ask for, by number, and which checks are evidence towards it.

    Args:
        name: A text, such as ``eu-code``; empty for all of them.

    Raises:
        UnknownNameError: no such text.
    """
    laws = [key for key, law in LAWS.items() if law.dates]
    if name and name not in laws:
        raise UnknownNameError(f"There is no text {name!r}.", hint=known_names(name, laws))
    bearing: dict[str, list[str]] = {}
    for check in CHECKS:
        for claim in CHECKS.get(check).claims:
            bearing.setdefault(claim, []).append(check)
    lines: list[str] = []
    for key in [name] if name else laws:
        law = LAWS[key]
        lines += [f"{key}: {law.title}", *_wrapped(law.dates), *_wrapped(f"Read in: {law.read}."), ""]
        for number, asked in CLAIMS.items():
            if asked.law == key:
                found = bearing.get(number, [])
                lines.append(f"  {number.partition('/')[2]:<18}  {asked.title}")
                lines += _wrapped(", ".join(found) if found else _UNMEASURED, 22)
        lines.append("")
    return "\n".join([*lines, *_wrapped(DISCLAIMER, 0)]) + "\n"


_UNMEASURED = "no check measures this"


def _towards(claims: tuple[str, ...]) -> list[str]:
    """One line a claim: its name, and what it asks."""
    shown = [f"{name}  {CLAIMS[name].title}" if name in CLAIMS else name for name in claims]
    return [f"  {'Towards' if number == 0 else '':<9}  {text}" for number, text in enumerate(shown)]


def _wrapped(text: str, indent: int = 2) -> list[str]:
    return textwrap.wrap(
        text,
        100,
        initial_indent=" " * indent,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


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
