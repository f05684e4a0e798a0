"""The policy file: TOML with a versioned schema; unknown keys are refused with the nearest known one.

>>> policy = parse_policy('''
... schema = "countermark.policy/1"
... name = "Release gate"
... [subject]
... kind = "detector"
... [evidence.test]
... corpus = "corpus"
... [[checks]]
... id = "detector.auroc"
... evidence = "test"
... at_least = 0.9
... ''')
>>> policy.checks[0].threshold
0.9
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from countermark.core.errors import ConfigError

SCHEMA = "countermark.policy/1"
MAX_POLICY_BYTES = 1024 * 1024


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


class Policy(Strict):
    """A whole policy. ``checks`` hold each check's own options class."""

    name: str
    subject: Subject
    statistics: Statistics = Statistics()
    evidence: dict[str, Evidence] = Field(default_factory=dict)
    checks: tuple[CheckEntry, ...] = ()
    baseline: Baseline = Baseline()
    waivers: tuple[Waiver, ...] = ()
    root: Path = Path()


def load_policy(path: Path | str) -> Policy:
    """Reads a policy file; paths in it are relative to its folder.

    Raises:
        ConfigError: not readable, not TOML, an unknown key or check, or a value that does not fit.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_POLICY_BYTES:
            raise ConfigError(f"{path} is too large for a policy.", code="policy.too-large")
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist.", code="policy.missing", hint=_INIT) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.", code="policy.unreadable") from error
    return parse_policy(text, root=path.parent, name=str(path))


_INIT = "'countermark audit init detector' prints a policy to start from."


def parse_policy(text: str, *, root: Path | str = ".", name: str = "policy") -> Policy:
    """Parses a policy from TOML text; see ``load_policy``."""
    from countermark.app.audit.checks import CHECKS

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name} is not valid TOML: {error}.", code="policy.toml") from error
    if data.pop("schema", None) != SCHEMA:
        raise ConfigError(
            f"{name} does not say which schema it follows.",
            code="policy.schema",
            hint=f'Add schema = "{SCHEMA}".',
        )
    if "root" in data:
        raise ConfigError(f"{name}: unknown key 'root'.", code="policy.unknown-key")
    entries = data.pop("checks", [])
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise ConfigError(f"{name}: write each check as [[checks]].", code="policy.value")
    checks = []
    for number, entry in enumerate(entries, 1):
        where = f"{name}: checks, number {number}"
        if not isinstance(entry.get("id"), str):
            raise ConfigError(f"{where} has no id.", code="policy.value", hint=f"Known: {', '.join(CHECKS)}.")
        kind = CHECKS.get(entry["id"])
        checks.append(_validate(kind.Options, entry, where))
    policy = _validate(Policy, {**data, "root": Path(root)}, name)
    policy = policy.model_copy(update={"checks": tuple(checks)})
    _cross_check(policy, name)
    return policy


def _cross_check(policy: Policy, name: str) -> None:
    from countermark.app.audit.checks import CHECKS

    keys: set[str] = set()
    for entry in policy.checks:
        kind = CHECKS.get(entry.id)
        where = f"{name}: {entry.key}"
        if entry.key in keys:
            raise ConfigError(f"{where} stands there twice.", code="policy.value", hint="Give one a label.")
        keys.add(entry.key)
        if policy.subject.kind not in kind.kinds:
            raise ConfigError(
                f"{where} is not a check of a {policy.subject.kind}.",
                code="policy.value",
                hint=f"It audits: {', '.join(kind.kinds)}.",
            )
        _check_threshold(entry, kind, where)
        if kind.needs_evidence and entry.evidence not in policy.evidence:
            known = ", ".join(policy.evidence) or "none"
            raise ConfigError(
                f"{where}: there is no evidence {entry.evidence!r}.",
                code="policy.value",
                hint=f"Known: {known}.",
            )
    for key in [*policy.baseline.allow, *(w.check for w in policy.waivers)]:
        if key not in keys and key.removeprefix("regression.") not in keys:
            raise ConfigError(
                f"{name}: {key!r} is not a check of this policy.",
                code="policy.value",
                hint=_nearest(key, keys),
            )
    for label, item in policy.evidence.items():
        if sum(map(bool, (item.corpus, item.folder, item.make))) != 1:
            raise ConfigError(
                f"{name}: evidence.{label} needs exactly one of corpus, folder and make.", code="policy.value"
            )


def _check_threshold(entry: CheckEntry, kind: Any, where: str) -> None:
    wanted = "at_least" if kind.direction == "at-least" else "at_most"
    other = "at_most" if wanted == "at_least" else "at_least"
    if getattr(entry, other) is not None:
        raise ConfigError(f"{where} takes {wanted}, not {other}.", code="policy.value")
    if entry.threshold is None and kind.default_threshold is None:
        raise ConfigError(f"{where} has no threshold.", code="policy.value", hint=f"Add {wanted} = ….")


def _validate(model: type[Any], data: Mapping[str, Any], where: str) -> Any:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problem = error.errors()[0]
        path = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = _fields(model, problem["loc"][:-1])
            raise ConfigError(
                f"{where}: unknown key {path!r}.",
                code="policy.unknown-key",
                hint=_nearest(str(problem["loc"][-1]), known),
            ) from error
        raise ConfigError(f"{where}: {path}: {problem['msg']}.", code="policy.value") from error


def _fields(model: Any, path: tuple[int | str, ...]) -> set[str]:
    """The keys that are known at ``path`` inside ``model``."""
    known = {
        (): model,
        ("subject",): Subject,
        ("statistics",): Statistics,
        ("baseline",): Baseline,
        ("waivers",): Waiver,
        ("evidence",): Evidence,
        ("evidence", "cluster"): Clusters,
        ("evidence", "minimum"): Minimum,
    }
    words = [p for p in path if isinstance(p, str)]
    if words[:1] == ["evidence"] and len(words) > 1:
        words.pop(1)
    found = known.get(tuple(words), model)
    return set(found.model_fields) - {"root"} | ({"schema"} if found is Policy else set())


def _nearest(word: str, known: set[str]) -> str:
    close = difflib.get_close_matches(word, sorted(known), n=1)
    guess = f"Did you mean {close[0]!r}? " if close else ""
    return f"{guess}Known: {', '.join(sorted(known))}."
