"""An in-toto statement (v1) of an audit, with the predicate ``test-result/v0.1``.

The subject is what was audited, by digest: a model's weights, or, for a pipeline, the evidence that it
made. ``configuration`` names the policy, the three lists the checks, and ``annotations`` what they found
with intervals. A statement by itself proves nothing; ``countermark audit run --statement`` signs one.
"""

from __future__ import annotations

import hashlib
from typing import Any

from countermark.core.errors import ConfigError
from countermark.reports.canonical import Document, dumps
from countermark.reports.cyclonedx import metrics
from countermark.reports.formats import Options
from countermark.reports.text import visible

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
#: Outcomes that count as passed, warned and failed; a check that did not pass is never called passed.
_PASSED, _WARNED = ("pass",), ("inconclusive", "waived", "skipped")


def render(document: Document, options: Options) -> str:
    """The document of an audit as an in-toto statement in JSON."""
    return dumps(statement(document))


def statement(document: Document) -> dict[str, Any]:
    """The statement of an audit's document.

    Raises:
        ConfigError: ``report.subject``: nothing was audited that has a digest.
    """
    lists: dict[str, list[str]] = {"passedTests": [], "warnedTests": [], "failedTests": []}
    for check in document["checks"]:
        warns = check["outcome"] in _WARNED or (check["outcome"] == "fail" and check["severity"] != "error")
        key = "passedTests" if check["outcome"] in _PASSED else "warnedTests" if warns else "failedTests"
        lists[key].append(visible(check["id"]))
    passed = document["exit_code"] == 0
    annotations: dict[str, Any] = {
        "tool": document["tool"],
        "outcome": document["outcome"],
        "figures": [*metrics(document)],
        "reportSha256": report_digest(document),
    }
    if document.get("time"):
        annotations["time"] = document["time"]
    predicate = {
        "result": "FAILED" if not passed else "WARNED" if lists["warnedTests"] else "PASSED",
        "configuration": [{"name": visible(document["policy"]), "annotations": {"seed": document["seed"]}}],
        **lists,
        "annotations": annotations,
    }
    return {
        "_type": STATEMENT,
        "subject": _subjects(document),
        "predicateType": PREDICATE,
        "predicate": predicate,
    }


def report_digest(document: Document) -> str:
    """SHA-256 of the JSON report that the statement speaks of, as ``--output json=…`` writes it."""
    return hashlib.sha256(dumps(document).encode()).hexdigest()


def _subjects(document: Document) -> list[dict[str, Any]]:
    subject = document["subject"]
    found = []
    if subject.get("sha256"):
        name = visible(subject.get("name", "subject"))
        found.append({"name": name, "digest": {"sha256": subject["sha256"]}})
    elif subject.get("kind") == "pipeline":
        found += [
            {"name": f"evidence/{visible(each['name'])}", "digest": {"sha256": each["sha256"]}}
            for each in document["detail"].get("evidence") or ()
            if each.get("images")
        ]
    if not found:
        raise ConfigError(
            "Nothing was audited that has a digest, so nothing can be stated of it.",
            code="report.subject",
            hint="See the audit's own report for what went wrong.",
        )
    return found
