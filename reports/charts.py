"""Charts as inline SVG: no script, no inline style, colours from the page's style sheet.

Numbers come from documents, text is escaped by ``Markup.format``. Every chart has a title that
says in words what it shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from countermark.reports.text import figure, visible

_BAR = Markup(
    '<svg class="bar" viewBox="0 0 320 46" role="img" aria-label="{label}">'
    '<rect class="track" x="0" y="14" width="320" height="12" rx="2"/>'
    '<rect class="allowed" x="{ax}" y="14" width="{aw}" height="12" rx="2"/>'
    "{interval}"
    '<line class="limit" x1="{tx}" x2="{tx}" y1="6" y2="34"/>'
    '<text class="tick" x="{lx}" y="44" text-anchor="{anchor}">{threshold}</text></svg>'
)
_INTERVAL = Markup(
    '<line class="spread {outcome}" x1="{x1}" x2="{x2}" y1="20" y2="20"/>'
    '<line class="spread {outcome}" x1="{x1}" x2="{x1}" y1="15" y2="25"/>'
    '<line class="spread {outcome}" x1="{x2}" x2="{x2}" y1="15" y2="25"/>'
    '<circle class="point {outcome}" cx="{x}" cy="20" r="5"/>'
)


def interval_bar(check: Mapping[str, Any]) -> Markup:
    """The interval of a check against its threshold; the allowed side is shaded."""
    interval, threshold = check.get("interval"), check.get("threshold")
    if not interval or threshold is None or interval.get("value") is None:
        return Markup("")
    value = float(interval["value"])
    low = value if interval.get("low") is None else float(interval["low"])
    high = value if interval.get("high") is None else float(interval["high"])
    left, right = _domain([low, high, value, float(threshold)], check.get("unit", ""))

    def place(number: float) -> float:
        return round(8 + 304 * (number - left) / (right - left), 2)

    at_least = check.get("direction") == "at-least"
    tx = place(float(threshold))
    unit = str(check.get("unit", ""))
    label = (
        f"{check['id']}: {figure(value, unit)}, interval {figure(low, unit)} to {figure(high, unit)}, "
        f"asked {'at least' if at_least else 'at most'} {figure(threshold, unit)}"
    )
    spread = _INTERVAL.format(
        outcome=_word(check.get("outcome", "")), x1=place(low), x2=place(high), x=place(value)
    )
    return _BAR.format(
        label=visible(label),
        ax=tx if at_least else 0,
        aw=round(320 - tx if at_least else tx, 2),
        interval=spread,
        tx=tx,
        lx=min(max(tx, 4), 316),
        anchor="start" if tx < 60 else "end" if tx > 260 else "middle",
        threshold=("≥ " if at_least else "≤ ") + figure(threshold, unit),
    )


def _domain(values: Sequence[float], unit: str) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = max((high - low) * 0.25, abs(high) * 0.02, 1e-6)
    low, high = low - margin, high + margin
    if unit in ("share", "AUROC", ""):
        low = max(low, 0.0) if min(values) >= 0 else low
        high = min(high, 1.0) if max(values) <= 1 else high
    return (low, high) if high > low else (low, low + 1)


def _word(value: object) -> str:
    return "".join(c for c in str(value) if c.isalpha() or c == "-")


_SCORE = Markup(
    '<svg class="score" viewBox="0 0 400 34" role="img" aria-label="{label}">'
    '<rect class="track" x="0" y="8" width="320" height="8" rx="4"/>'
    '<rect class="fill {verdict}" x="0" y="8" width="{width}" height="8" rx="4"/>{marks}</svg>'
)
_MARK = Markup(
    '<line class="limit" x1="{x}" x2="{x}" y1="3" y2="21"/>'
    '<text class="tick" x="{x}" y="29" text-anchor="{anchor}">{name}</text>'
)


def score_bar(row: Mapping[str, Any]) -> Markup:
    """The calibrated score of a scanned image, with the thresholds that were in force."""
    score = row.get("score")
    if score is None:
        return Markup("")
    thresholds = {k: v for k, v in sorted(dict(row.get("thresholds") or {}).items()) if v is not None}
    marks = Markup("").join(
        _MARK.format(
            x=round(320 * min(max(float(v), 0), 1), 2),
            # The lower threshold is named to its left, the upper one to its right, so that two that
            # lie close together stay legible.
            anchor="end" if k == "unsure" and float(v) > 0.2 else "start",
            name=f"{visible(k, 20)} {figure(v)}",
        )
        for k, v in thresholds.items()
        if isinstance(v, int | float)
    )
    limits = ", ".join(f"{k} from {figure(v)}" for k, v in thresholds.items())
    return _SCORE.format(
        label=visible(f"Score {figure(score)}; {limits}"),
        width=round(320 * min(max(float(score), 0), 1), 2),
        verdict=_word(row.get("verdict") or ""),
        marks=marks,
    )


_SHARE = Markup(
    '<rect class="share {name}" x="{x}" y="0" width="{width}" height="14"><title>{label}</title></rect>'
)


def share_bar(counts: Mapping[str, int], names: Sequence[str]) -> Markup:
    """One stacked bar of how many results fell on each of ``names``."""
    total = sum(counts.get(name, 0) for name in names)
    if not total:
        return Markup("")
    parts, x = [], 0.0
    for name in names:
        width = 1000 * counts.get(name, 0) / total
        if width:
            label = f"{name}: {counts[name]} of {total}"
            parts.append(
                _SHARE.format(name=_word(name), x=round(x, 2), width=round(max(width - 3, 1), 2), label=label)
            )
        x += width
    words = ", ".join(f"{counts.get(n, 0)} {n}" for n in names if counts.get(n, 0))
    return Markup(
        '<svg class="shares" viewBox="0 0 1000 14" preserveAspectRatio="none" role="img" '
        'aria-label="{label}">{parts}</svg>'
    ).format(label=words, parts=Markup("").join(parts))


_PLOT = Markup(
    '<svg class="plot" viewBox="0 0 240 240" role="img" aria-label="{label}">'
    '<rect class="frame" x="30" y="10" width="200" height="200"/>'
    '<line class="diagonal" x1="30" y1="210" x2="230" y2="10"/>{marks}'
    '<text class="tick" x="130" y="236" text-anchor="middle">{xlabel}</text>'
    '<text class="tick" x="12" y="110" text-anchor="middle" transform="rotate(-90 12 110)">{ylabel}</text>'
    '<text class="tick" x="30" y="222" text-anchor="middle">0</text>'
    '<text class="tick" x="230" y="222" text-anchor="middle">1</text></svg>'
)


def roc_plot(curve: Mapping[str, Any]) -> Markup:
    """The ROC curve from ``fpr`` and ``tpr`` (equally long, in [0, 1])."""
    points = " ".join(_point(x, y) for x, y in zip(curve["fpr"], curve["tpr"], strict=True))
    line = Markup('<polyline class="curve" points="{points}"/>').format(points=points)
    label = f"ROC curve, area {figure(curve.get('auroc'))}"
    return _PLOT.format(label=label, marks=line, xlabel="false-positive rate", ylabel="true-positive rate")


def reliability_plot(bins: Sequence[Mapping[str, Any]]) -> Markup:
    """Calibration: share of synthetic images against the mean score, one dot a bin, area by count."""
    largest = max((b["n"] for b in bins), default=1)
    dots = Markup("").join(
        Markup('<circle class="dot" cx="{x}" cy="{y}" r="{r}"><title>{label}</title></circle>').format(
            x=round(30 + 200 * b["score"], 2),
            y=round(210 - 200 * b["share"], 2),
            r=round(2 + 7 * (b["n"] / largest) ** 0.5, 2),
            label=f"score {figure(b['score'])}: {figure(b['share'], 'share')} synthetic of {b['n']}",
        )
        for b in bins
    )
    return _PLOT.format(
        label="Reliability: observed share against predicted probability",
        marks=dots,
        xlabel="predicted probability",
        ylabel="observed share",
    )


def _point(x: float, y: float) -> str:
    return f"{30 + 200 * float(x):.2f},{210 - 200 * float(y):.2f}"
