"""What a check is: an id, a unit, a direction, the evidence it needs, and how it is measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar, cast, get_args

import numpy as np

from countermark.app.audit.samples import Library, Request, Scored
from countermark.app.audit.schema import CheckEntry, Policy
from countermark.core import intervals
from countermark.core.intervals import Estimate, Resamples, Weighted
from countermark.core.results import Interval, Outcome

#: A check's own options.
Entry = TypeVar("Entry", bound=CheckEntry)
Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Slice:
    """One part of a check over several parts, such as one generator."""

    name: str
    estimate: Estimate


@dataclass(frozen=True)
class Measured:
    """What a check found.

    Attributes:
        estimate: The figure to decide on; None when ``outcome`` is given or ``slices`` are.
        slices: Parts that must all meet the threshold; the worst is shown.
        outcome: Decides by itself, for checks without sampling error (a file is signed or not).
        sentence: Replaces the standard sentence.
        short: Why the evidence is too thin to decide, or empty.
    """

    estimate: Estimate | None = None
    slices: tuple[Slice, ...] = ()
    outcome: Outcome | None = None
    sentence: str = ""
    short: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass
class Context:
    """What a check may use: the policy, the evidence, and what checks share.

    Attributes:
        exhibits: Rows that a report shows beside the checks, by the name of their table.
    """

    policy: Policy
    library: Library
    exhibits: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _kept: dict[Hashable, object] = field(default_factory=dict)
    _resamples: dict[tuple[str, ...], Resamples] = field(default_factory=dict)

    def once(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """What ``make`` gives, made when it is first asked for; checks with the same key share it."""
        if key not in self._kept:
            self._kept[key] = make()
        return cast(Kept, self._kept[key])

    def scores(self, evidence: str, spec: str = "none", limit: int = 0) -> Scored:
        """The subject's scores of an evidence table under a perturbation; ``limit`` 0 takes all images."""
        return self.library.scores(evidence, spec, limit=limit)

    def sampled(self, scored: Scored, evidence: str) -> dict[str, Any]:
        """For a check's detail: how many images of how many were used, where a sample was."""
        total = len(self.library.images(evidence).items)
        return {"sample": {"used": len(scored.items), "of": total}} if len(scored.items) < total else {}

    def resamples(self, scored: Scored) -> Resamples:
        """Draws of a bootstrap, the same for the same images: intervals pair up."""
        key = tuple(i.sha256 + i.name for i in scored.items)
        if key not in self._resamples:
            if len(self._resamples) > 8:
                self._resamples.pop(next(iter(self._resamples)))
            statistics = self.policy.statistics
            self._resamples[key] = Resamples.draw(
                scored.labels, scored.clusters, statistics.resamples, statistics.seed
            )
        return self._resamples[key]

    def estimate(
        self,
        scored: Scored,
        statistic: Weighted,
        bounds: tuple[float, float] = (0.0, 1.0),
        before: Scored | None = None,
    ) -> Estimate:
        """A bootstrap interval over the images of ``scored``; ``before``: what they are compared with."""
        clusters = {(label, c) for label, c in zip(scored.labels.tolist(), scored.clusters, strict=True)}
        same = before is not None and np.array_equal(before.scores, scored.scores)
        return intervals.estimate(
            statistic,
            self.resamples(scored),
            confidence=self.policy.statistics.confidence,
            effective=None if same else intervals.smaller_class(scored.labels, scored.clusters),
            clusters=len(clusters),
            bounds=bounds,
        )

    def proportion(self, events: np.ndarray, clusters: np.ndarray | None) -> Estimate:
        """An exact interval for a share of images."""
        return intervals.proportion(events, clusters, confidence=self.policy.statistics.confidence)

    def exact(self, value: float, count: int) -> Estimate:
        """A figure without sampling error: every image there is was counted."""
        interval = Interval(value, value, value, count, None, self.policy.statistics.confidence)
        return Estimate(interval, np.array([]))

    def short_of(self, scored: Scored, evidence: str, labels: Iterable[int] = (0, 1)) -> str:
        """Why there is too little evidence, or an empty string."""
        minimum = self.policy.evidence[evidence].minimum
        for label, name, least in ((0, "real", minimum.real), (1, "synthetic", minimum.synthetic)):
            if label not in labels:
                continue
            members = scored.clusters[scored.labels == label]
            if len(members) < least:
                return f"{len(members)} {name} images are fewer than the {least} that the policy asks for."
            if len(set(members)) < minimum.clusters:
                return (
                    f"The {name} images come from {len(set(members))} sources; the policy asks for "
                    f"{minimum.clusters}."
                )
        return ""


class Check(ABC, Generic[Entry]):
    """Base of every check, generic in its options; ``checks.CHECKS`` names them by id."""

    id: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str] = "share"
    direction: ClassVar[str] = "at-least"
    kinds: ClassVar[tuple[str, ...]] = ("detector",)
    formula: ClassVar[str]
    source: ClassVar[str]
    claims: ClassVar[tuple[str, ...]] = ()
    needs_evidence: ClassVar[bool] = True
    default_threshold: ClassVar[float | None] = None
    Options: ClassVar[type[CheckEntry]] = CheckEntry

    def __init_subclass__(cls) -> None:
        """``class Auroc(Check[Delivered])`` has the options ``Delivered``."""
        super().__init_subclass__()
        for base in cls.__dict__.get("__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, CheckEntry):
                    cls.Options = argument

    def requests(self, entry: Entry, policy: Policy) -> Iterator[Request]:
        """Scores that this check will ask for, so that all checks share one pass over the images."""
        return iter(())

    @abstractmethod
    def measure(self, entry: Entry, context: Context) -> Measured:
        """Measures; CountermarkError when it cannot."""
