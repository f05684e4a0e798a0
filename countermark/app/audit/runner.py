"""Runs a policy: collects the scores that its checks need, measures, decides, reports.

>>> report = audit("policies/detector.toml")         # doctest: +SKIP
>>> [(c.id, c.outcome) for c in report.checks]       # doctest: +SKIP
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from countermark.app.audit.cache import ScoreCache
from countermark.app.audit.checks import CHECKS
from countermark.app.audit.checks.base import Context
from countermark.app.audit.exhibits import curves, worst_images, worst_pictures
from countermark.app.audit.judging import judge
from countermark.app.audit.loading import load_policy
from countermark.app.audit.regression import regressions
from countermark.app.audit.samples import Library, Report, silent
from countermark.app.audit.schema import CheckEntry, Policy
from countermark.app.rooms import Rooms
from countermark.core.errors import ConfigError, CountermarkError, known_names
from countermark.core.results import AuditReport, CheckResult, Outcome
from countermark.core.version import VERSION
from countermark.reports.thumbnails import Thumbnail

LOG = logging.getLogger(__name__)

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
    report: Report = silent,
) -> tuple[AuditReport, dict[str, Thumbnail]]:
    """As ``audit``, with thumbnails of the worst images by the path that the report gives them.

    ``report`` is told what is done now, how much of it is done, and how much there is.
    """
    policy = policy_toml if isinstance(policy_toml, Policy) else load_policy(policy_toml)
    with tempfile.TemporaryDirectory(prefix="countermark-audit-") as workspace:
        store = ScoreCache(cache) if cache is not None else None
        folders = {name: Path(path) for name, path in (evidence or {}).items()}
        for name in folders:
            if name not in policy.evidence:
                raise ConfigError(
                    f"The policy has no evidence {name!r}.", hint=known_names(name, policy.evidence)
                )
        library = Library(policy, rooms or Rooms(), Path(workspace), folders, store, report)
        try:
            made = _run(policy, library, today or date.today())
            return made, worst_pictures(library) if pictures else {}
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
    for number, entry in enumerate(policy.checks, 1):
        result = _check(entry, policy, context)
        library.report("Checking", number, len(policy.checks))
        LOG.info("%s: %s. %s", result.id, result.outcome, result.sentence)
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
        detail=_detail(policy, library, context.exhibits, problem),
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
        LOG.debug("Scoring beforehand broke off", exc_info=True)
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
        LOG.debug("%s broke off", entry.key, exc_info=True)
        sentence = f"The check broke off: {type(error).__name__}: {error}."
        return replace(blank, sentence=sentence, detail={"code": "audit.broke-off"})
    return judge(blank, measured, policy)


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
            subject["card"] = str(getattr(card, "digest", ""))
    except CountermarkError as error:
        subject["error"] = str(error)
    return subject


def _detail(policy: Policy, library: Library, exhibits: Mapping[str, object], problem: str) -> dict[str, Any]:
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
    detail |= exhibits
    if problem:
        detail["problem"] = problem
    return detail
