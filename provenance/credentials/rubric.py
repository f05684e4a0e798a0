"""The official asset rubric of the C2PA conformance programme, as far as a file can show it.

The rules are those of "C2PA Asset Conformance 0.2 Spec 2.4 Rubric" (conformance programme 0.2, version 1.0 of
6 August 2026; github.com/c2pa-org/conformance-public, asset-rubrics), with their names, written anew. They
look at a manifest as the library's crJSON shows it; they say nothing on who is trusted. A test holds every
picture that we sign against them, and benchmarks/credentials_rubric.py against the official evaluator.

>>> [each.id for each in examine_crjson({"manifests": []}) if not each.passed][:1]
['mandatory_spec_version']
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from countermark.core.errors import ProvenanceError
from countermark.core.images import DEFAULT_LIMITS, Limits, read_bytes
from countermark.provenance.credentials import codes
from countermark.provenance.credentials.bounds import out_of_bounds
from countermark.provenance.credentials.chain import mapping, sequence
from countermark.provenance.credentials.claims import SPEC_VERSION
from countermark.provenance.credentials.contexts import context, require_mime
from countermark.provenance.credentials.origin import NON_EDITORIAL

NAME = "C2PA Asset Conformance 0.2 Spec 2.4 Rubric 1.0 (2026-08-06)"
_INCEPTION = ("c2pa.created", "c2pa.opened")
_EXEMPT = ("c2pa.placed",)
_MALFORMED = frozenset(
    """
    assertion.action.malformed assertion.bmffHash.malformed assertion.boxesHash.malformed
    assertion.collectionHash.malformed assertion.dataHash.malformed assertion.external-reference.malformed
    assertion.external-reference.labelMismatch assertion.external-reference.created
    assertion.ingredient.malformed assertion.alternativeContentRepresentation.malformed
    assertion.alternativeContentRepresentation.missing assertion.multiAssetHash.malformed
    assertion.cbor.invalid assertion.json.invalid claim.cbor.invalid claim.hardBindings.missing
    claim.malformed claim.missing claim.multiple hashedURI.missing ingredient.manifest.missing
    assertion.boxesHash.unknownBox assertion.multipleHardBindings manifest.compressed.invalid
    manifest.html.multipleManifests manifest.inaccessible manifest.multipleParents
    manifest.structuredText.emptyReference manifest.structuredText.malformedReference
    manifest.structuredText.multipleReferences manifest.structuredText.noManifest
    manifest.structuredText.noResolutionPath manifest.timestamp.invalid manifest.timestamp.wrongParents
    manifest.update.invalid manifest.update.wrongParents MISSING_VALIDATION_RESULTS
    """.split()
)
_MISMATCHED = frozenset(
    """
    assertion.action.ingredientMismatch assertion.action.redactionMismatch assertion.bmffHash.mismatch
    assertion.boxesHash.mismatch assertion.collectionHash.mismatch assertion.dataHash.mismatch
    assertion.external-reference.hashMismatch assertion.alternativeContentRepresentation.hashMismatch
    assertion.multiAssetHash.mismatch assertion.hashedURI.mismatch assertion.hardBinding.redacted
    hashedURI.mismatch ingredient.manifest.mismatch ingredient.claimSignature.missing
    ingredient.claimSignature.mismatch claimSignature.missing MISSING_VALIDATION_RESULTS
    """.split()
)
_ASSERTIONS = frozenset(
    """
    c2pa.hash.data c2pa.hash.data.part c2pa.actions.v2 c2pa.ingredient.v3 c2pa.hash.boxes c2pa.hash.bmff.v3
    c2pa.hash.collection.data c2pa.soft-binding c2pa.cloud-data c2pa.embedded-data c2pa.metadata
    c2pa.certificate-status c2pa.asset-ref c2pa.asset-type.v2 c2pa.hash.multi-asset c2pa.thumbnail.claim
    c2pa.thumbnail.ingredient c2pa.depthmap.GDepth c2pa.icon c2pa.alternative-content-representation
    c2pa.external-reference c2pa.session-keys c2pa.environmental-sustainability c2pa.repository-receipt
    c2pa.ai-disclosure c2pa.assertion.metadata c2pa.time-stamp font.info
    """.split()
)
_OLD_ASSERTIONS = frozenset(
    "c2pa.claim c2pa.hash.bmff.v2 c2pa.asset-type c2pa.ingredient c2pa.ingredient.v2 c2pa.actions".split()
)
_ACTIONS = frozenset(
    f"c2pa.{name}"
    for name in """
    addedText adjustedColor changedSpeed color_adjustments converted created cropped deleted drawing dubbed
    edited edited.metadata enhanced filtered mastered mixed opened orientation placed published redacted
    remixed removed repackaged resized resized.proportional transcoded translated trimmed unknown
    watermarked watermarked.bound watermarked.unbound
    """.split()
)
_OLD_ACTIONS = frozenset(
    f"c2pa.{name}"
    for name in "copied formatted version_updated printed managed produced saved color_adjustments "
    "watermarked".split()
)
_PARAMETERS = frozenset(
    """
    redacted ingredients ingredient description relatedAssertions sourceLanguage targetLanguage
    multipleInstances ranges weight width italic slant optical-size
    """.split()
)


@dataclass(frozen=True)
class RubricResult:
    """One rule: its name, whether it holds, what it asks, and what stands against it."""

    id: str
    passed: bool
    title: str
    found: tuple[str, ...] = ()


class _Manifest:
    """The active manifest of a crJSON document, taken apart once."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.active = mapping(next(iter(sequence(document.get("manifests"))), {}))
        self.assertions = mapping(self.active.get("assertions"))
        self.claim = mapping(self.active.get("claim.v2"))
        values = [mapping(each) for each in self.assertions.values()]
        self.values = values
        self.with_actions = [each for each in values if each.get("actions") is not None]
        self.actions = [mapping(a) for each in self.with_actions for a in sequence(each.get("actions"))]
        self.names = [str(each.get("action", "")) for each in self.actions]
        self.ingredients = [each for each in values if each.get("relationship") is not None]
        results = self.active.get("validationResults")
        self.validated = results is not None
        failures = [mapping(each) for each in sequence(mapping(results).get("failure"))]
        self.failures = [str(each.get("code", "")) for each in failures]
        if not self.validated:
            self.failures = ["MISSING_VALIDATION_RESULTS"]
        info = self.claim.get("claim_generator_info")
        self.generator = mapping(info[0] if isinstance(info, list) and info else info)


