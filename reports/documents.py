"""Results become documents: plain JSON with a schema name, sorted, the same bytes every time.

``countermark.scan/1``, ``countermark.verify/1``, ``countermark.audit/1`` and
``countermark.evaluation/1``; their JSON Schemas lie in ``schemas/`` (see ``load_schema``).

>>> from countermark.core.results import ScanResult, Verdict
>>> document = scan_document([ScanResult("a.jpg", "00" * 32, Verdict.UNSURE, 0.6)], settings={})
>>> document["schema"], document["counts"]["unsure"]
('countermark.scan/1', 1)
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from importlib import resources
from typing import Any

from countermark.core.errors import ConfigError
from countermark.core.results import (
    AuditReport,
    Failure,
    Outcome,
    ScanResult,
    Strength,
    Verdict,
    Verification,
    VerificationState,
)
from countermark.core.version import VERSION
from countermark.reports.canonical import Document, plain, stamp
from countermark.reports.claims import towards

_LEVELS = {
    Verdict.DECLARED_SYNTHETIC: "warning",
    Verdict.LIKELY_SYNTHETIC: "warning",
    Verdict.UNSURE: "note",
}
_CONFIDENCE = {Strength.CERTAIN: "high", Strength.STRONG: "medium", Strength.WEAK: "low"}
SCHEMAS = ("scan", "verify", "audit", "evaluation")


def scan_document(
    results: Sequence[ScanResult],
    *,
    settings: Mapping[str, Any],
    failing: Collection[str] = (),
    suppressed: Mapping[str, Mapping[str, Any]] | None = None,
    unreadable: Mapping[str, str] | None = None,
    partial: Mapping[str, Any] | None = None,
    when: str | None = None,
) -> Document:
    """The document of a scan.

    Args:
        results: In any order; the document is sorted by path.
        settings: What the scan ran with (``max_fpr``, ``stress``, ``fail_on``, …); JSON types.
        failing: Paths of the findings that fail the build: they have the severity ``error``.
        suppressed: By SHA-256 or path: why a finding does not count (``reason``, ``by``, ``expires``).
        unreadable: By path: the severity of files that could not be scanned, ``error`` (it fails the
            build), ``warning`` or ``none``; ``warning`` for those that are not named.
        partial: Of a scan that was stopped: ``by`` what, files ``looked_at``, ``of`` how many.
        when: A time to print; by default none, or ``SOURCE_DATE_EPOCH``.
    """
    ordered = sorted(results, key=lambda r: (r.path, r.sha256 or ""))
    rows = [_scan_row(r, r.path in failing, suppressed or {}, unreadable or {}) for r in ordered]
    counts = {str(v): sum(r.verdict == v for r in ordered) for v in Verdict}
    counts["error"] = sum(r.error is not None for r in ordered)
    counts["total"] = len(rows)
    counts["suppressed"] = sum(r["finding"]["suppressed"] is not None for r in rows)
    counts["failing"] = sum(r["finding"]["severity"] == "error" and not r["error"] for r in rows)
    counts["unreadable"] = sum(r["finding"]["severity"] == "error" and bool(r["error"]) for r in rows)
    more = {} if partial is None else {"partial": plain(dict(partial))}
    return _document("scan", when, settings=plain(settings), counts=counts, results=rows, **more)


def partial_sentence(document: Mapping[str, Any]) -> str:
    """What a report of a scan that was stopped says first; empty for a whole one."""
    partial = document.get("partial")
    if not partial:
        return ""
    return (
        f"Not all was looked at: {partial['by']} stopped the scan after {partial['looked_at']:,} of "
        f"{partial['of']:,} files."
    )


def _scan_row(
    result: ScanResult,
    failing: bool,
    suppressed: Mapping[str, Mapping[str, Any]],
    unreadable: Mapping[str, str],
) -> dict[str, Any]:
    row: dict[str, Any] = plain(result)
    reason = suppressed.get(result.sha256 or "") or suppressed.get(result.path)
    severity = _LEVELS.get(result.verdict, "none") if result.verdict else "none"
    if failing and severity != "none":
        severity = "error"
    if result.error is not None:
        severity = unreadable.get(result.path, "warning")
    if reason is not None and severity != "none":
        severity = "none"
    else:
        reason = None
    row["finding"] = {
        "severity": severity,
        "confidence": confidence(result),
        "suppressed": None if reason is None else plain(dict(reason)),
    }
    return row


def confidence(result: ScanResult) -> str | None:
    """``high``, ``medium`` or ``low`` by the strongest evidence for the verdict; None without any."""
    side = "captured" if result.verdict == Verdict.DECLARED_CAPTURED else "synthetic"
    strengths = {e.strength for e in result.evidence if e.points_to == side}
    return next((_CONFIDENCE[s] for s in Strength if s in strengths), None)


def verify_document(
    verifications: Sequence[Verification],
    *,
    unreadable: Mapping[str, Failure] | None = None,
    settings: Mapping[str, Any] | None = None,
    when: str | None = None,
) -> Document:
    """The document of one or several verifications, sorted by path.

    ``unreadable``: by path, why files could not be verified; they count in ``total`` and ``error``.
    """
    rows = [plain(v) for v in sorted(verifications, key=lambda v: (v.path, v.sha256 or ""))]
    counts = {str(s): sum(v.state == s for v in verifications) for s in VerificationState}
    errors = [{"path": path, **plain(failure)} for path, failure in sorted((unreadable or {}).items())]
    counts |= {"error": len(errors), "total": len(rows) + len(errors)}
    return _document(
        "verify", when, settings=plain(settings or {}), counts=counts, results=rows, errors=errors
    )


def audit_document(report: AuditReport, *, when: str | None = None) -> Document:
    """The document of an audit; checks stay in the policy's order."""
    counts = Counter(str(check.outcome) for check in report.checks)
    checks = plain(report.checks)
    return _document(
        "audit",
        when,
        policy=report.policy,
        subject=plain(report.subject),
        passed=report.passed,
        exit_code=report.exit_code,
        outcome=_outcome(report),
        seed=report.seed,
        counts={str(o): counts[str(o)] for o in Outcome} | {"total": len(checks)},
        checks=checks,
        towards=towards(checks),
        detail=plain(report.detail),
    )


