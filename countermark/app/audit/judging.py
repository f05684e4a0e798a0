"""From a measurement to PASS, FAIL or INCONCLUSIVE, and the number of images that would decide.

PASS if the bound on the threshold's side clears it, FAIL if the other bound misses it, else
INCONCLUSIVE. Over several slices (generators, sources, attacks) a check passes only if every slice
clears (an intersection-union test, Berger 1982, needs no correction) and fails only if some slice
misses after Holm's (1979) step-down correction.

>>> decide(Interval(0.95, 0.93, 0.97, 400), 0.9, "at-least")
<Outcome.PASS: 'pass'>
>>> decide(Interval(0.95, 0.93, 0.97, 400), 0.94, "at-least")
<Outcome.INCONCLUSIVE: 'inconclusive'>
>>> needed(Interval(0.95, 0.93, 0.97, 400), 0.94)
1600
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import betainc, betaincc

from countermark.app.audit.checks.base import Measured
from countermark.app.audit.schema import Policy
from countermark.core.intervals import Estimate
from countermark.core.results import CheckResult, Interval, Outcome

MAX_NEEDED = 1_000_000


def decide(interval: Interval, threshold: float, direction: str) -> Outcome:
    """The outcome of one interval against one threshold; NaN bounds are inconclusive."""
    low, high = interval.low, interval.high
    if not (math.isfinite(low) and math.isfinite(high)):
        return Outcome.INCONCLUSIVE
    if direction == "at-least":
        if low >= threshold:
            return Outcome.PASS
        return Outcome.FAIL if high < threshold else Outcome.INCONCLUSIVE
    if high <= threshold:
        return Outcome.PASS
    return Outcome.FAIL if low > threshold else Outcome.INCONCLUSIVE


def needed(interval: Interval, threshold: float) -> int | None:
    """Images with which the interval would clear the threshold if the estimate stays as it is.

    Widths shrink with the square root of the number of images. None when no million would do.
    """
    gap = abs(interval.value - threshold)
    half = interval.value - interval.low if interval.value >= threshold else interval.high - interval.value
    if not (math.isfinite(gap) and math.isfinite(half)) or gap <= 0:
        return None
    if half > gap * math.sqrt(MAX_NEEDED):  # also where the quotient would overflow
        return None
    count = math.ceil(round(interval.n * (half / gap) ** 2, 6))
    return None if count > MAX_NEEDED else max(count, interval.n)


def p_value(estimate: Estimate, threshold: float, direction: str, *, missed: bool) -> float:
    """One-sided p-value of "the true value meets the threshold", of a bootstrap or an exact share.

    For exact shares it is the tail of the binomial distribution at the threshold that the bounds of
    Clopper & Pearson invert. A census (neither draws nor a binomial) is certain: 0 if ``missed``, else 1.
    """
    if len(estimate.draws):
        return p_misses(estimate.draws, threshold, direction)
    if estimate.binomial is None:
        return float(not missed)
    hits, count = estimate.binomial
    if direction == "at-least":
        return 1.0 if hits >= count else float(betaincc(hits + 1, count - hits, threshold))
    return 1.0 if hits <= 0 else float(betainc(hits, count - hits + 1, threshold))


def p_misses(draws: np.ndarray, threshold: float, direction: str) -> float:
    """One-sided bootstrap p-value of "the true value meets the threshold": small means it misses."""
    meets = draws >= threshold if direction == "at-least" else draws <= threshold
    return float((1 + np.count_nonzero(meets)) / (1 + len(draws)))


def holm(p_values: Sequence[float], level: float) -> list[bool]:
    """Which hypotheses Holm's step-down procedure rejects at ``level``, in the given order.

    >>> holm([0.01, 0.04, 0.03], 0.05)
    [True, False, False]
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    rejected = [False] * len(p_values)
    for rank, index in enumerate(order):
        if p_values[index] > level / (len(p_values) - rank):
            break
        rejected[index] = True
    return rejected


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
    sentence = (
        f"{shown.name}: {_sentence(outcome, interval, threshold, measured)} {measured.sentence}".rstrip()
    )
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
