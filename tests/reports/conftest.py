"""Small documents of every kind, with hostile strings in every place that an image could fill."""

from __future__ import annotations

import pytest

from countermark.core.results import (
    AuditReport,
    ChainLink,
    CheckResult,
    Evidence,
    Failure,
    Interval,
    MarkReading,
    Outcome,
    Problem,
    ScanResult,
    Strength,
    Verdict,
    Verification,
    VerificationState,
)
from countermark.reports.canonical import Document
from countermark.reports.documents import audit_document, evaluation_document, scan_document, verify_document

#: Mark-up, Markdown, console mark-up, control, bidirectional and unpaired characters in one name.
HOSTILE = "a/<script>alert(1)</script>\"'`|[red]**x**](http://e.example)\x1b[31m\u202egpj\udc80\n.png"


def _scan_results() -> list[ScanResult]:
    strong = Evidence(
        "detector", "synthetic", Strength.STRONG, f"Score 0.9 {HOSTILE}", {"score": 0.9, "x": HOSTILE}
    )
    certain = Evidence("credential", "synthetic", Strength.CERTAIN, "A trusted credential says so.")
    weak = Evidence("detector", "synthetic", Strength.WEAK, "Score 0.6.")
    seen = {"likely": 0.8, "unsure": 0.4}
    return [
        ScanResult(
            "declared.png",
            "01" * 32,
            Verdict.DECLARED_SYNTHETIC,
            0.9,
            (certain, weak),
            None,
            8,
            8,
            "png",
            seen,
        ),
        ScanResult(
            "likely.png", "02" * 32, Verdict.LIKELY_SYNTHETIC, 0.95, (strong,), None, 8, 8, "png", seen
        ),
        ScanResult("unsure.jpg", "03" * 32, Verdict.UNSURE, 0.6, (weak,), None, 8, 8, "jpeg", seen),
        ScanResult("plain.jpg", "04" * 32, Verdict.NO_EVIDENCE, 0.1, (), None, 8, 8, "jpeg", seen),
        ScanResult("camera.jpg", "05" * 32, Verdict.DECLARED_CAPTURED, None, (), None, 8, 8, "jpeg"),
        ScanResult(
            HOSTILE, None, None, None, error=Failure("image.truncated", f"{HOSTILE} is cut.", "Fetch it.")
        ),
    ]


def _verifications() -> list[Verification]:
    link = ChainLink("urn:c2pa:1", HOSTILE, HOSTILE, HOSTILE, "CA", None, "parentOf", "valid")
    problem = Problem("assertion.dataHash.mismatch", f"Not what was signed. {HOSTILE}")
    mark = MarkReading("00ff", 1e-12)
    return [
        Verification(
            HOSTILE, VerificationState.INVALID, (problem,), (link,), mark, None, HOSTILE, "06" * 32, HOSTILE
        ),
        Verification("none.png", VerificationState.ABSENT, sha256="07" * 32),
        Verification(
            "good.png", VerificationState.TRUSTED, chain=(link,), sha256="08" * 32, summary="Intact."
        ),
    ]


def _report() -> AuditReport:
    def check(name: str, outcome: Outcome, interval: Interval | None, **more: object) -> CheckResult:
        return CheckResult(
            name, f"Title {HOSTILE}", outcome, f"Sentence {HOSTILE}", interval=interval, **more
        )  # type: ignore[arg-type]

    checks = (
        check("detector.auroc", Outcome.PASS, Interval(0.95, 0.93, 0.97, 400, 20), unit="AUROC",
              threshold=0.9, claims=("eu-ai-act/50.2/detectable",)),
        check("detector.fpr", Outcome.FAIL, Interval(0.05, 0.03, 0.08, 200), unit="share", threshold=0.01,
              direction="at-most", detail={"x": HOSTILE}),
        check("detector.ece", Outcome.INCONCLUSIVE, Interval(0.05, 0.03, float("nan"), 200), threshold=0.05,
              direction="at-most", severity="warning"),
        check("weights.card", Outcome.WAIVED, None),
        check("detector.pgd", Outcome.ERROR, None),
        check("detector.leakage", Outcome.SKIPPED, None),
    )  # fmt: skip
    curve = {"roc": {"fpr": [0, 0.1, 1], "tpr": [0, 0.9, 1], "auroc": 0.95}}
    curve["reliability"] = [{"score": 0.1, "share": 0.0, "n": 10}]  # type: ignore[assignment]
    evidence = [{"name": "test", "images": 4, "real": 2, "synthetic": 2, "clusters": 4, "sha256": "09" * 32}]
    worst = [{"path": HOSTILE, "sha256": "02" * 32, "label": "real", "score": 0.99}]
    detail = {"curves": {"test": curve}, "evidence": evidence, "worst": worst, "method": ["How."]}
    subject = {"kind": "detector", "name": HOSTILE, "sha256": "0a" * 32}
    return AuditReport(f"Policy {HOSTILE}", subject, checks, False, 1, "0.1.0", 7, detail)


def _documents() -> dict[str, Document]:
    """One document of every kind, by the kind's name."""
    figure = {"name": HOSTILE, "interval": Interval(0.9, 0.8, 0.95, 100), "unit": "AUROC", "slice": HOSTILE}
    return {
        "scan": scan_document(
            _scan_results(),
            settings={"max_fpr": 0.01, "fail_on": "likely-synthetic"},
            failing=[
                r.path
                for r in _scan_results()
                if r.verdict in (Verdict.DECLARED_SYNTHETIC, Verdict.LIKELY_SYNTHETIC)
            ],
        ),
        "verify": verify_document(_verifications()),
        "audit": audit_document(_report()),
        "evaluation": evaluation_document(HOSTILE, [figure], notes=[HOSTILE]),
    }


@pytest.fixture
def hostile() -> str:
    return HOSTILE


@pytest.fixture
def scan_results() -> list[ScanResult]:
    return _scan_results()


@pytest.fixture
def documents() -> dict[str, Document]:
    """One document of every kind, by the kind's name."""
    return _documents()
