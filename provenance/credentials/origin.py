"""What a credential and its history say about origin: every statement, and the one that decides.

The order of rules (docs/credentials.md, "What a credential says about origin", has them for people):

1. Any generative source type counts: of an action, of the template that an action follows, in Adobe's
   parameter, in a metadata assertion, of an ingredient, in a picture placed into this one; and an AI
   disclosure. It does not matter what later actions say.
2. "Captured" is said only by a created or opened action that the signer made (not one that was only
   gathered), in the active manifest or its line of parents; and only where no part of unknown or other
   origin was placed and no generator had a hand in it since.
3. Everything else says nothing about origin and is listed.

Sources: C2PA 2.2, 10 and 18.14; C2PA conformance programme, signal rubrics (6 August 2026).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from countermark.core.results import Statement, Strength
from countermark.provenance.credentials.chain import (
    MAX_DEPTH,
    MAX_LINKS,
    Findings,
    assertions_of,
    mapping,
    sequence,
)
from countermark.provenance.metadata.generators import named_generator
from countermark.provenance.source_types import points_to, term_of, words

DISCLOSURE = "c2pa.ai-disclosure"
_METADATA = ("c2pa.metadata", "cawg.metadata", "stds.iptc", "stds.exif", "stds.schema-org.CreativeWork")
_ON_ORIGIN = ("c2pa.actions", *_METADATA, DISCLOSURE)
_ADOBE = "com.adobe.digitalSourceType"
_INCEPTION = ("c2pa.created", "c2pa.opened")
_PLACING = ("c2pa.placed",)
#: Actions that change nothing that is seen (signal rubrics, "non-editorial").
NON_EDITORIAL = frozenset(
    f"c2pa.{name}"
    for name in (
        "converted published repackaged transcoded resized.proportional enhanced edited.metadata "
        "watermarked watermarked.bound watermarked.unbound redacted"
    ).split()
)
_TYPE_KEYS = ("Iptc4xmpExt:DigitalSourceType", "DigitalSourceType", "digitalSourceType")


def statements(store: Mapping[str, Any], findings: Mapping[str, Findings]) -> tuple[Statement, ...]:
    """Everything that a manifest store says about origin, the deciding statement first.

    Args:
        store: As c2pa's reader gives it.
        findings: What validation said of each manifest, by label.
    """
    manifests = mapping(store.get("manifests"))
    active = str(store.get("active_manifest", ""))
    found: list[Statement] = []
    for label, own in _reachable(manifests, active):
        manifest, seen = mapping(manifests.get(label)), findings.get(label, Findings())
        about = {"by": label, "own": own, "state": seen.state(), "matches": seen.matches()}
        found += [Statement(**{**vars(each), **about}) for each in of_manifest(manifest)]
    if any(each.points_to == "captured" for each in found):
        reason = _not_only_captured(manifests, active)
        if reason:
            found = [_doubted(each, reason) if each.points_to == "captured" else each for each in found]
    return tuple(sorted(found, key=_rank))


def of_manifest(manifest: Mapping[str, Any]) -> Iterator[Statement]:
    """What one manifest says, without its ingredients' own credentials."""
    known = assertions_of(manifest, *_ON_ORIGIN)
    for assertion in (each for each in known if each.label.startswith("c2pa.actions")):
        templates = {
            str(each.get("action")): each for each in map(mapping, sequence(assertion.data.get("templates")))
        }
        actions = [mapping(each) for each in sequence(assertion.data.get("actions"))]
        for action in actions:
            name = str(action.get("action", ""))
            yield from _action(action, templates.get(name) or templates.get("*") or {}, assertion.created)
    for assertion in (each for each in known if each.label.startswith(_METADATA)):
        for key in _TYPE_KEYS:
            value = assertion.data.get(key)
            if isinstance(value, str):
                yield from _typed(value, f"the metadata in {assertion.label}", assertion.created, first=False)
    for assertion in (each for each in known if each.label.startswith(DISCLOSURE)):
        model = next(
            (str(assertion.data[key]) for key in ("modelName", "modelIdentifier") if assertion.data.get(key)),
            "",
        )
        yield Statement(
            "synthetic",
            Strength.STRONG if assertion.created else Strength.WEAK,
            "an AI disclosure" + (f" names the model {model[:80]}" if model else ""),
            created=assertion.created,
        )
    for ingredient in map(mapping, sequence(manifest.get("ingredients"))):
        value = ingredient.get("digitalSourceType") or ingredient.get("digital_source_type")
        if isinstance(value, str):
            title = str(ingredient.get("title", "untitled"))[:80]
            yield from _typed(value, f"its ingredient {title}", True, first=False)


def source_type_of(found: tuple[Statement, ...]) -> str | None:
    """The term that decides, or else the last one that was said of the picture itself."""
    deciding = next((each for each in found if each.points_to != "neither" and each.term), None)
    if deciding is not None:
        return deciding.term
    return next((each.term for each in found if each.term and each.own), None)


