"""What a policy may say: its tables and their keys. ``loading`` reads one.

>>> CheckEntry(id="detector.auroc", label="native", at_least=0.9).key
'detector.auroc[native]'
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = "countermark.policy/1"


class Strict(BaseModel):
    """Base of everything in a policy: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Subject(Strict):
    """What is audited.

    Attributes:
        kind: ``detector``, ``generator`` or ``pipeline``.
        name: Name of a shipped model, or path of weights (relative to the policy).
        sha256: Digest that the weights must have; empty if any will do.
        licences: Allow-list for the card's licence; empty allows none to be checked.
    """

    kind: Literal["detector", "generator", "pipeline"]
    name: str = "default"
    sha256: str = ""
    licences: tuple[str, ...] = ()


class Statistics(Strict):
    """How intervals are made and what an undecided check does.

    Attributes:
        confidence: Of every interval, two-sided.
        resamples: Bootstrap draws.
        seed: Of everything random in the audit.
        inconclusive: ``report`` (does not fail the audit) or ``fail``.
        correction: For checks over several slices: ``holm`` or ``none``.
        delivered: Images on which a check of altered images is measured unless it gives ``sample``:
            half of each label, the same ones for every check; 0 takes all.
    """

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    resamples: int = Field(default=2000, ge=100, le=100_000)
    seed: int = Field(default=0, ge=0)
    inconclusive: Literal["report", "fail"] = "report"
    correction: Literal["holm", "none"] = "holm"
    delivered: int = Field(default=400, ge=0)


class Clusters(Strict):
    """The column that tells which images belong together; ``image`` means each by itself."""

    real: str = "source"
    synthetic: str = "image"


class Minimum(Strict):
    """Below these numbers a check cannot decide anything and is inconclusive."""

    real: int = Field(default=50, ge=1)
    synthetic: int = Field(default=50, ge=1)
    clusters: int = Field(default=5, ge=1)


class Evidence(Strict):
    """Images that checks are measured on.

    Attributes:
        corpus: A labelled folder, relative to the policy.
        folder: A folder of images without labels, for pipelines.
        make: Name of a corpus that is made on the spot (see ``audit explain``).
        count: Synthetic images that ``make`` produces.
        split: Only rows of this split.
        limit: At most so many images, drawn by seed, both labels alike.
    """

    corpus: str = ""
    folder: str = ""
    make: str = ""
    count: int = Field(default=64, ge=1, le=100_000)
    split: str = ""
    limit: int = Field(default=0, ge=0)
    cluster: Clusters = Clusters()
    minimum: Minimum = Minimum()


class CheckEntry(Strict):
    """What every check takes; a check's own class may add options.

    Attributes:
        id: Registered name, such as ``detector.auroc``.
        label: Distinguishes two entries with the same id.
        evidence: Name of an evidence table.
        at_least: Threshold of checks where more is better.
        at_most: Threshold of checks where less is better.
        severity: ``error`` fails the audit, ``warning`` does not.
        claims: What the check is evidence towards; the check's own by default.
    """

    id: str
    label: str = ""
    evidence: str = ""
    at_least: float | None = None
    at_most: float | None = None
    severity: Literal["error", "warning"] = "error"
    claims: tuple[str, ...] | None = None

    @property
    def threshold(self) -> float | None:
        return self.at_least if self.at_least is not None else self.at_most

    @property
    def key(self) -> str:
        return f"{self.id}[{self.label}]" if self.label else self.id


class Baseline(Strict):
    """What the subject is compared with, on the same images.

    Attributes:
        detector: Name or weights of the detector that was in use before.
        allow: By check key: how much worse the subject may be, in the check's unit.
    """

    detector: str = ""
    allow: dict[str, float] = Field(default_factory=dict)


class Waiver(Strict):
    """Lets a named check fail until a day; reason and expiry are compulsory."""

    check: str
    reason: str = Field(min_length=10)
    expires: date


class Common(Strict):
    """What a policy says, but for its checks."""

    name: str
    subject: Subject
    statistics: Statistics = Statistics()
    evidence: dict[str, Evidence] = Field(default_factory=dict)
    baseline: Baseline = Baseline()
    waivers: tuple[Waiver, ...] = ()


class PolicyFile(Common):
    """A policy as it is written; the options of a check depend on its id."""

    version: Literal["countermark.policy/1"] = Field(alias="schema")
    checks: tuple[dict[str, Any], ...] = ()


class Policy(Common):
    """A whole policy, as it is run.

    Attributes:
        checks: Each of its check's own options class.
        root: Folder that paths are relative to.
    """

    checks: tuple[CheckEntry, ...] = ()
    root: Path = Path()
