"""Walks a manifest store: every manifest of the history with its own findings and state.

The library's overall state speaks of the active manifest; what is wrong with an ingredient
stands only in the ingredient's own results. Here each manifest gets a state of its own, and the
state of the whole is that of the weakest link.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from countermark.core.results import ChainLink, Problem
from countermark.provenance.credentials import codes
from countermark.provenance.source_types import term_of

MAX_LINKS = 256
MAX_DEPTH = 32
ORDER = ("invalid", "intact", "trusted")  # weakest first; "absent" does not weigh
_ONLY_TRUST = (codes.UNTRUSTED, codes.SIGNER_UNSEEN)  # say nothing against the signature itself
_LABEL = re.compile(r"self#jumbf=/c2pa/([^/]+)")


@dataclass
class Findings:
    """What validation said of one manifest: success codes, failures and notices with explanations."""

    success: set[str] = field(default_factory=set)
    failure: dict[str, str] = field(default_factory=dict)
    notice: dict[str, str] = field(default_factory=dict)

    def state(self) -> str:
        """``invalid``, ``intact`` or ``trusted``."""
        if any(code not in _ONLY_TRUST for code in self.failure):
            return "invalid"
        trusted = codes.TRUSTED in self.success and not self.failure
        return "trusted" if trusted else "intact"

    def problems(self, where: str) -> tuple[Problem, ...]:
        """Failures first, then notices that are worth reading."""
        failures = [
            Problem(code, codes.sentence(code, why), "failure", where) for code, why in self.failure.items()
        ]
        notices = [
            Problem(code, codes.sentence(code, why), "notice", where)
            for code, why in self.notice.items()
            if code not in codes.ROUTINE
        ]
        return tuple(failures + notices)


def gather(store: Mapping[str, Any]) -> dict[str, Findings]:
    """Findings by manifest label: validation now, over what was recorded when ingredients were added."""
    manifests = _mapping(store.get("manifests"))
    active = str(store.get("active_manifest", ""))
    found = {label: Findings() for label in manifests}
    found.setdefault(active, Findings())
    results = _mapping(store.get("validation_results"))
    for manifest in manifests.values():
        for ingredient in _sequence(_mapping(manifest).get("ingredients")):
            _recorded(_mapping(ingredient), found)
    _add(_mapping(results.get("activeManifest")), active, found)
    for delta in _sequence(results.get("ingredientDeltas")):
        _apply_delta(_mapping(_mapping(delta).get("validationDeltas")), active, found)
    return found


def links(store: Mapping[str, Any], findings: Mapping[str, Findings]) -> list[ChainLink]:
    """The history, active manifest first, depth first; ingredients without credentials are ``absent``."""
    manifests = _mapping(store.get("manifests"))
    active = str(store.get("active_manifest", ""))
    result: list[ChainLink] = []
    for label, facts, depth in _walk(manifests, active, {}, 0, frozenset()):
        if len(result) >= MAX_LINKS:
            problem = Problem(
                codes.INGREDIENT_UNVERIFIED, codes.sentence(codes.INGREDIENT_UNVERIFIED), "failure", label
            )
            result[-1] = replace(result[-1], state="invalid", problems=(*result[-1].problems, problem))
            break
        where = "active" if label == active else label
        result.append(_link(_mapping(manifests.get(label)), label, facts, depth, findings.get(label), where))
    return result


def weakest(chain: list[ChainLink]) -> ChainLink | None:
    """The link that the whole is worth no more than; the first of equals."""
    rated = [link for link in chain if link.state in ORDER]
    return min(rated, key=lambda link: ORDER.index(link.state), default=None)


def actions_of(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The actions of one manifest, of any version of the assertion."""
    found: list[dict[str, Any]] = []
    for assertion in _sequence(manifest.get("assertions")):
        entry = _mapping(assertion)
        if str(entry.get("label", "")).startswith("c2pa.actions"):
            found += [dict(_mapping(each)) for each in _sequence(_mapping(entry.get("data")).get("actions"))]
    return found


