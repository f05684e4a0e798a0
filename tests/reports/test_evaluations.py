"""Conditions side by side, the headline first, curves drawn."""

from __future__ import annotations

import jsonschema
import pytest

from countermark.reports.documents import evaluation_document, load_schema
from countermark.reports.evaluations import bounds, measured, tabulate
from countermark.reports.formats import render


def row(name: str, value: float | None, condition: str = "", **more: object) -> dict[str, object]:
    return {
        "name": name,
        "condition": condition,
        "interval": {"value": value, "low": 0.1, "high": 0.9, "n": 5},
        **more,
    }


@pytest.fixture
def document() -> dict[str, object]:
    figures = [row("AUROC", 0.81, "native"), row("AUROC", 0.72, "q75"), row("control", 0.5)]
    curves = {
        "native": {
            "roc": {"fpr": [0, 0, 1], "tpr": [0, 1, 1], "auroc": 0.81},
            "reliability": [{"score": 0.25, "share": 0.3, "n": 7}],
        }
    }
    return evaluation_document(
        "Detector x", figures, headline="This corpus is confounded.", curves=curves, notes=["a note"]
    )


def test_lines_hold_one_cell_a_condition() -> None:
    figures = [row("a", 0.1, "native"), row("a", 0.2, "q75"), row("a", 0.3, "q75"), row("b", None, slice="s")]
    table = tabulate({"figures": [{"slice": "", "unit": "", **f} for f in figures]})
    assert table.conditions == ("native", "q75")
    assert [[measured(c, "") for c in line.cells] for line in table.lines] == [
        ["0.100", "0.200"],
        ["", "0.300"],
        ["–", ""],
    ]
    assert table.lines[0].images == "5" and bounds(table.lines[0].cells[0], "share") == "10.0 % … 90.0 %"
    assert tabulate({"figures": []}).lines == ()


@pytest.mark.parametrize("format", ["html", "markdown", "console"])
def test_headline_stands_before_every_figure(document: dict[str, object], format: str) -> None:
    text = render(document, format)
    body = text[text.find("<h1>") :] if format == "html" else text
    assert 0 < body.find("This corpus is confounded") < body.find("0.810") < body.find("a note")


def test_curves_are_drawn_and_valid(document: dict[str, object]) -> None:
    jsonschema.validate(document, load_schema("evaluation"))
    text = render(document, "html")
    assert text.count('class="plot"') == 2 and "ROC curve, area 0.810" in text
