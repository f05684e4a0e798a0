"""Frozen records that rooms hand to each other and to the reports.

Times, paths and hashes are plain strings so that every record turns into JSON as it stands
(``dataclasses.asdict``). Reports never see anything but these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What a scan may say. Never "real": absence of evidence is not evidence."""

    DECLARED_SYNTHETIC = "declared-synthetic"
    LIKELY_SYNTHETIC = "likely-synthetic"
    UNSURE = "unsure"
    NO_EVIDENCE = "no-evidence"
    DECLARED_CAPTURED = "declared-captured"


class Strength(StrEnum):
    """How far one piece of evidence carries."""

    CERTAIN = "certain"
    STRONG = "strong"
    WEAK = "weak"


class VerificationState(StrEnum):
    """Outcome of verifying a credential; the five are never merged."""

    TRUSTED = "trusted"
    INTACT = "intact"
    INVALID = "invalid"
    RECOVERED = "recovered"
    ABSENT = "absent"


@dataclass(frozen=True)
class Evidence:
    """One reason for a verdict.

    Attributes:
        kind: ``credential``, ``recovery``, ``mark``, ``metadata``, ``detector``, ``stress``, ``region``,
            ``face`` or ``file``.
        points_to: ``synthetic``, ``captured`` or ``neither``.
        strength: How far it carries.
        sentence: For people.
        detail: For machines; JSON types only.
    """

    kind: str
    points_to: str
    strength: Strength
    sentence: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """Why something was skipped: a machine code, a sentence, and what to do."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class ScanResult:
    """One scanned file. ``score`` is the calibrated P(synthetic) in [0, 1] or None.

    ``clip`` is there for clips and animated pictures; ``score`` is then what the clip's rule makes of its
    frames' scores.
    """

    path: str
    sha256: str | None
    verdict: Verdict | None
    score: float | None
    evidence: tuple[Evidence, ...] = ()
    error: Failure | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    thresholds: dict[str, float] = field(default_factory=dict)
    detector: dict[str, str] = field(default_factory=dict)
    clip: Clip | None = None


@dataclass(frozen=True)
class Moment:
    """One frame of a clip that was looked at.

    Attributes:
        time: Seconds from the clip's first frame.
        score: Calibrated P(synthetic) in [0, 1] of this frame alone, or None.
        scene: Whether it was taken because the scene changed.
        mark: Whether a watermark was read in this frame by itself.
        faces: Faces in it: ``box`` (x, y, width, height in pixels), ``score`` of the finder, ``track``,
            and ``put_in``, the calibrated P(put in) of this face, or None where it was not judged.
    """

    time: float
    score: float | None
    scene: bool = False
    mark: bool = False
    faces: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Clip:
    """What a scan says of a clip or an animated picture besides its verdict.

    Attributes:
        seconds: Length.
        container, codec: As ``countermark.core.video`` names them.
        rate: Frames a second, or None.
        timeline: Every frame that was looked at, in order.
        strongest: Times of the frames with the highest scores, the highest first; reports show them.
        parts: Stretches that a verdict or a note speaks of: ``start``, ``end`` (seconds) and ``what``.
        faces: Faces through time: ``track``, ``start``, ``end``, ``frames``, ``judged`` (faces that speak
            for it, at most five) and ``put_in`` (what they say together, or None).
        rule: In words, how the verdict follows from the frames.
        stopped: Why decoding ended early, or empty.
    """

    seconds: float
    container: str
    codec: str
    rate: float | None
    timeline: tuple[Moment, ...]
    strongest: tuple[float, ...] = ()
    parts: tuple[dict[str, Any], ...] = ()
    faces: tuple[dict[str, Any], ...] = ()
    rule: str = ""
    stopped: str = ""


@dataclass(frozen=True)
class Problem:
    """One validation finding: C2PA status code (or ours), a sentence, where in the chain.

    ``severity`` is ``failure`` or ``notice``; ``where`` is a manifest label or ``active``.
    """

    code: str
    sentence: str
    severity: str = "failure"
    where: str = "active"


@dataclass(frozen=True)
class Statement:
    """Something that a credential says about the origin of its picture.

    Attributes:
        points_to: ``synthetic``, ``captured`` or ``neither``.
        strength: How far it would carry if the credential's signer is trusted.
        sentence: For people; may hold text from the file.
        term: The digital source type, when that is what was said.
        by: Label of the manifest that says it.
        own: Whether the manifest is the active one or in its line of parents, so that the picture
            itself is meant; else a part of it.
        created: Whether the signer made the statement, not only gathered it.
        state: ``trusted``, ``intact`` or ``invalid``: of the manifest.
        matches: Whether the manifest's signature and hashes fit.
    """

    points_to: str
    strength: Strength
    sentence: str
    term: str | None = None
    by: str = ""
    own: bool = True
    created: bool = True
    state: str = "intact"
    matches: bool = True


@dataclass(frozen=True)
class ChainLink:
    """One manifest of the history, the active one first.

    Attributes:
        identities: CAWG identities in it: ``kind``, ``name``, ``issuer``, ``state``, ``problem``.
        disclosures: AI disclosures (C2PA 2.4) in it, as they stand there.
        time_stamp: ``trusted`` or ``valid`` (its authority is on no list); empty without one.
        certificate: What the signer's certificate says of itself: ``assurance_level`` and
            ``product_record`` of the C2PA conformance programme, ``not_after``.
    """

    label: str
    title: str | None
    generator: str | None
    signer: str | None
    issuer: str | None
    time: str | None
    relationship: str | None
    state: str
    actions: tuple[dict[str, Any], ...] = ()
    problems: tuple[Problem, ...] = ()
    depth: int = 0
    identities: tuple[dict[str, Any], ...] = ()
    disclosures: tuple[dict[str, Any], ...] = ()
    certificate: dict[str, Any] = field(default_factory=dict)
    time_stamp: str = ""


@dataclass(frozen=True)
class MarkReading:
    """A watermark reading as records carry it: payload as hex, probability of a chance match."""

    payload: str | None
    p_value: float
    scheme: str = "tile/1"
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Verification:
    """What ``verify`` found.

    Attributes:
        state: See VerificationState.
        problems: Everything that is wrong or worth knowing, worst first.
        chain: Every manifest of the history, active first; empty when absent.
        mark: The watermark reading, or None when it was not looked for.
        manifest: The active manifest as c2pa's reader gives it (JSON types), or None.
        digital_source_type: The IPTC term that decides (see ``statements``), or None.
        statements: What the credential and its history say about origin, the deciding one first.
        matches: Whether signature and hashes of the active manifest fit; None without credential.
        summary: One sentence for people.
    """

    path: str
    state: VerificationState
    problems: tuple[Problem, ...] = ()
    chain: tuple[ChainLink, ...] = ()
    mark: MarkReading | None = None
    manifest: dict[str, Any] | None = None
    digital_source_type: str | None = None
    sha256: str | None = None
    summary: str = ""
    statements: tuple[Statement, ...] = ()
    matches: bool | None = None


@dataclass(frozen=True)
class SignedImage:
    """A file that was signed: where it is, and what ties it to its record.

    ``recorded`` is True when the record was made; ``unrecorded`` says why one that was asked for is
    missing.
    """

    source: str
    path: str
    sha256: str
    manifest_id: str
    identity: str
    payload: str | None
    psnr: float | None = None
    recorded: bool = False
    notes: tuple[str, ...] = ()
    unrecorded: str = ""


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval and the number of images (and clusters) behind it."""

    value: float
    low: float
    high: float
    n: int
    clusters: int | None = None
    confidence: float = 0.95


class Outcome(StrEnum):
    """Outcome of one audit check."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"
    WAIVED = "waived"
    ERROR = "error"


@dataclass(frozen=True)
class CheckResult:
    """One audit check against its threshold.

    ``direction`` is ``at-least`` or ``at-most``; ``interval`` is None when there is none to give.
    """

    id: str
    title: str
    outcome: Outcome
    sentence: str
    unit: str = ""
    direction: str = "at-least"
    threshold: float | None = None
    interval: Interval | None = None
    severity: str = "error"
    claims: tuple[str, ...] = ()
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AuditReport:
    """Outcome of a policy. ``exit_code``: 0 pass, 1 fail, 2 could not evaluate, 3 nothing to audit."""

    policy: str
    subject: dict[str, Any]
    checks: tuple[CheckResult, ...]
    passed: bool
    exit_code: int
    version: str = ""
    seed: int = 0
    detail: dict[str, Any] = field(default_factory=dict)