def _outcome(report: AuditReport) -> str:
    names = {0: "pass", 1: "fail", 2: "error", 3: "nothing"}
    outcome = names.get(report.exit_code, "error")
    if outcome == "pass" and any(c.outcome == Outcome.INCONCLUSIVE for c in report.checks):
        return "pass-with-inconclusive"
    return outcome


def with_baseline(document: Mapping[str, Any], before: Mapping[str, Any]) -> Document:
    """The audit document with an earlier one beside it; Markdown then shows the differences."""
    if kind_of(document) != "audit" or kind_of(before) != "audit":
        raise ConfigError("Only audits are compared with audits.", code="report.baseline")
    kept = {key: before[key] for key in ("policy", "subject", "outcome", "checks")}
    return {**document, "baseline": kept}


def evaluation_document(
    title: str,
    figures: Sequence[Mapping[str, Any]],
    *,
    subject: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    headline: str = "",
    curves: Mapping[str, Any] | None = None,
    pictures: Sequence[Mapping[str, str]] = (),
    when: str | None = None,
) -> Document:
    """A table of measured figures.

    Args:
        figures: Each with ``name`` and ``interval`` (an ``Interval`` or a mapping with ``value``,
            ``low``, ``high``, ``n``), and optionally ``unit``, ``slice`` and ``condition``.
        headline: The report's first line, above all figures.
        curves: By condition: ``roc`` (``fpr``, ``tpr``, ``auroc``) and ``reliability`` (bins with
            ``score``, ``share``, ``n``).
        pictures: Each with ``name``, under which the HTML renderer looks for its pixels, and
            ``caption``.
    """
    rows = [{"unit": "", "slice": "", "condition": "", **plain(dict(f))} for f in figures]
    more: dict[str, Any] = {"headline": headline} if headline else {}
    if curves:
        more["curves"] = plain(dict(curves))
    if pictures:
        more["pictures"] = [dict(picture) for picture in pictures]
    return _document(
        "evaluation", when, title=title, subject=plain(subject or {}), figures=rows, notes=list(notes), **more
    )


def load_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of ``scan``, ``verify``, ``audit`` or ``evaluation``."""
    text = resources.files(__package__).joinpath(f"schemas/{name}-1.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def kind_of(document: Mapping[str, Any]) -> str:
    """``scan``, ``verify``, ``audit`` or ``evaluation``; ConfigError for anything else."""
    name, _, version = str(document.get("schema", "")).removeprefix("countermark.").partition("/")
    if name not in SCHEMAS or version != "1":
        raise ConfigError(
            f"{document.get('schema')!r} is not a document that this version renders.",
            code="report.schema",
            hint=f"Known: {', '.join(f'countermark.{s}/1' for s in SCHEMAS)}.",
        )
    return name


def _document(kind: str, when: str | None, **fields: Any) -> Document:
    document: Document = {
        "schema": f"countermark.{kind}/1",
        "tool": {"name": "countermark", "version": VERSION},
        **fields,
    }
    time = stamp(when)
    if time is not None:
        document["time"] = time
    return document
