"""Walks a manifest store: every manifest of the history with its own findings and state.

The library's overall state speaks of the active manifest; what is wrong with an ingredient
stands only in the ingredient's own results. Here each manifest gets a state of its own, and the
state of the whole is that of the weakest link.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from countermark.core.results import ChainLink, Problem
from countermark.provenance.credentials import codes

MAX_LINKS = 256
MAX_DEPTH = 32
ORDER = ("invalid", "intact", "trusted")  # weakest first; "absent" does not weigh
_ONLY_TRUST = (codes.UNTRUSTED, codes.SIGNER_UNSEEN)  # say nothing against the signature itself
_STORE = "self#jumbf=/c2pa/"


@dataclass
class Findings:
    """What validation said of one manifest: success codes, failures and notices with explanations."""

    success: set[str] = field(default_factory=set)
    failure: dict[str, str] = field(default_factory=dict)
    notice: dict[str, str] = field(default_factory=dict)

    def state(self) -> str:
        """``invalid``, ``intact`` or ``trusted``; what is wrong with an identity in it does not count."""
        counting = [code for code in self.failure if not codes.only_identity(code)]
        if any(code not in _ONLY_TRUST for code in counting):
            return "invalid"
        return "trusted" if codes.TRUSTED in self.success and not counting else "intact"

    def matches(self) -> bool:
        """Whether signature and hashes fit: all that failed speaks of the signer or of a list's form."""
        return all(
            code in _ONLY_TRUST
            or codes.only_signer(code)
            or codes.only_identity(code)
            or code.startswith("assertion.action.")
            for code in self.failure
        )

    def problems(self, where: str) -> tuple[Problem, ...]:
        """Failures first, then notices that are worth reading."""
        identity = {code: why for code, why in self.failure.items() if codes.only_identity(code)}
        failures = [
            Problem(code, codes.sentence(code, why), "failure", where)
            for code, why in self.failure.items()
            if code not in identity
        ]
        notices = [
            Problem(code, codes.sentence(code, why), "notice", where)
            for code, why in {**identity, **self.notice}.items()
            if code not in codes.ROUTINE
        ]
        return tuple(failures + notices)


def gather(store: Mapping[str, Any]) -> dict[str, Findings]:
    """Findings by manifest label: validation now, over what was recorded when ingredients were added."""
    manifests = mapping(store.get("manifests"))
    active = str(store.get("active_manifest", ""))
    found = {label: Findings() for label in manifests}
    found.setdefault(active, Findings())
    results = mapping(store.get("validation_results"))
    for manifest in manifests.values():
        for ingredient in sequence(mapping(manifest).get("ingredients")):
            _recorded(mapping(ingredient), found)
    _add(mapping(results.get("activeManifest")), active, found)
    for delta in sequence(results.get("ingredientDeltas")):
        _apply_delta(mapping(mapping(delta).get("validationDeltas")), active, found)
    return found


def links(
    store: Mapping[str, Any],
    findings: Mapping[str, Findings],
    certificates: Mapping[str, dict[str, Any]] | None = None,
) -> list[ChainLink]:
    """The history, active manifest first, depth first; ingredients without credentials are ``absent``."""
    manifests = mapping(store.get("manifests"))
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
        said = (certificates or {}).get(label, {})
        result.append(
            _link(mapping(manifests.get(label)), label, facts, depth, findings.get(label), where, said)
        )
    return result


def weakest(chain: list[ChainLink]) -> ChainLink | None:
    """The link that the whole is worth no more than; the first of equals."""
    rated = [link for link in chain if link.state in ORDER]
    return min(rated, key=lambda link: ORDER.index(link.state), default=None)


@dataclass(frozen=True)
class Assertion:
    """One assertion: its label, its content, and whether the signer made it.

    An assertion that a claim only gathered is "not attributed to the signer" (C2PA 2.2, 10); claims of
    version 1 knew no difference.
    """

    label: str
    data: Mapping[str, Any]
    created: bool


def assertions_of(manifest: Mapping[str, Any], *labels: str) -> list[Assertion]:
    """The assertions of a manifest whose labels begin with one of ``labels``."""
    old = manifest.get("claim_version") in (None, 1)
    found = []
    for each in map(mapping, sequence(manifest.get("assertions"))):
        label = each.get("label")
        if isinstance(label, str) and label.startswith(labels):
            found.append(Assertion(label, mapping(each.get("data")), old or each.get("created") is True))
    return found


