"""Console output: literal text, no control sequences from files, the figures in it."""

from __future__ import annotations

import copy
import re

import pytest

from countermark.reports.canonical import Document
from countermark.reports.formats import render


@pytest.mark.parametrize("kind", ["scan", "verify", "audit", "evaluation"])
@pytest.mark.parametrize("colour", [False, True])
def test_hostile_text_is_shown_literally(kind: str, colour: bool, documents: dict[str, Document]) -> None:
    text = render(documents[kind], "console", width=900, colour=colour)
    bare = re.sub(r"\x1b\[[0-9;]*m", "", text) if colour else text
    assert "\x1b" not in bare and "\u202e" not in bare
    assert "\\x1b[31m" in bare and "[red]" in bare
    assert ("\x1b[" in text) == colour


def test_scan_rows(documents: dict[str, Document]) -> None:
    text = render(documents["scan"], "console", width=250)
    assert re.search(r"declared\.png\s+declared-synthetic\s+0\.900\s+A trusted credential says so\.", text)
    assert "image.truncated" in text and "2 findings at or above likely-synthetic" in text


def test_a_part_that_does_not_decide_is_named_below_the_row(documents: dict[str, Document]) -> None:
    document = copy.deepcopy(documents["scan"])
    row = next(row for row in document["results"] if row["verdict"] == "unsure")
    part = {"kind": "region", "strength": "weak", "sentence": "A part is likely synthetic.", "detail": {}}
    row["evidence"] = [*row["evidence"], {**part, "points_to": "synthetic"}]
    text = render(document, "console", width=250)
    assert "A part is likely synthetic." in text and "before anybody edited it" in text
    row["evidence"][-1]["points_to"] = "neither"
    text = render(document, "console", width=250)
    assert "A part is likely synthetic." not in text and "before anybody edited it" not in text


def test_audit_rows(documents: dict[str, Document]) -> None:
    text = render(documents["audit"], "console", width=250)
    assert re.search(r"✓ pass\s+detector\.auroc\s+0\.950\s+0\.930 … 0\.970\s+≥ 0\.900\s+400", text)
    assert re.search(r"✗ fail\s+detector\.fpr\s+5\.0 %", text)
    assert "6 checks" in text and "Exit code 1" in text


def test_a_stopped_search_is_said_once_and_never_first(documents: dict[str, Document]) -> None:
    document = copy.deepcopy(documents["scan"])
    stopped = {
        "kind": "mark", "points_to": "neither", "strength": "weak", "detail": {"stopped_after": 2.0},
        "sentence": "The search for a changed watermark was stopped after 2.0 s.",
    }  # fmt: skip
    judged = [row for row in document["results"] if row["evidence"] and row["verdict"] != "no-evidence"]
    for row in judged:
        row["evidence"] = [*row["evidence"], stopped]
    text = render(document, "console", width=250)
    assert text.count("was stopped") == 1 and f"In {len(judged)} pictures the search" in text
    assert "--mark-seconds" in text and text.index("was stopped") > text.index("files:")


def test_what_was_left_out_is_named_with_what_to_do(documents: dict[str, Document]) -> None:
    document = copy.deepcopy(documents["scan"])
    names = [{"path": f"{name}.pdf", "reason": "documents"} for name in "abcd"]
    document["settings"]["left_out"] = {"documents": 5, "symbolic links": 2}
    document["settings"]["left_out_files"] = names
    text = render(document, "console", width=250)
    assert "Not looked at: documents: a.pdf, b.pdf, c.pdf, 2 more; symbolic links: 2." in text
    assert "countermark serve" in text


def test_working_points_stand_in_a_table(documents: dict[str, Document]) -> None:
    document = copy.deepcopy(documents["scan"])
    document["settings"]["working_points"] = [
        {"name": "default", "max_fpr": 0.01, "likely": 0.9, "unsure": 0.5, "found": {"native": 0.61}}
    ]
    text = render(document, "console", width=250)
    assert re.search(r"default\s+0\.900\s+at most 1\.0 %\s+61\.0 %", text) and "half of all pictures" in text
    assert text.index("what to do next") > text.index("working point")
