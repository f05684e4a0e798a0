"""Which marks outlive an export: the files before and after, pair by pair, mark by mark."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
from pydantic import Field

from countermark.app.audit.checks.base import Check, Context, Measured, Slice
from countermark.app.audit.checks.pipeline import SIGNED, verifications
from countermark.app.audit.checks.towards import KEPT
from countermark.app.audit.samples import Item
from countermark.app.audit.schema import CheckEntry
from countermark.core.errors import CountermarkError
from countermark.core.images import read_bytes, read_image, sniff_format
from countermark.core.results import Outcome

Mark = Literal["credential", "declaration", "watermark", "metadata"]
MARKS: tuple[Mark, ...] = ("credential", "declaration", "watermark", "metadata")


class Pair(CheckEntry):
    """Options.

    Attributes:
        before: Name of the evidence as it was before the export; ``evidence`` is what came out. Files
            belong together by their names, extensions apart.
        marks: ``credential``: it holds (trusted or intact); ``declaration``: it holds and its digital
            source type is still the same; ``watermark``: the same identifier is read; ``metadata``: IPTC's
            source type or an AIGC label still stands there.
        max_p: Largest probability of a chance match at which a watermark counts as read.
    """

    before: str = "before"
    marks: tuple[Mark, ...] = MARKS
    max_p: float = Field(default=1e-6, gt=0, lt=1)


class Kept(Check[Pair]):
    id = "pipeline.kept"
    title = "An export keeps the marks that were there"
    kinds = ("pipeline", "generator", "detector")
    default_threshold = 0.9
    formula = (
        "by mark: share of the files that had it before which still have it after; a missing file lost all"
    )
    source = "Clopper & Pearson 1934; EU code of practice, 1.2; California 22757.3.1; India, rule 3(3)"
    claims = KEPT

    def measure(self, entry: Pair, context: Context) -> Measured:
        before, after = (_by_stem(context, name) for name in (entry.before, entry.evidence))
        if not before:
            return Measured(outcome=Outcome.SKIPPED, sentence="There is no file before the export.")
        had, has = (
            {stem: _marks(context, name, items[stem], entry) for stem in items if stem in before}
            for name, items in ((entry.before, before), (entry.evidence, after))
        )
        slices, table = [], []
        for mark in entry.marks:
            bearers = [stem for stem in sorted(before) if had[stem][mark]]
            kept = np.array([has.get(stem, {}).get(mark) == had[stem][mark] for stem in bearers])
            lost = [stem for stem, good in zip(bearers, kept, strict=True) if not good]
            table.append({"mark": mark, "before": len(bearers), "kept": int(kept.sum()), "lost": lost[:20]})
            if bearers:
                slices.append(Slice(mark, context.proportion(kept, None)))
        detail: dict[str, Any] = {
            "files": len(before),
            "missing": [stem for stem in sorted(before) if stem not in after][:20],
            "marks": table,
        }
        if not slices:
            return Measured(
                outcome=Outcome.SKIPPED, sentence="No file had a mark before the export.", detail=detail
            )
        counts = (f"{row['mark']} {row['kept']} of {row['before']}" for row in table if row["before"])
        return Measured(slices=tuple(slices), sentence=f"Kept: {', '.join(counts)}.", detail=detail)


def _by_stem(context: Context, evidence: str) -> dict[str, Item]:
    """The files of an evidence table by their names without extensions; the first of equals."""
    found: dict[str, Item] = {}
    for item in context.library.images(evidence).items:
        found.setdefault(str(PurePosixPath(item.name).with_suffix("")), item)
    return found


def _marks(context: Context, evidence: str, item: Item, entry: Pair) -> dict[Mark, str]:
    """Each mark of a file as a text, empty where there is none."""
    found: dict[Mark, str] = dict.fromkeys(MARKS, "")
    verified = context.once(("verified", evidence), lambda: dict(verifications(context, evidence)))[item.name]
    if verified.state in SIGNED:
        found["credential"] = "holds"
        found["declaration"] = (verified.digital_source_type or "").rstrip("/").rpartition("/")[2]
    if "metadata" in entry.marks:
        found["metadata"] = _labels(item)
    if "watermark" in entry.marks:
        try:
            reading = context.library.rooms.read_mark(read_image(item.path).pixels)
        except CountermarkError:  # too small to be looked at, or damaged: no mark is read
            return found
        if reading.payload is not None and reading.p_value <= entry.max_p:
            found["watermark"] = reading.payload.hex()
    return found


def _labels(item: Item) -> str:
    from countermark.provenance.metadata.labels import read_label

    data = read_bytes(item.path)
    label = read_label(data, sniff_format(data) or "")
    return " ".join(filter(None, (label.term, "AIGC" if label.aigc.get("Label") else "")))
