"""Audits as CycloneDX 1.7 and as in-toto statements: by the published schema, with every figure."""

from __future__ import annotations

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from countermark.core.errors import ConfigError
from countermark.core.results import AuditReport, CheckResult, Interval, Outcome
from countermark.reports import audit_document, render
from countermark.reports.intoto import report_digest

SLICES = {
    "slices": [
        {"slice": "gan-a", "outcome": "pass", "interval": Interval(0.97, 0.95, 0.99, 200)},
        {"slice": "<b>", "outcome": "fail", "interval": Interval(0.8, 0.7, 0.88, 100)},
    ]
}
CHECKS = (
    CheckResult(
        "detector.auroc", "Ranks", Outcome.PASS, "", "AUROC", threshold=0.9,
        interval=Interval(0.95, 0.93, 0.97, 400),
    ),
    CheckResult("detector.worst-generator", "Worst", Outcome.FAIL, "", "AUROC", threshold=0.9, detail=SLICES),
    CheckResult("detector.latency", "Slow", Outcome.FAIL, "", "ms", severity="warning"),
    CheckResult("detector.ece", "Calibrated", Outcome.INCONCLUSIVE, ""),
    CheckResult("weights.format", "Format", Outcome.ERROR, ""),
)  # fmt: skip


def document(kind: str = "detector", code: int = 1, checks: tuple[CheckResult, ...] = CHECKS, **subject: str):
    shown = {"name": "out", "images": 3, "sha256": "ab" * 32}
    detail = {"evidence": [shown, {"name": "none", "images": 0, "sha256": ""}]}
    given = {"kind": kind, "name": "my model\u202e", **subject}
    return audit_document(AuditReport("A policy", given, checks, code == 0, code, detail=detail))


@pytest.mark.parametrize(
    "made",
    [
        document(sha256="cd" * 32, licence="Apache-2.0", version="2"),
        document("generator"),
        document("pipeline"),
        audit_document(AuditReport("p", {"kind": "detector"}, (), False, 3), when="2026-11-28T00:00:00Z"),
    ],
)
def test_cyclonedx_follows_the_published_schema(made) -> None:
    text = render(made, "cyclonedx")
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(text) is None
    assert text == render(made, "cyclonedx")


def test_performance_metrics_have_value_slice_and_interval() -> None:
    component = json.loads(render(document(sha256="cd" * 32), "cyclonedx"))["components"][0]
    assert component["type"] == "machine-learning-model" and component["name"] == "my model\\u202e"
    assert component["hashes"] == [{"alg": "SHA-256", "content": "cd" * 32}]
    rows = component["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert rows == [
        {
            "type": "detector.auroc (AUROC)",
            "value": "0.95",
            "confidenceInterval": {"lowerBound": "0.93", "upperBound": "0.97"},
        },
        {
            "type": "detector.worst-generator (AUROC)",
            "value": "0.97",
            "slice": "gan-a",
            "confidenceInterval": {"lowerBound": "0.95", "upperBound": "0.99"},
        },
        {
            "type": "detector.worst-generator (AUROC)",
            "value": "0.8",
            "slice": "<b>",
            "confidenceInterval": {"lowerBound": "0.7", "upperBound": "0.88"},
        },
    ]
    facts = {each["name"]: each["value"] for each in component["properties"]}
    assert facts["countermark:check:detector.auroc:threshold"] == "at-least 0.9"
    assert facts["countermark:check:detector.auroc:n"] == "400" and facts["countermark:outcome"] == "fail"


def test_a_pipeline_has_no_model_card() -> None:
    component = json.loads(render(document("pipeline"), "cyclonedx"))["components"][0]
    assert component["type"] == "application" and "modelCard" not in component
    assert {"name": "countermark:measured:detector.auroc (AUROC)", "value": "0.95 [0.93, 0.97]"} in component[
        "properties"
    ]


def test_a_statement_names_subject_policy_and_every_check_once() -> None:
    made = document(sha256="cd" * 32)
    statement = json.loads(render(made, "in-toto"))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": "my model\\u202e", "digest": {"sha256": "cd" * 32}}]
    predicate = statement["predicate"]
    assert predicate["result"] == "FAILED" and predicate["configuration"][0]["name"] == "A policy"
    assert predicate["passedTests"] == ["detector.auroc"]
    assert predicate["warnedTests"] == ["detector.latency", "detector.ece"]
    assert predicate["failedTests"] == ["detector.worst-generator", "weights.format"]
    assert predicate["annotations"]["reportSha256"] == report_digest(made)
    assert len(predicate["annotations"]["figures"]) == 3


def test_a_pass_with_warnings_is_no_plain_pass() -> None:
    made = document(code=0, checks=CHECKS[:1], sha256="cd" * 32)
    assert json.loads(render(made, "in-toto"))["predicate"]["result"] == "PASSED"
    made = document(code=0, checks=(CHECKS[0], CHECKS[3]), sha256="cd" * 32)
    assert json.loads(render(made, "in-toto"))["predicate"]["result"] == "WARNED"


def test_a_pipeline_is_stated_by_its_evidence_and_nothing_by_nothing() -> None:
    subjects = json.loads(render(document("pipeline"), "in-toto"))["subject"]
    assert subjects == [{"name": "evidence/out", "digest": {"sha256": "ab" * 32}}]
    with pytest.raises(ConfigError) as caught:
        render(document("detector"), "in-toto")
    assert caught.value.code == "report.subject"
