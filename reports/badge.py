"""Badge JSON in the shields.io endpoint schema (version 1)."""

from __future__ import annotations

from countermark.reports.canonical import Document, dumps
from countermark.reports.documents import kind_of
from countermark.reports.formats import Options

_AUDIT = {
    "pass": ("passed", "brightgreen"),
    "pass-with-inconclusive": ("passed, some undecided", "yellowgreen"),
    "fail": ("failed", "red"),
    "error": ("not evaluated", "orange"),
    "nothing": ("nothing to audit", "lightgrey"),
}


def render(document: Document, options: Options) -> str:
    """One badge for the whole document."""
    counts = document["counts"]
    kind = kind_of(document)
    if kind == "audit":
        message, colour = _AUDIT[document["outcome"]]
        label = "audit"
    elif kind == "scan":
        found = counts["declared-synthetic"] + counts["likely-synthetic"]
        message = f"{found} of {counts['total']} with signs"
        colour = "orange" if counts["error"] else "blue" if found else "lightgrey"
        label = "synthetic images"
    else:
        good = counts["trusted"] + counts["intact"]
        message = f"{good} of {counts['total']} intact"
        colour = "red" if counts["invalid"] else "brightgreen" if good == counts["total"] else "lightgrey"
        label = "credentials"
    return dumps({"schemaVersion": 1, "label": label, "message": message, "color": colour})
