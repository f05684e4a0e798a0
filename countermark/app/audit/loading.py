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

from pathlib import Path
from typing import TYPE_CHECKING, Any

from countermark.app.audit.checks import CHECKS
from countermark.app.audit.schema import SCHEMA, CheckEntry, Common, Policy, PolicyFile
from countermark.core.configuration import parse_toml, read_text, validated
from countermark.core.errors import ConfigError, known_names

if TYPE_CHECKING:
    from countermark.app.audit.checks.base import Check

MAX_POLICY_BYTES = 1024 * 1024


def load_policy(path: Path | str) -> Policy:
    """Reads a policy file; paths in it are relative to its folder.

    Raises:
        ConfigError: not readable, not TOML, an unknown key or check, or a value that does not fit.
    """
    text = read_text(path, what="policy", max_bytes=MAX_POLICY_BYTES, hint=_INIT)
    return parse_policy(text, root=Path(path).parent, name=str(path))


_INIT = "'countermark audit init detector' prints a policy to start from."


def parse_policy(text: str, *, root: Path | str = ".", name: str = "policy") -> Policy:
    """Parses a policy from TOML text; see ``load_policy``."""
    data = parse_toml(text, name)
    if data.get("schema") != SCHEMA:
        raise ConfigError(
            f"{name} does not say which schema it follows.",
            code="config.value",
            hint=f'Add schema = "{SCHEMA}".',
        )
    written = validated(PolicyFile, data, name)
    checks = []
    for number, entry in enumerate(written.checks, 1):
        where = f"{name}: checks (number {number})"
        if not isinstance(entry.get("id"), str):
            raise ConfigError(f"{where} has no id.", code="config.value", hint=f"Known: {', '.join(CHECKS)}.")
        checks.append(validated(CHECKS.get(entry["id"]).Options, entry, where))
    common = {field: getattr(written, field) for field in Common.model_fields}
    policy = Policy(**common, checks=tuple(checks), root=Path(root))
    _cross_check(policy, name)
    return policy


def _cross_check(policy: Policy, name: str) -> None:
    keys: set[str] = set()
    for entry in policy.checks:
        kind = CHECKS.get(entry.id)
        where = f"{name}: {entry.key}"
        if entry.key in keys:
            raise ConfigError(f"{where} stands there twice.", code="config.value", hint="Give one a label.")
        keys.add(entry.key)
        if policy.subject.kind not in kind.kinds:
            raise ConfigError(
                f"{where} is not a check of a {policy.subject.kind}.",
                code="config.value",
                hint=f"It audits: {', '.join(kind.kinds)}.",
            )
        _check_threshold(entry, kind, where)
        if kind.needs_evidence and entry.evidence not in policy.evidence:
            raise ConfigError(
                f"{where}: there is no evidence {entry.evidence!r}.",
                code="config.value",
                hint=known_names(entry.evidence, policy.evidence),
            )
    for key in [*policy.baseline.allow, *(w.check for w in policy.waivers)]:
        if key not in keys and key.removeprefix("regression.") not in keys:
            raise ConfigError(
                f"{name}: {key!r} is not a check of this policy.",
                code="config.value",
                hint=known_names(key, sorted(keys)),
            )
    for label, item in policy.evidence.items():
        if sum(map(bool, (item.corpus, item.folder, item.make))) != 1:
            raise ConfigError(
                f"{name}: evidence.{label} needs exactly one of corpus, folder and make.", code="config.value"
            )


def _check_threshold(entry: CheckEntry, kind: type[Check[Any]], where: str) -> None:
    wanted = "at_least" if kind.direction == "at-least" else "at_most"
    other = "at_most" if wanted == "at_least" else "at_least"
    if getattr(entry, other) is not None:
        raise ConfigError(f"{where} takes {wanted}, not {other}.", code="config.value")
    if entry.threshold is None and kind.default_threshold is None:
        raise ConfigError(f"{where} has no threshold.", code="config.value", hint=f"Add {wanted} = ….")
