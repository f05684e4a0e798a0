"""CSV and side-cars of verdicts: read again by others' readers, and no formula or mark-up gets through."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from countermark.core.errors import ConfigError, OutputError
from countermark.reports.advice import NEXT, next_step
from countermark.reports.canonical import Document
from countermark.reports.formats import render
from countermark.reports.sidecars import packet, write_sidecars
from countermark.reports.tables import cell


def rows(document: Document) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render(document, "csv"), newline="")))


def test_a_scan_as_a_table(documents: dict[str, Document]) -> None:
    found = {row["file"]: row for row in rows(documents["scan"])}
    assert len(found) == len(documents["scan"]["results"])
    likely = found["likely.png"]
    assert likely["verdict"] == "likely-synthetic" and likely["score"] == "0.9500"
    assert likely["next_step"] == NEXT["likely-synthetic"]
    assert next(row["error"] for row in found.values() if row["error"]).startswith("image.truncated")


def test_a_verification_as_a_table(documents: dict[str, Document]) -> None:
    found = {row["file"]: row for row in rows(documents["verify"])}
    assert found["good.png"]["state"] == "trusted" and found["none.png"]["next_step"] == NEXT["absent"]


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert cell(text)[0] not in "=+-@\t\r"


def test_what_to_do_depends_on_what_declared_it() -> None:
    def row(kind: str, strength: str = "strong") -> dict[str, Any]:
        evidence = [{"kind": kind, "points_to": "synthetic", "strength": strength}]
        return {"verdict": "declared-synthetic", "error": None, "evidence": evidence}

    said = {kind: next_step(row(kind)) for kind in ("credential", "metadata", "mark", "recovery")}
    assert len(set(said.values())) == 4 and said["credential"] == NEXT["declared-synthetic"]
    assert next_step({"verdict": None, "error": {"hint": "Fetch it again."}}) == "Fetch it again."


def test_side_cars_lie_beside_their_pictures_and_are_xml(
    documents: dict[str, Document], tmp_path: Path
) -> None:
    from xml.etree import ElementTree

    names = ("one/a.jpg", "one/A.png", "two/b.jpg")
    read = [r for r in documents["scan"]["results"] if r["verdict"]]
    results = [{**r, "path": str(tmp_path / name)} for r, name in zip(read, names, strict=False)]
    for result in results:
        Path(result["path"]).parent.mkdir(exist_ok=True)
    document = {**documents["scan"], "results": results}
    made = write_sidecars(document)
    assert [p.relative_to(tmp_path).as_posix() for p in made] == ["one/a.xmp", "one/A.png.xmp", "two/b.xmp"]
    for path in made:
        ElementTree.fromstring(path.read_text("utf-8"))
    with pytest.raises(OutputError):
        write_sidecars(document)
    away = write_sidecars(document, tmp_path / "out")
    assert (tmp_path / "out" / "two" / "b.xmp") in away


def test_a_side_car_holds_label_keyword_and_reason(documents: dict[str, Document]) -> None:
    by_name = {r["path"]: packet(r) for r in documents["scan"]["results"]}
    assert "<xmp:Label>Red</xmp:Label>" in by_name["likely.png"]
    assert "countermark: likely synthetic" in by_name["likely.png"] and "Score 0.95" in by_name["likely.png"]
    assert "xmp:Label>" not in by_name["plain.jpg"] and "Green" not in "".join(by_name.values())
    assert "<script>" not in "".join(by_name.values())
    with pytest.raises(ConfigError):
        write_sidecars(documents["verify"])
