"""Jupyter: results show themselves as tables, with nothing of a file's name as mark-up."""

from __future__ import annotations

from types import SimpleNamespace

import countermark
from countermark.app.notebook import ScanResults, as_html
from countermark.core.results import (
    AuditReport,
    CheckResult,
    Evidence,
    Outcome,
    ScanResult,
    Strength,
    Verdict,
    Verification,
    VerificationState,
)

HOSTILE = "<img src=x onerror=alert(1)>\u202e.png"


def result(path: str = HOSTILE) -> ScanResult:
    why = (Evidence("detector", "neither", Strength.WEAK, f"Because of {HOSTILE}."),)
    return ScanResult(path, "00" * 32, Verdict.UNSURE, 0.61, why)


def test_a_scan_is_a_list_and_a_table() -> None:
    results = ScanResults([result(), result("b.png")])
    shown = results._repr_html_()
    assert len(results) == 2 and results[1].path == "b.png"
    assert "2 files: 2 unsure" in shown and "0.610" in shown and "larger, less compressed" in shown
    assert "<img" not in shown and "\u202e" not in shown and "<script" not in shown


def test_single_results_verifications_and_audits() -> None:
    assert "unsure" in as_html(result())
    assert "absent" in as_html(Verification(HOSTILE, VerificationState.ABSENT))
    check = CheckResult("detector.auroc", "AUROC", Outcome.PASS, "It passed.")
    assert "detector.auroc" in as_html(AuditReport("p", {}, (check,), True, 0))


def test_the_extension_registers_what_notebooks_show() -> None:
    known: dict[type, object] = {}
    formatter = SimpleNamespace(for_type=lambda kind, function: known.__setitem__(kind, function))
    shell = SimpleNamespace(display_formatter=SimpleNamespace(formatters={"text/html": formatter}))
    countermark.load_ipython_extension(shell)
    assert set(known) == {ScanResult, Verification, AuditReport}


def test_many_results_stay_bounded() -> None:
    shown = ScanResults([result(f"{n}.png") for n in range(500)])._repr_html_()
    assert shown.count("<tr>") == 201 and "500 files" in shown
