"""Runs a policy: collects the scores that its checks need, measures, decides, reports.

>>> report = audit("policies/detector.toml")         # doctest: +SKIP
>>> [(c.id, c.outcome) for c in report.checks]       # doctest: +SKIP
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from countermark.app.audit.cache import ScoreCache
from countermark.app.audit.checks import CHECKS, Context, Measured
from countermark.app.audit.exhibits import curves, worst_images, worst_pictures
from countermark.app.audit.judging import decide, holm, needed, p_value
from countermark.app.audit.regression import regressions
from countermark.app.audit.rooms import Rooms
from countermark.app.audit.samples import Library
from countermark.app.audit.schema import CheckEntry, Policy, load_policy
from countermark.core.errors import ConfigError, CountermarkError
from countermark.core.results import AuditReport, CheckResult, Interval, Outcome
from countermark.core.version import VERSION
from countermark.reports.thumbnails import Thumbnail

PASS, FAIL, ERROR, NOTHING = 0, 1, 2, 3


def audit(
    policy_toml: Path | str | Policy,
    *,
    evidence: Mapping[str, Path | str] | None = None,
    rooms: Rooms | None = None,
    cache: Path | str | None = None,
    today: date | None = None,
) -> AuditReport:
    """Runs a policy.

    Args:
        policy_toml: Path of the policy (or a parsed one).
        evidence: By evidence name: a folder that replaces the one in the policy.
        rooms: Other implementations of the rooms, for tests and other back ends.
        cache: SQLite file for scores; None keeps them in memory.
        today: The day on which waivers are judged; by default today.

    Returns:
        The report; ``exit_code`` 0 pass, 1 fail, 2 a check could not be evaluated, 3 no checks.

    Raises:
        ConfigError: the policy is not understood.
    """
    report, _ = audit_with_images(
        policy_toml, evidence=evidence, rooms=rooms, cache=cache, today=today, pictures=False
    )
    return report


def audit_with_images(
    policy_toml: Path | str | Policy,
    *,
    evidence: Mapping[str, Path | str] | None = None,
    rooms: Rooms | None = None,
    cache: Path | str | None = None,
    today: date | None = None,
    pictures: bool = True,
) -> tuple[AuditReport, dict[str, Thumbnail]]:
    """As ``audit``, with thumbnails of the worst images by the path that the report gives them."""
    policy = policy_toml if isinstance(policy_toml, Policy) else load_policy(policy_toml)
    with tempfile.TemporaryDirectory(prefix="countermark-audit-") as workspace:
        store = ScoreCache(cache) if cache is not None else None
        folders = {name: Path(path) for name, path in (evidence or {}).items()}
        unknown = sorted(set(folders) - set(policy.evidence))
        if unknown:
            known = ", ".join(policy.evidence) or "none"
            raise ConfigError(f"The policy has no evidence {unknown[0]!r}.", hint=f"Known: {known}.")
        library = Library(policy, rooms or Rooms(), Path(workspace), folders, store)
        try:
            report = _run(policy, library, today or date.today())
            return report, worst_pictures(library) if pictures else {}
        finally:
            if store is not None:
                store.close()


def combine(reports: Sequence[AuditReport]) -> int:
    """The exit code of several audits: an error before a failure before a pass."""
    codes = {report.exit_code for report in reports}
    return next((code for code in (ERROR, FAIL, PASS) if code in codes), NOTHING)


def _run(policy: Policy, library: Library, today: date) -> AuditReport:
    context = Context(policy, library)
    problem = _prefetch(policy, library)
    results = []
    for entry in policy.checks:
        result = _check(entry, policy, context)
        results.append(_waive(result, policy, today))
    results += [_waive(result, policy, today) for result in regressions(policy, context)]
    subject = _subject(policy, library)
    failed = any(_fails(r, policy) for r in results)
    errors = any(r.outcome == Outcome.ERROR for r in results)
    judged = any(r.outcome != Outcome.SKIPPED for r in results)
    code = ERROR if errors else FAIL if failed else PASS if judged else NOTHING
    return AuditReport(
        policy=policy.name,
        subject=subject,
        checks=tuple(results),
        passed=code == PASS,
        exit_code=code,
        version=VERSION,
        seed=policy.statistics.seed,
        detail=_detail(policy, library, problem),
    )


def _prefetch(policy: Policy, library: Library) -> str:
    requests = []
    for entry in policy.checks:
        asked = list(CHECKS.get(entry.id)().requests(entry, policy))
        requests += asked
        if policy.baseline.detector and entry.key in policy.baseline.allow:
            requests += [r._replace(detector=policy.baseline.detector) for r in asked]
    try:
        library.prefetch(requests)
    except Exception as error:  # each check meets the same error and reports it
        return str(error)
    return ""


def _check(entry: CheckEntry, policy: Policy, context: Context) -> CheckResult:
    check = CHECKS.get(entry.id)()
    threshold = entry.threshold if entry.threshold is not None else check.default_threshold
    blank = CheckResult(
        id=entry.key,
        title=check.title,
        outcome=Outcome.ERROR,
        sentence="",
        unit=check.unit,
        direction=check.direction,
        threshold=threshold,
        severity=entry.severity,
        claims=check.claims if entry.claims is None else entry.claims,
    )
    try:
        measured = check.measure(entry, context)
    except CountermarkError as error:
        return replace(blank, sentence=str(error), detail={"code": error.code})
    except Exception as error:  # a model that breaks is a finding about it, not the end of the audit
        sentence = f"The check broke off: {type(error).__name__}: {error}."
        return replace(blank, sentence=sentence, detail={"code": "audit.broke-off"})
    return judge(blank, measured, policy)


def judge(blank: CheckResult, measured: Measured, policy: Policy) -> CheckResult:
    """Turns a measurement into a result: interval against threshold, slices by Holm."""
    result = replace(blank, detail=dict(measured.detail))
    if measured.slices:
        return _judge_slices(result, measured, policy)
    interval = measured.estimate.interval if measured.estimate else None
    if measured.outcome is not None:
        return replace(result, outcome=measured.outcome, sentence=measured.sentence, interval=interval)
    if interval is None and measured.short:
        return replace(result, outcome=Outcome.INCONCLUSIVE, sentence=measured.short)
    if interval is None or result.threshold is None:
        return replace(result, outcome=Outcome.ERROR, sentence="The check measured nothing.")
    outcome = decide(interval, result.threshold, result.direction)
    if measured.short:
        outcome = Outcome.INCONCLUSIVE
    sentence = measured.sentence or _sentence(outcome, interval, result.threshold, measured)
    return replace(result, outcome=outcome, sentence=sentence, interval=interval)


def _judge_slices(result: CheckResult, measured: Measured, policy: Policy) -> CheckResult:
    threshold, direction = float(result.threshold or 0.0), result.direction
    sign = 1 if direction == "at-least" else -1
    slices = sorted(measured.slices, key=lambda s: sign * s.estimate.interval.value)
    single = [decide(s.estimate.interval, threshold, direction) for s in slices]
    outcomes = list(single)
    if policy.statistics.correction == "holm" and len(slices) > 1:
        level = (1 - policy.statistics.confidence) / 2
        p_values = [
            p_value(s.estimate, threshold, direction, missed=o == Outcome.FAIL)
            for s, o in zip(slices, single, strict=True)
        ]
        for number, rejected in enumerate(holm(p_values, level)):
            if single[number] == Outcome.FAIL and not rejected:
                outcomes[number] = Outcome.INCONCLUSIVE
    if Outcome.FAIL in outcomes:
        outcome = Outcome.FAIL
    else:
        outcome = Outcome.PASS if set(outcomes) == {Outcome.PASS} else Outcome.INCONCLUSIVE
    if measured.short:
        outcome = Outcome.INCONCLUSIVE
    shown = slices[outcomes.index(outcome)] if outcome in outcomes else slices[0]
    interval = shown.estimate.interval
    table = [
        {"slice": s.name, "outcome": str(o), "interval": s.estimate.interval}
        for s, o in zip(slices, outcomes, strict=True)
    ]
    sentence = f"{shown.name}: {_sentence(outcome, interval, threshold, measured)}"
    return replace(
        result,
        outcome=outcome,
        interval=interval,
        sentence=sentence,
        detail={**measured.detail, "slices": table, "worst": slices[0].name},
    )


def _sentence(outcome: Outcome, interval: Interval, threshold: float, measured: Measured) -> str:
    if measured.short:
        return measured.short
    sample = measured.detail.get("sample")
    end = f" Measured on {sample['used']:,} of {sample['of']:,} images." if sample else ""
    if outcome == Outcome.PASS:
        return f"The whole interval clears the threshold.{end}"
    if outcome == Outcome.FAIL:
        return f"The whole interval misses the threshold.{end}"
    count = needed(interval, threshold)
    if count is None:
        text = "The interval holds the threshold; the estimate is too close to it for any sample to decide."
    else:
        text = f"The interval holds the threshold; about {count:,} images like these would decide."
    return text + end


def _waive(result: CheckResult, policy: Policy, today: date) -> CheckResult:
    for waiver in policy.waivers:
        if waiver.check != result.id or result.outcome not in (Outcome.FAIL, Outcome.INCONCLUSIVE):
            continue
        note = {"reason": waiver.reason, "expires": waiver.expires.isoformat()}
        if waiver.expires < today:
            sentence = f"{result.sentence} Its waiver expired on {waiver.expires.isoformat()}."
            return replace(result, sentence=sentence, detail={**result.detail, "waiver": note})
        sentence = f"Waived until {waiver.expires.isoformat()}: {waiver.reason} ({result.sentence})"
        detail = {**result.detail, "waiver": {**note, "was": str(result.outcome)}}
        return replace(result, outcome=Outcome.WAIVED, sentence=sentence, detail=detail)
    return result


def _fails(result: CheckResult, policy: Policy) -> bool:
    if result.severity != "error":
        return False
    if result.outcome == Outcome.INCONCLUSIVE:
        return policy.statistics.inconclusive == "fail"
    return result.outcome == Outcome.FAIL


def _subject(policy: Policy, library: Library) -> dict[str, Any]:
    subject: dict[str, Any] = {"kind": policy.subject.kind, "name": policy.subject.name}
    try:
        if policy.subject.kind != "pipeline":
            name = library.resolve(policy.subject.name)
            detector = policy.subject.kind == "detector"
            card = (library.detector() if detector else library.rooms.load_generator(name)).card
            subject |= {"sha256": card.sha256, "licence": card.licence, "version": card.version}
    except CountermarkError as error:
        subject["error"] = str(error)
    return subject


def _detail(policy: Policy, library: Library, problem: str) -> dict[str, Any]:
    statistics = policy.statistics
    detail: dict[str, Any] = {
        "statistics": statistics.model_dump(),
        "evidence": [i.summary() for i in library.used()],
        "method": [
            f"Intervals are two-sided at {100 * statistics.confidence:g} %: stratified bootstrap over whole "
            f"clusters with {statistics.resamples} draws for curves, exact binomial on the effective sample "
            "size for shares.",
            "A check passes if its whole interval clears the threshold, fails if its whole interval misses "
            "it, and is inconclusive otherwise.",
        ],
    }
    if policy.subject.kind == "detector":
        detail["curves"] = curves(library)
        detail["worst"] = worst_images(library)
    spots = library.__dict__.get("_blindspots", [])
    if spots:
        detail["blindspots"] = [spot.row() for spot in spots]
    if problem:
        detail["problem"] = problem
    return detail
