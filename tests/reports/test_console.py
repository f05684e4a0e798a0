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
    row = next(row for row in document["results"] if row["evidence"])
    part = {"kind": "region", "strength": "weak", "sentence": "A part is likely synthetic.", "detail": {}}
    row["evidence"] = [*row["evidence"], {**part, "points_to": "synthetic"}]
    assert "A part is likely synthetic." in render(document, "console", width=250)
    row["evidence"][-1]["points_to"] = "neither"
    assert "A part is likely synthetic." not in render(document, "console", width=250)


def test_audit_rows(documents: dict[str, Document]) -> None:
    text = render(documents["audit"], "console", width=250)
    assert re.search(r"✓ pass\s+detector\.auroc\s+0\.950\s+0\.930 … 0\.970\s+≥ 0\.900\s+400", text)
    assert re.search(r"✗ fail\s+detector\.fpr\s+5\.0 %", text)
    assert "6 checks" in text and "Exit code 1" in text
