"""Regressions against a baseline detector: paired over the same images and the same resamples.

The statistic is (baseline - subject) where more is better, (subject - baseline) where less is; both
detectors see every resample, so that what is hard for both cancels (Efron & Tibshirani 1993, §16).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from countermark.app.audit.checks import CHECKS
from countermark.app.audit.checks.base import Context, Measured
from countermark.app.audit.checks.detector import Delivered, ScoreCheck
from countermark.app.audit.judging import judge
from countermark.app.audit.schema import CheckEntry, Policy
from countermark.core.errors import ConfigError, CountermarkError
from countermark.core.intervals import Estimate, Weighted
from countermark.core.results import CheckResult, Outcome


def paired(before: Weighted, now: Weighted, direction: str) -> Weighted:
    """How much worse ``now`` is than ``before``, as a function of weights."""
    sign = 1.0 if direction == "at-least" else -1.0
    return lambda weights: sign * (before(weights) - now(weights))


def regressions(policy: Policy, context: Context) -> Iterator[CheckResult]:
    """One result for each check in ``baseline.allow``, with the id ``regression.CHECK``."""
    entries = {entry.key: entry for entry in policy.checks}
    for key, allowed in policy.baseline.allow.items():
        entry = entries[key]
        check = CHECKS.get(entry.id)()
        blank = CheckResult(
            id=f"regression.{key}",
            title=f"No worse than the baseline: {check.title.lower()}",
            outcome=Outcome.ERROR,
            sentence="",
            unit=check.unit,
            direction="at-most",
            threshold=allowed,
            severity=entry.severity,
            claims=check.claims,
        )
        try:
            yield judge(blank, _measure(entry, policy, context), policy)
        except CountermarkError as error:
            yield replace(blank, sentence=str(error), detail={"code": error.code})


def _measure(entry: CheckEntry, policy: Policy, context: Context) -> Measured:
    check = CHECKS.get(entry.id)()
    if not (isinstance(check, ScoreCheck) and isinstance(entry, Delivered) and policy.baseline.detector):
        raise ConfigError(
            f"{entry.id} cannot be compared with a baseline.",
            code="policy.baseline",
            hint="Name baseline.detector, and checks with a bootstrap statistic such as detector.auroc.",
        )
    library, name = context.library, policy.baseline.detector
    spec, limit = entry.spec, entry.limit(policy)
    now = context.scores(entry.evidence, spec, limit)
    before = library.scores(entry.evidence, spec, detector=name, limit=limit)
    if now.items != before.items:
        raise ConfigError("The two detectors were not scored on the same images.", code="policy.baseline")
    try:
        statistic = paired(
            check.statistic(before, entry, library.detector(name)),
            check.statistic(now, entry, library.detector()),
            check.direction,
        )
    except TypeError as error:
        raise ConfigError(f"{entry.id} cannot be compared: {error}", code="policy.baseline") from error
    estimate: Estimate = context.estimate(now, statistic, bounds=(-1.0, 1.0), before=before)
    figures: dict[str, Any] = {
        "baseline": float(check.statistic(before, entry, library.detector(name))(_ones(len(now.items)))[0]),
        "subject": float(check.statistic(now, entry, library.detector())(_ones(len(now.items)))[0]),
    }
    figures |= context.sampled(now, entry.evidence)
    return Measured(estimate, short=context.short_of(now, entry.evidence, check.labels), detail=figures)


def _ones(count: int) -> np.ndarray:
    return np.ones((1, count), np.float32)
