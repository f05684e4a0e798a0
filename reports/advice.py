"""What to do next, in one plain sentence for each answer; for the console, reports and tables.

The service's page says the same in more words, and in several languages.

>>> next_step({"verdict": "unsure", "evidence": [], "error": None})
'Ask for a larger, less compressed copy, then for the original file.'
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

NEXT: Mapping[str, str] = {
    "declared-synthetic": "Read its history (countermark verify FILE --tree) and ask the named generator or "
    "signer.",
    "likely-synthetic": "Do not call it generated on this alone: ask the sender for the original file, and "
    "for pictures taken just before and after.",
    "unsure": "Ask for a larger, less compressed copy, then for the original file.",
    "no-evidence": "Check source, place and time as for any picture: this is no proof of a photograph.",
    "declared-captured": "Read what was changed since (countermark verify FILE --tree).",
    "trusted": "Read its history: it says how the picture was made and what was changed.",
    "intact": "Ask the signer to confirm it, or add the signer's certificate to your trust list.",
    "invalid": "Ask the signer for the original: the file or its history was changed, or the signature "
    "cannot be relied on.",
    "recovered": "Compare it with the picture that was signed: the record speaks of that one, not of this "
    "copy.",
    "absent": "Nothing follows from it; most pictures have none. Ask: countermark scan FILE",
}
_METADATA = "Ask the sender which generator was used: its name stands in the file, and anyone can write it."
_MARK = "Ask whoever runs the generator with this mark; look for its record: countermark verify FILE"
_RECOVERED = (
    "Compare it with the picture that was signed, whose record is kept: countermark verify FILE --tree"
)
#: Kinds of evidence that name places in a picture.
PLACED = ("region", "face")
_PLACE = (
    "Look at the place that the evidence names, and ask for the picture as it was before anybody edited it."
)
_DECLARING = ("credential", "recovery", "mark", "metadata")


def next_step(row: Mapping[str, Any]) -> str:
    """What to do about one row of a scan's or a verification's document; empty when there is nothing."""
    if row.get("error"):
        return str(row["error"]["hint"])
    answer = row.get("verdict") or row.get("state") or ""
    if answer == "declared-synthetic":
        kind = next(
            (
                e["kind"]
                for e in row["evidence"]
                if e["points_to"] == "synthetic" and e["strength"] != "weak" and e["kind"] in _DECLARING
            ),
            "",
        )
        return {"metadata": _METADATA, "mark": _MARK, "recovery": _RECOVERED}.get(kind, NEXT[answer])
    if answer in ("no-evidence", "unsure") and any(
        e["kind"] in PLACED and e["points_to"] == "synthetic" for e in row["evidence"]
    ):
        return _PLACE
    return NEXT.get(answer, "")


def next_steps(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Each answer among ``rows`` with what to do about it, once."""
    found: dict[tuple[str, str], None] = {}
    for row in rows:
        step = next_step(row)
        if step and not row.get("error"):
            found.setdefault((str(row.get("verdict") or row.get("state")), step))
    order = list(NEXT)
    return sorted(found, key=lambda pair: order.index(pair[0]) if pair[0] in order else len(order))