def unknown_types(manifest: Mapping[str, Any]) -> list[str]:
    """Values of ``digitalSourceType`` in a manifest's actions that no vocabulary knows."""
    return [
        value
        for assertion in assertions_of(manifest, "c2pa.actions")
        for action in map(mapping, sequence(assertion.data.get("actions")))
        if isinstance(value := action.get("digitalSourceType"), str) and value and term_of(value) is None
    ]


def _action(action: Mapping[str, Any], template: Mapping[str, Any], created: bool) -> Iterator[Statement]:
    name = str(action.get("action", ""))
    values = (
        action.get("digitalSourceType") or template.get("digitalSourceType") or template.get("sourceType"),
        mapping(action.get("parameters")).get(_ADOBE)
        or mapping(template.get("templateParameters")).get(_ADOBE),
    )
    agent = _agent(action.get("softwareAgent") or template.get("softwareAgent"))
    by = f"the action {name.removeprefix('c2pa.')}" + (f" by {agent}" if agent else "")
    typed = False
    for value in values:
        if isinstance(value, str) and value:
            typed = typed or term_of(value) is not None
            yield from _typed(value, by, created, first=name in _INCEPTION)
    maker = named_generator(agent) if agent and not typed else None
    if maker:
        made = name == "c2pa.created"
        sentence = f"{by}, which names the generator {maker} and no digital source type"
        strength = Strength.STRONG if made and created else Strength.WEAK
        yield Statement("synthetic" if made else "neither", strength, sentence, created=created)


def _typed(value: str, by: str, created: bool, *, first: bool) -> Iterator[Statement]:
    term = term_of(value)
    if term is None:
        return
    direction = points_to(term)
    strength = Strength.CERTAIN if created else Strength.STRONG
    if direction == "captured" and not (first and created):
        direction = "neither"
    if direction == "neither":
        strength = Strength.WEAK
    yield Statement(direction, strength, f"{words(term)} ({term}, {by})", term, created=created)


def _reachable(manifests: Mapping[str, Any], active: str) -> Iterator[tuple[str, bool]]:
    """(label, whether it is the active manifest or in its line of parents) of every manifest."""
    queue: list[tuple[str, bool, int]] = [(active, True, 0)]
    seen: set[str] = set()
    while queue and len(seen) < MAX_LINKS:
        label, own, depth = queue.pop(0)
        if label in seen or label not in manifests or depth > MAX_DEPTH:
            continue
        seen.add(label)
        yield label, own
        for each in map(mapping, sequence(mapping(manifests[label]).get("ingredients"))):
            below = each.get("active_manifest")
            if isinstance(below, str):
                queue.append((below, own and each.get("relationship") == "parentOf", depth + 1))


def _not_only_captured(manifests: Mapping[str, Any], active: str) -> str:
    """Why a picture in whose history there is a capture is not simply that capture; empty if it is."""
    for label, own in _reachable(manifests, active):
        manifest = mapping(manifests[label])
        if not own:
            continue
        placed = [e for e in map(mapping, sequence(manifest.get("ingredients"))) if _placed(e)]
        if any(not _captured_itself(manifests, each) for each in placed):
            return "a part of other or unknown origin was placed in it"
        for assertion in assertions_of(manifest, "c2pa.actions"):
            for action in map(mapping, sequence(assertion.data.get("actions"))):
                name, agent = str(action.get("action", "")), _agent(action.get("softwareAgent"))
                if name in NON_EDITORIAL or name in _INCEPTION or action.get("digitalSourceType"):
                    continue
                if agent and named_generator(agent):
                    return f"it was edited by {agent}, and how is not said"
    return ""


def _placed(ingredient: Mapping[str, Any]) -> bool:
    return ingredient.get("relationship") == "componentOf"


def _captured_itself(manifests: Mapping[str, Any], ingredient: Mapping[str, Any]) -> bool:
    below = mapping(manifests.get(str(ingredient.get("active_manifest", ""))))
    return any(each.points_to == "captured" for each in of_manifest(below))


def _doubted(statement: Statement, reason: str) -> Statement:
    sentence = f"{statement.sentence}; but {reason}"
    return replace(statement, points_to="neither", strength=Strength.WEAK, sentence=sentence)


def _agent(agent: Any) -> str:
    name = mapping(agent).get("name") if isinstance(agent, Mapping) else agent
    return name.strip()[:120] if isinstance(name, str) else ""


def _rank(statement: Statement) -> tuple[int, int, int, int]:
    """Generative before captured before the rest; of those the strongest, then the picture's own."""
    order = {"synthetic": 0, "captured": 1}
    strengths = (Strength.CERTAIN, Strength.STRONG, Strength.WEAK)
    return (
        order.get(statement.points_to, 2) if statement.matches else 3,
        strengths.index(statement.strength),
        not statement.own,
        not statement.created,
    )
