"""Rows of an evaluation document that several evaluations share."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from countermark.core.intervals import rate
from countermark.core.results import Interval

if TYPE_CHECKING:
    from countermark.detectors.measuring.evaluation import ConditionFigures, GroupFigures

Row = dict[str, Any]

NAMES = {
    "auroc": "AUROC",
    "tpr_at_1": "TPR at 1 % FPR",
    "tpr_at_5": "TPR at 5 % FPR",
    "balanced_accuracy": "balanced accuracy",
    "fpr_at_likely": "FPR at the threshold",
    "tpr_at_likely": "TPR at the threshold",
    "ece": "ECE",
}


def condition_rows(figures: ConditionFigures, condition: str) -> list[Row]:
    """All figures under one delivery condition."""
    return [
        {
            "name": NAMES.get(field.name, field.name),
            "interval": getattr(figures, field.name),
            "condition": condition,
        }
        for field in fields(figures)
    ]


def group_rows(figure: GroupFigures, slice: str, condition: str, synthetic: bool) -> list[Row]:
    """AUROC against the other class, and the share flagged at the threshold and at 5 % FPR."""

    def row(name: str, interval: Interval, unit: str = "") -> Row:
        return {"name": name, "interval": interval, "slice": slice, "condition": condition, "unit": unit}

    def share(name: str, value: float) -> Row:
        return row(name, rate(round(value * figure.images), figure.images), "share")

    area = Interval(figure.auroc, float("nan"), float("nan"), figure.images)
    verb = "found" if synthetic else "wrongly flagged"
    return [
        row("AUROC", area),
        share(f"{verb} at the threshold", figure.flagged),
        share(f"{verb} where 5 % of all real images are", figure.flagged_at_5),
    ]


def point(value: float, count: int) -> Row:
    """A figure that was measured once, on ``count`` images, and has no interval."""
    return {"value": value, "n": count}