_Check = Callable[[_Manifest], list[str]]
_RULES: list[tuple[str, str, _Check]] = []


def _rule(name: str, title: str) -> Callable[[_Check], _Check]:
    def add(check: _Check) -> _Check:
        _RULES.append((name, title, check))
        return check

    return add


def examine_rubric(
    source: Path | str | bytes, *, data: bytes | None = None, limits: Limits = DEFAULT_LIMITS
) -> list[RubricResult]:
    """Holds the active manifest of an image against the rubric: 31 results, in its order.

    Raises:
        ProvenanceError: ``credential.missing`` when there is no credential that can be read.
    """
    import c2pa

    name = "image" if isinstance(source, bytes) else str(source)
    if data is None:
        data = source if isinstance(source, bytes) else read_bytes(source, limits)
    mime = require_mime(data, name)
    reason = out_of_bounds(data)
    if reason is not None:
        raise _missing(name, codes.sentence(reason))
    try:
        with c2pa.Reader(mime, io.BytesIO(data), context=context()) as reader:
            document = json.loads(reader.crjson())
    except (c2pa.C2paError, ValueError, RecursionError) as error:
        raise _missing(name, " ".join(str(error).split())[:200]) from error
    return examine_crjson(document)


def examine_crjson(document: Mapping[str, Any]) -> list[RubricResult]:
    """Holds a crJSON document against the rubric."""
    manifest = _Manifest(document)
    results = []
    for name, title, check in _RULES:
        found = check(manifest)
        results.append(RubricResult(name, not found, title, tuple(found[:16])))
    return results


def _missing(name: str, why: str) -> ProvenanceError:
    return ProvenanceError(
        f"{name} has no credential that the rubric could look at: {why.rstrip('.')}.",
        code="credential.missing",
        hint="Sign it first, or take an undamaged copy.",
    )


@_rule("mandatory_dst_for_perceptible_transformations", "Every action that is seen has a digital source type")
def _(m: _Manifest) -> list[str]:
    return [
        name
        for name, action in zip(m.names, m.actions, strict=True)
        if name.startswith("c2pa.")
        and name not in (*_INCEPTION, *_EXEMPT)
        and name not in NON_EDITORIAL
        and action.get("digitalSourceType") is None
    ]