def source_types_of(manifest: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Known terms and unknown values of ``digitalSourceType`` in a manifest's actions."""
    known: list[str] = []
    unknown: list[str] = []
    for action in actions_of(manifest):
        value = action.get("digitalSourceType")
        if isinstance(value, str) and value:
            term = term_of(value)
            (known if term else unknown).append(term or value)
    return known, unknown


def effective_source_type(store: Mapping[str, Any]) -> str | None:
    """The digital source type of the active manifest, or else of its line of parents."""
    manifests = _mapping(store.get("manifests"))
    label: str | None = str(store.get("active_manifest", ""))
    for _ in range(MAX_DEPTH):
        manifest = _mapping(manifests.get(label or ""))
        known, _ = source_types_of(manifest)
        if known:
            return known[-1]
        label = next(
            (
                str(entry["active_manifest"])
                for entry in map(_mapping, _sequence(manifest.get("ingredients")))
                if entry.get("relationship") == "parentOf" and entry.get("active_manifest")
            ),
            None,
        )
        if label is None:
            return None
    return None


def _walk(
    manifests: Mapping[str, Any], label: str, facts: Mapping[str, Any], depth: int, above: frozenset[str]
) -> Iterator[tuple[str, Mapping[str, Any], int]]:
    yield label, facts, depth
    if depth >= MAX_DEPTH or label in above:
        return
    for position, entry in enumerate(_sequence(_mapping(manifests.get(label)).get("ingredients"))):
        ingredient = _mapping(entry)
        below = ingredient.get("active_manifest")
        if isinstance(below, str) and below in manifests:
            yield from _walk(manifests, below, ingredient, depth + 1, above | {label})
        else:
            yield f"{label}/ingredient-{position}", ingredient, depth + 1


def _link(
    manifest: Mapping[str, Any],
    label: str,
    facts: Mapping[str, Any],
    depth: int,
    findings: Findings | None,
    where: str,
) -> ChainLink:
    signature = _mapping(manifest.get("signature_info"))
    return ChainLink(
        label=label,
        title=_text(manifest.get("title")) or _text(facts.get("title")),
        generator=_generator(manifest),
        signer=_text(signature.get("common_name")),
        issuer=_text(signature.get("issuer")),
        time=_text(signature.get("time")),
        relationship=_text(facts.get("relationship")),
        state=findings.state() if findings is not None and manifest else "absent",
        actions=tuple(actions_of(manifest)),
        problems=findings.problems(where) if findings is not None else (),
        depth=depth,
    )


def _generator(manifest: Mapping[str, Any]) -> str | None:
    for entry in _sequence(manifest.get("claim_generator_info")):
        name, version = _text(_mapping(entry).get("name")), _text(_mapping(entry).get("version"))
        if name:
            return f"{name} {version}" if version else name
    return _text(manifest.get("claim_generator"))


def _recorded(ingredient: Mapping[str, Any], found: dict[str, Findings]) -> None:
    label = str(ingredient.get("active_manifest") or "")
    if label not in found:
        return
    results = _mapping(ingredient.get("validation_results"))
    _add(_mapping(results.get("activeManifest")), label, found)
    for delta in _sequence(results.get("ingredientDeltas")):
        _add(_mapping(_mapping(delta).get("validationDeltas")), label, found)
    for status in _sequence(ingredient.get("validation_status")):  # claims of version 1
        entry = _mapping(status)
        code = str(entry.get("code", ""))
        if code and code != codes.UNTRUSTED:
            _of(entry, label, found).failure.setdefault(code, str(entry.get("explanation", "")))


def _apply_delta(delta: Mapping[str, Any], default: str, found: dict[str, Findings]) -> None:
    """What validation says now of an ingredient replaces what was recorded about its signer."""
    for entry in map(_mapping, _sequence(delta.get("success"))):
        if entry.get("code") == codes.TRUSTED:
            _of(entry, default, found).failure.pop(codes.UNTRUSTED, None)
    for entry in map(_mapping, _sequence(delta.get("failure"))):
        if entry.get("code") == codes.UNTRUSTED:
            _of(entry, default, found).success.discard(codes.TRUSTED)
    _add(delta, default, found)


def _add(results: Mapping[str, Any], default: str, found: dict[str, Findings]) -> None:
    for entry in map(_mapping, _sequence(results.get("success"))):
        _of(entry, default, found).success.add(str(entry.get("code", "")))
    for entry in map(_mapping, _sequence(results.get("failure"))):
        target = _of(entry, default, found)
        target.failure.setdefault(str(entry.get("code", "")), str(entry.get("explanation", "")))
    for entry in map(_mapping, _sequence(results.get("informational"))):
        target = _of(entry, default, found)
        target.notice.setdefault(str(entry.get("code", "")), str(entry.get("explanation", "")))


def _of(entry: Mapping[str, Any], default: str, found: dict[str, Findings]) -> Findings:
    match = _LABEL.match(str(entry.get("url", "")))
    label = match.group(1) if match and match.group(1) in found else default
    return found.setdefault(label, Findings())


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, (str, int, float)) and value != "" else None
