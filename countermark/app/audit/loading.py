"""Reads a policy: TOML with a versioned schema; unknown keys are refused with the nearest known one.

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
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from countermark.app.audit.checks import CHECKS
from countermark.app.audit.schema import (
    SCHEMA,
    Baseline,
    CheckEntry,
    Clusters,
    Evidence,
    Minimum,
    Policy,
    Statistics,
    Subject,
    Waiver,
)
from countermark.core.errors import ConfigError

MAX_POLICY_BYTES = 1024 * 1024


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
