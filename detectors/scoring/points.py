"""A detector's working points: thresholds with a name, and what each found where it was measured.

What was found stands in the card of the weights; nothing is worked out here. Thresholds from somebody's
own photographs have no such figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from countermark.core.errors import ConfigError
from countermark.detectors.scoring.thresholds import WORKING_POINTS

#: Deliveries of a card's figures, as they came first.
DELIVERIES = ("native", "q96", "q75", "320q90")


@dataclass(frozen=True)
class WorkingPoint:
    """A threshold by name.

    Attributes:
        max_fpr: Share of photographs that it may flag, in (0, 0.5].
        likely: Scores from here on are likely-synthetic, in [0, 1].
        unsure: Scores from here on are unsure.
        note: Empty, or that so low a rate cannot be shown.
        found: Share of generated pictures of unseen sources that reach ``likely``, by delivery.
    """

    name: str
    max_fpr: float
    likely: float
    unsure: float
    note: str = ""
    found: Mapping[str, float] = field(default_factory=dict)

    def verdict(self, score: float) -> str:
        """What a score in [0, 1] is called at this point."""
        if score >= self.likely:
            return "likely-synthetic"
        return "unsure" if score >= self.unsure else "no-evidence"


def working_points(detector: Any) -> tuple[WorkingPoint, ...]:
    """The detector's points, strictest first; those that its own photographs cannot show are left out."""
    found = []
    for name, rate in WORKING_POINTS.items():
        try:
            bounds = detector.thresholds(rate)
        except ConfigError:
            continue
        note = str(getattr(bounds, "note", ""))
        likely = float(bounds.likely)
        measured = _measured(getattr(detector.card, "metrics", {}), name, likely)
        found.append(WorkingPoint(name, rate, likely, float(bounds.unsure), note, measured))
    return tuple(found)


def as_records(points: tuple[WorkingPoint, ...]) -> list[dict[str, Any]]:
    """Points as JSON types, for the settings of a scan's document."""
    return [{**asdict(point), "found": dict(point.found)} for point in points]


def _measured(metrics: Mapping[str, Any], name: str, likely: float) -> dict[str, float]:
    """The card's shares, if they are of this very threshold."""
    entry = metrics.get("working_points", {}).get(name, {})
    if not entry or abs(float(entry.get("likely", -1)) - likely) > 1e-4:
        return {}
    return {each: float(entry[each]["tpr"]) for each in DELIVERIES if "tpr" in entry.get(each, {})}