@_rule("mandatory_spec_version", "The claim names the version of the specification")
def _(m: _Manifest) -> list[str]:
    version = m.generator.get("specVersion")
    if version is None:
        return ["missing"]
    good = isinstance(version, str) and version.split(".")[:2] == SPEC_VERSION.split(".")[:2]
    return [] if good else [str(version)]


@_rule("mandatory_all_actions_included", "Every list of actions says whether it is complete")
def _(m: _Manifest) -> list[str]:
    return ["c2pa.actions"] * sum(each.get("allActionsIncluded") is None for each in m.with_actions)


@_rule("no_dst_for_opened_action", "An action of opening has no digital source type")
def _(m: _Manifest) -> list[str]:
    return [
        str(action["digitalSourceType"])
        for name, action in zip(m.names, m.actions, strict=True)
        if name == "c2pa.opened" and action.get("digitalSourceType") is not None
    ]


@_rule("well_formed_data_present", "There are results of validation on form")
def _(m: _Manifest) -> list[str]:
    return [] if m.validated else ["missing"]


@_rule("well_formed_success", "Nothing is malformed")
def _(m: _Manifest) -> list[str]:
    return [code for code in m.failures if code in _MALFORMED]


@_rule("valid_data_present", "There are results of validation on integrity")
def _(m: _Manifest) -> list[str]:
    return [] if m.validated else ["missing"]


@_rule("valid_success", "Nothing mismatches")
def _(m: _Manifest) -> list[str]:
    return [code for code in m.failures if code in _MISMATCHED]


@_rule("inception_action_position", "The first created list of actions begins with created or opened")
def _(m: _Manifest) -> list[str]:
    urls = [str(mapping(each).get("url", "")) for each in sequence(m.claim.get("created_assertions"))]
    first = next((url for url in urls if "c2pa.actions" in url), "")
    good = "c2pa.created" not in m.names or m.names[0] in _INCEPTION
    return [] if first.endswith("c2pa.actions.v2") and good else [first or "no created list of actions"]


@_rule("no_deprecated_assertions", "No assertion is out of date")
def _(m: _Manifest) -> list[str]:
    return [label for label in m.assertions if label.startswith("stds.") or label in _OLD_ASSERTIONS]


@_rule("no_unsupported_assertions", "Every assertion of C2PA is one of its list")
def _(m: _Manifest) -> list[str]:
    return [
        label
        for label in m.assertions
        if label.startswith("c2pa.") and label.split("__")[0] not in _ASSERTIONS | _OLD_ASSERTIONS
    ]


@_rule("no_deprecated_actions", "No action is out of date")
def _(m: _Manifest) -> list[str]:
    return [name for name in m.names if name in _OLD_ACTIONS]


@_rule("no_unsupported_actions", "Every action of C2PA is one of its list")
def _(m: _Manifest) -> list[str]:
    return [name for name in m.names if name.startswith("c2pa.") and name not in _ACTIONS]


@_rule("no_unrecognized_custom_assertions", "Assertions of others name their owner")
def _(m: _Manifest) -> list[str]:
    return [label for label in m.assertions if not label.startswith("c2pa.") and "." not in label]


@_rule("no_unrecognized_custom_actions", "Actions of others name their owner")
def _(m: _Manifest) -> list[str]:
    return [name for name in m.names if not name.startswith("c2pa.") and "." not in name]


@_rule("no_unrecognized_custom_action_parameters", "Parameters of others name their owner")
def _(m: _Manifest) -> list[str]:
    keys = [key for action in m.actions for key in mapping(action.get("parameters"))]
    return [key for key in keys if key not in _PARAMETERS and "." not in key]


@_rule("discouraged_legacy_action_parameters", "No parameter is of the old form")
def _(m: _Manifest) -> list[str]:
    return [
        name
        for name, action in zip(m.names, m.actions, strict=True)
        if {"description", "ingredient"} & mapping(action.get("parameters")).keys()
    ]


@_rule("active_manifest_urn", "The manifest's name begins with urn:c2pa:")
def _(m: _Manifest) -> list[str]:
    label = str(m.active.get("label", ""))
    return [] if label.startswith("urn:c2pa:") else [label or "none"]


@_rule("review_ratings_datasource", "No rating stands beside a person's entry")
def _(m: _Manifest) -> list[str]:
    people = ("humanEntry.anonymous", "humanEntry.credentialed")
    rated = [each for each in m.values if each.get("reviewRatings") is not None]
    return ["reviewRatings" for each in rated if mapping(each.get("dataSource")).get("type") in people]