def actions_of(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The actions of one manifest, of any version of the assertion."""
    return [
        dict(mapping(each))
        for assertion in assertions_of(manifest, "c2pa.actions")
        for each in sequence(assertion.data.get("actions"))
    ]


def _walk(
    manifests: Mapping[str, Any], label: str, facts: Mapping[str, Any], depth: int, above: frozenset[str]
) -> Iterator[tuple[str, Mapping[str, Any], int]]:
    yield label, facts, depth
    if depth >= MAX_DEPTH or label in above:
        return
    for position, entry in enumerate(sequence(mapping(manifests.get(label)).get("ingredients"))):
        ingredient = mapping(entry)
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
    certificate: dict[str, Any],
) -> ChainLink:
    signature = mapping(manifest.get("signature_info"))
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
        identities=tuple(_identities(manifest, findings)),
        certificate=certificate,
        time_stamp=_stamped(findings),
        disclosures=tuple(dict(each.data) for each in assertions_of(manifest, "c2pa.ai-disclosure")),
    )


def _stamped(findings: Findings | None) -> str:
    success = findings.success if findings is not None else set()
    if "timeStamp.trusted" in success:
        return "trusted"
    return "valid" if "timeStamp.validated" in success else ""


def _identities(manifest: Mapping[str, Any], findings: Findings | None) -> Iterator[dict[str, Any]]:
    """CAWG identity assertions: who vouches for the picture besides the signer, and whether that holds.

    ``state`` is ``trusted``, ``valid`` (good, but its issuer is on no list) or ``unverified``.
    """
    found = assertions_of(manifest, "cawg.identity")
    seen = findings or Findings()
    failed = [code for code in seen.failure if codes.only_identity(code)]
    good = {"cawg.x509.credential.trusted", "cawg.identity.trusted", "cawg.ica.credential_valid"}
    only_trust = {"cawg.x509.credential.untrusted", "cawg.ica.untrusted_issuer"}
    for each in found:
        data = each.data
        signature = mapping(data.get("signature_info"))
        names = [
            " ".join(
                filter(
                    None,
                    (
                        _text(e.get("name")) or _text(e.get("username")),
                        _text(mapping(e.get("provider")).get("name")),
                    ),
                )
            )
            for e in map(mapping, sequence(data.get("verifiedIdentities")))
        ]
        payload = mapping(data.get("signer_payload")) or mapping(data.get("c2paAsset"))
        state = "unverified"
        if not [code for code in failed if code not in only_trust] and payload:
            untrusted = any(code in seen.failure or code in seen.notice for code in only_trust)
            state = "valid" if untrusted or not good & seen.success else "trusted"
        yield {
            "kind": _text(payload.get("sig_type")) or "",
            "name": _text(signature.get("common_name")) or "; ".join(filter(None, names)),
            "issuer": _text(signature.get("issuer")) or _text(data.get("issuer")) or "",
            "state": state,
            "problem": codes.sentence(failed[0]) if failed else "",
        }


def _generator(manifest: Mapping[str, Any]) -> str | None:
    for entry in sequence(manifest.get("claim_generator_info")):
        name, version = _text(mapping(entry).get("name")), _text(mapping(entry).get("version"))
        if name:
            return f"{name} {version}" if version else name
    return _text(manifest.get("claim_generator"))


def _recorded(ingredient: Mapping[str, Any], found: dict[str, Findings]) -> None:
    label = str(ingredient.get("active_manifest") or "")
    if label not in found:
        return
    results = mapping(ingredient.get("validation_results"))
    _add(mapping(results.get("activeManifest")), label, found)
    for delta in sequence(results.get("ingredientDeltas")):
        _add(mapping(mapping(delta).get("validationDeltas")), label, found)
    for status in sequence(ingredient.get("validation_status")):  # claims of version 1
        entry = mapping(status)
        code = str(entry.get("code", ""))
        if code and code != codes.UNTRUSTED:
            _of(entry, label, found).failure.setdefault(code, str(entry.get("explanation", "")))


def _apply_delta(delta: Mapping[str, Any], default: str, found: dict[str, Findings]) -> None:
    """What validation says now of an ingredient replaces what was recorded about its signer."""
    for entry in map(mapping, sequence(delta.get("success"))):
        if entry.get("code") == codes.TRUSTED:
            _of(entry, default, found).failure.pop(codes.UNTRUSTED, None)
    for entry in map(mapping, sequence(delta.get("failure"))):
        if entry.get("code") == codes.UNTRUSTED:
            _of(entry, default, found).success.discard(codes.TRUSTED)
    _add(delta, default, found)


def _add(results: Mapping[str, Any], default: str, found: dict[str, Findings]) -> None:
    for entry in map(mapping, sequence(results.get("success"))):
        _of(entry, default, found).success.add(str(entry.get("code", "")))
    for entry in map(mapping, sequence(results.get("failure"))):
        target = _of(entry, default, found)
        target.failure.setdefault(str(entry.get("code", "")), str(entry.get("explanation", "")))
    for entry in map(mapping, sequence(results.get("informational"))):
        target = _of(entry, default, found)
        target.notice.setdefault(str(entry.get("code", "")), str(entry.get("explanation", "")))


def _of(entry: Mapping[str, Any], default: str, found: dict[str, Findings]) -> Findings:
    url = entry.get("url")
    label = url[len(_STORE) :].partition("/")[0] if isinstance(url, str) and url.startswith(_STORE) else ""
    known = found.get(label)
    return known if known is not None else found.setdefault(default, Findings())


def mapping(value: Any) -> Mapping[str, Any]:
    """``value``, or an empty mapping when it is none."""
    return value if isinstance(value, (dict, Mapping)) else {}


def sequence(value: Any) -> list[Any]:
    """``value``, or an empty list when it is none."""
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, (str, int, float)) and value != "" else None
