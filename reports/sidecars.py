"""XMP side-cars of a scan's verdicts, which Lightroom, Bridge and Photo Mechanic read beside a picture.

Each holds a colour label (red, yellow, or none: never green), keywords, and the reason under
*Instructions*. The picture itself is not touched.

>>> row = {"path": "a.jpg", "verdict": "unsure", "score": 0.61, "evidence": [], "error": None}
>>> "<xmp:Label>Yellow</xmp:Label>" in packet(row)
True
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from countermark.core.errors import ConfigError
from countermark.core.files import atomic_write, refuse_existing
from countermark.reports.advice import next_step
from countermark.reports.documents import kind_of
from countermark.reports.text import visible

LABELS: Mapping[str, str] = {
    "declared-synthetic": "Red",
    "likely-synthetic": "Red",
    "unsure": "Yellow",
}
_PACKET = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" \
xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/">
{label}   <dc:subject><rdf:Bag>{keywords}</rdf:Bag></dc:subject>
   <photoshop:Instructions>{text}</photoshop:Instructions>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""


def packet(row: Mapping[str, Any]) -> str:
    """The side-car of one row of a scan's document."""
    verdict = row["verdict"] or "not judged"
    label = LABELS.get(verdict, "")
    reason = row["evidence"][0]["sentence"] if row["evidence"] else ""
    score = "" if row["score"] is None else f" Score {row['score']:.2f}."
    text = f"Countermark: {verdict}.{score} {reason} {next_step(row)}"
    keywords = ("countermark", f"countermark: {verdict.replace('-', ' ')}")
    return _PACKET.format(
        label=f"   <xmp:Label>{label}</xmp:Label>\n" if label else "",
        keywords="".join(f"<rdf:li>{escape(each)}</rdf:li>" for each in keywords),
        text=escape(visible(" ".join(text.split()), 1500)),
    )


def write_sidecars(document: Mapping[str, Any], out: Path | str | None = None) -> list[Path]:
    """Writes a side-car for every picture of a scan that has a verdict.

    Args:
        document: ``countermark.scan/1``.
        out: A folder; by default each lies beside its picture, as editors look for it. In a folder the
            pictures' own folders are made anew below their common one.

    Raises:
        ConfigError: the document is not of a scan.
        OutputError: ``output.exists``: a side-car is there already; then none is written.
    """
    if kind_of(document) != "scan":
        raise ConfigError("Side-cars are made from the JSON report of a scan.", code="report.kind")
    rows = [row for row in document["results"] if row["verdict"]]
    places = _places([str(row["path"]) for row in rows], None if out is None else Path(out))
    for place in places:
        refuse_existing(place)
    return [atomic_write(place, packet(row)) for place, row in zip(places, rows, strict=True)]


def _places(paths: list[str], out: Path | None) -> list[Path]:
    """``photo.xmp`` for ``photo.jpg``; ``photo.png.xmp`` for the next picture of that name."""
    found: list[Path] = []
    taken: set[str] = set()
    below = _common([Path(path) for path in paths])
    for path in map(Path, paths):
        home = path.parent
        if out is not None:
            home = out / (home.relative_to(below) if below is not None else Path())
        names = chain((path.stem, path.name), (f"{path.name}-{number}" for number in count(2)))
        place = next(p for name in names if str(p := home / f"{name}.xmp").lower() not in taken)
        taken.add(str(place).lower())
        found.append(place)
    return found


def _common(paths: list[Path]) -> Path | None:
    """The innermost folder that holds all of them; None when there is none, or one climbs out of it."""
    if not paths or any(".." in path.parts for path in paths):
        return None
    home = paths[0].parent
    while not all(path.is_relative_to(home) for path in paths):
        if home == home.parent:
            return None
        home = home.parent
    return home