@_rule("ingredient_v3_no_active_manifest", "An ingredient without a credential has no results of validation")
def _(m: _Manifest) -> list[str]:
    return [
        _title(each)
        for each in m.ingredients
        if each.get("activeManifest") is None and each.get("validationResults") is not None
    ]


@_rule("ingredient_v3_mandatory_validation_results", "An ingredient's credential comes with its results")
def _(m: _Manifest) -> list[str]:
    return [
        _title(each)
        for each in m.ingredients
        if each.get("activeManifest") is not None and each.get("validationResults") is None
    ]


@_rule("ingredient_relationship_values", "Every ingredient is a parent, a component or an input")
def _(m: _Manifest) -> list[str]:
    known = ("parentOf", "inputTo", "componentOf")
    return [str(each["relationship"]) for each in m.ingredients if each["relationship"] not in known]


@_rule("mandatory_dst_for_created_action", "An action of creation has a digital source type")
def _(m: _Manifest) -> list[str]:
    return [
        name
        for name, action in zip(m.names, m.actions, strict=True)
        if name == "c2pa.created" and action.get("digitalSourceType") is None
    ]


@_rule("no_deprecated_claim_fields", "The version of the specification stands in claim_generator_info")
def _(m: _Manifest) -> list[str]:
    return ["specVersion in claim"] if m.claim.get("specVersion") is not None else []


@_rule("ingredient_v3_choice", "An ingredient has a credential or a digital source type, not both")
def _(m: _Manifest) -> list[str]:
    return [
        _title(each)
        for each in m.ingredients
        if each.get("activeManifest") is not None and each.get("digitalSourceType") is not None
    ]


@_rule("alternative_content_representation_choice", "A preserved original is told in one way")
def _(m: _Manifest) -> list[str]:
    found = []
    for each in m.values:
        parameters = mapping(each.get("parameters"))
        if "exif.originalPreservationImage" not in (each.get("type"), parameters.get("type")):
            continue
        ways = ("multiAssetPartIndex", "embeddedOriginalPreservationImage")
        if sum(parameters.get(way) is not None for way in ways) != 1:
            found.append("exif.originalPreservationImage")
    return found


@_rule("forbidden_labels_in_external_references", "No list of actions, hash or ingredient is kept elsewhere")
def _(m: _Manifest) -> list[str]:
    exact = ("c2pa.actions", "c2pa.actions.v2", "c2pa.cloud-data", "c2pa.external-reference")
    labels = [
        str(each["label"])
        for each in m.values
        if each.get("label") is not None and each.get("url") is not None and each.get("relationship") is None
    ]
    return [x for x in labels if x in exact or x.startswith(("c2pa.hash", "c2pa.ingredient"))]


@_rule("no_url_in_hashes", "No hash names an address")
def _(m: _Manifest) -> list[str]:
    labels = ("c2pa.hash.data", "c2pa.hash.bmff.v3")
    return [label for label in labels if mapping(m.assertions.get(label)).get("url")][:1]


@_rule("all_actions_included_opened", "A picture that was only opened and saved says so")
def _(m: _Manifest) -> list[str]:
    complete = mapping(m.assertions.get("c2pa.actions.v2")).get("allActionsIncluded")
    return ["c2pa.opened"] if m.names == ["c2pa.opened"] and complete is not True else []


@_rule("opened_action_ingredient_reference", "An action of opening names the one ingredient that was opened")
def _(m: _Manifest) -> list[str]:
    return [
        name
        for name, action in zip(m.names, m.actions, strict=True)
        if name == "c2pa.opened" and len(sequence(mapping(action.get("parameters")).get("ingredients"))) != 1
    ]


@_rule("no_box_hash_for_tiff", "No TIFF is hashed by boxes")
def _(m: _Manifest) -> list[str]:
    kind = mapping(m.assertions.get("c2pa.asset-type.v2")).get("dc:format")
    boxes = "c2pa.hash.boxes" in m.assertions and kind in ("image/tiff", "image/x-adobe-dng")
    return ["c2pa.hash.boxes"] if boxes else []


def _title(ingredient: Mapping[str, Any]) -> str:
    return str(ingredient.get("dc:title", "untitled"))[:80]


def rules() -> Iterator[tuple[str, str]]:
    """Name and title of every rule, in order."""
    yield from ((name, title) for name, title, _ in _RULES)
