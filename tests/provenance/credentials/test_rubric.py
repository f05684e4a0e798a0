"""The conformance rubric: all that we sign passes, and each rule catches what it is for."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from countermark.core.errors import ProvenanceError
from countermark.core.results import VerificationState as State
from countermark.provenance.credentials.ingredients import Ingredient
from countermark.provenance.credentials.redaction import redact_bytes
from countermark.provenance.credentials.rubric import examine_crjson, examine_rubric, rules
from countermark.provenance.credentials.signing import sign_bytes
from countermark.provenance.credentials.softbinding import SoftBinding
from countermark.provenance.credentials.verification import verify_image
from countermark.provenance.identities.identity import external_identity
from countermark.provenance.identities.store import create_identity, get_identity

FORMATS = ["jpeg", "png", "webp", "gif", "tiff", "avif"]
MARK = (SoftBinding("org.countermark.tile.1", bytes(8)),)


def missed(data: bytes) -> list[str]:
    results = examine_rubric(data)
    assert len(results) == 31
    return [each.id for each in results if not each.passed]


@pytest.mark.parametrize("format", FORMATS)
def test_all_that_we_sign_passes(encoded, format):
    plain = encoded(format)
    made = sign_bytes(plain, generator="model/1", prompt="p", seed=1, soft_bindings=MARK).data
    signed = {
        "made": made,
        "edited": sign_bytes(plain, parents=[plain], generator="model/1").data,
        "opened": sign_bytes(plain, parents=[plain]).data,
        "re-signed": sign_bytes(made).data,
        "placed": sign_bytes(plain, parents=[Ingredient(made, "componentOf")] * 2).data,
        "input": sign_bytes(plain, parents=[Ingredient(made, "inputTo")], model="m").data,
        "redacted": redact_bytes(made).data,
        "vouched for": sign_bytes(plain, identity_assertion="default", disclosure=True, model="m").data,
    }
    assert {name: missed(data) for name, data in signed.items()} == {name: [] for name in signed}


def test_an_edit_by_a_generator_is_named_one(encoded):
    plain = encoded("png")
    for options in ({"generator": "model/1"}, {"model": "m"}):
        result = verify_image(sign_bytes(plain, parents=[plain], **options).data)
        assert result.digital_source_type == "compositeWithTrainedAlgorithmicMedia"
    assert verify_image(sign_bytes(plain, parents=[plain]).data).digital_source_type is None


def _document(tmp: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "manifests": [
            {
                "label": "urn:c2pa:1",
                "assertions": {
                    "c2pa.actions.v2": {
                        "allActionsIncluded": True,
                        "actions": [
                            {"action": "c2pa.opened", "parameters": {"ingredients": [{"url": "x"}]}},
                            {"action": "c2pa.edited", "digitalSourceType": "y"},
                        ],
                    },
                    "c2pa.ingredient.v3": {"relationship": "parentOf", "dc:title": "t"},
                },
                "claim.v2": {
                    "claim_generator_info": {"name": "n", "specVersion": "2.4.0"},
                    "created_assertions": [{"url": "self#jumbf=c2pa.assertions/c2pa.actions.v2"}],
                },
                "validationResults": {"success": [], "failure": []},
            }
        ]
    }


ACTION: tuple[Any, ...] = ("assertions", "c2pa.actions.v2", "actions", 1)
SPOILED: dict[str, tuple[tuple[Any, ...], Any]] = {
    "mandatory_dst_for_perceptible_transformations": ((*ACTION, "digitalSourceType"), None),
    "mandatory_spec_version": (("claim.v2", "claim_generator_info", "specVersion"), "2.2"),
    "mandatory_all_actions_included": (("assertions", "c2pa.actions.v2", "allActionsIncluded"), None),
    "no_dst_for_opened_action": (("assertions", "c2pa.actions.v2", "actions", 0, "digitalSourceType"), "z"),
    "well_formed_success": (("validationResults", "failure"), [{"code": "claim.malformed"}]),
    "valid_success": (("validationResults", "failure"), [{"code": "assertion.dataHash.mismatch"}]),
    "inception_action_position": (("claim.v2", "created_assertions"), []),
    "no_deprecated_assertions": (("assertions", "stds.exif"), {}),
    "no_unsupported_assertions": (("assertions", "c2pa.training-mining"), {}),
    "no_deprecated_actions": ((*ACTION, "action"), "c2pa.color_adjustments"),
    "no_unsupported_actions": ((*ACTION, "action"), "c2pa.invented"),
    "no_unrecognized_custom_assertions": (("assertions", "mine"), {}),
    "no_unrecognized_custom_actions": ((*ACTION, "action"), "mine"),
    "no_unrecognized_custom_action_parameters": ((*ACTION, "parameters"), {"mine": 1}),
    "discouraged_legacy_action_parameters": ((*ACTION, "parameters"), {"description": "x"}),
    "active_manifest_urn": (("label",), "urn:uuid:1"),
    "review_ratings_datasource": (
        ("assertions", "org.x"),
        {"reviewRatings": [1], "dataSource": {"type": "humanEntry.anonymous"}},
    ),
    "ingredient_v3_no_active_manifest": (("assertions", "c2pa.ingredient.v3", "validationResults"), {}),
    "ingredient_v3_mandatory_validation_results": (
        ("assertions", "c2pa.ingredient.v3", "activeManifest"),
        {},
    ),
    "ingredient_relationship_values": (("assertions", "c2pa.ingredient.v3", "relationship"), "friendOf"),
    "mandatory_dst_for_created_action": ((*ACTION,), {"action": "c2pa.created"}),
    "no_deprecated_claim_fields": (("claim.v2", "specVersion"), "2.4.0"),
    "alternative_content_representation_choice": (
        ("assertions", "org.x"),
        {"type": "exif.originalPreservationImage"},
    ),
    "forbidden_labels_in_external_references": (
        ("assertions", "org.x"),
        {"label": "c2pa.hash.data", "url": "https://x"},
    ),
    "no_url_in_hashes": (("assertions", "c2pa.hash.data"), {"url": "https://x"}),
    "opened_action_ingredient_reference": (
        ("assertions", "c2pa.actions.v2", "actions", 0, "parameters"),
        {},
    ),
}


@pytest.mark.parametrize("rule", SPOILED)
def test_each_rule_catches_what_it_is_for(rule):
    good = _document()
    assert all(each.passed for each in examine_crjson(good))
    spoiled = copy.deepcopy(good)
    (*path, last), value = SPOILED[rule]
    place: Any = spoiled["manifests"][0]
    for step in path:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    assert rule in [each.id for each in examine_crjson(spoiled) if not each.passed]


def test_the_rest_of_the_rules():
    document = _document()
    manifest = document["manifests"][0]
    manifest["assertions"]["c2pa.actions.v2"]["actions"].pop()
    manifest["assertions"]["c2pa.actions.v2"]["allActionsIncluded"] = False
    manifest["assertions"]["c2pa.ingredient.v3"] |= {
        "activeManifest": {}, "validationResults": {}, "digitalSourceType": "x",
    }  # fmt: skip
    manifest["assertions"] |= {"c2pa.hash.boxes": {}, "c2pa.asset-type.v2": {"dc:format": "image/tiff"}}
    del manifest["validationResults"]
    failed = {each.id for each in examine_crjson(document) if not each.passed}
    assert {
        "all_actions_included_opened", "ingredient_v3_choice", "no_box_hash_for_tiff",
        "well_formed_data_present", "valid_data_present",
    } <= failed  # fmt: skip
    assert len(set(name for name, _ in rules())) == 31
    assert not all(each.passed for each in examine_crjson(json.loads("{}")))


def test_without_a_credential_there_is_nothing_to_hold(encoded, tmp_path: Path):
    with pytest.raises(ProvenanceError) as caught:
        examine_rubric(encoded("png"))
    assert caught.value.code == "credential.missing"


@pytest.mark.parametrize("format", ["png", "jpeg", "avif"])
@pytest.mark.parametrize("marks", [(), MARK])
def test_somebody_else_vouches(home: Path, encoded, format, marks):
    create_identity("author", common_name="Ana Ruiz", algorithm="ed25519")
    signed = sign_bytes(encoded(format), identity_assertion="author", soft_bindings=marks)
    result = verify_image(signed.data)
    assert result.state is State.TRUSTED
    (identity,) = result.chain[0].identities
    assert identity["name"] == "Ana Ruiz" and identity["kind"] == "cawg.x509.cose"
    assert identity["state"] == "valid"  # no list of authorities for identities knows it
    assert all(each.severity == "notice" for each in result.problems)


def test_a_key_held_elsewhere_cannot_vouch(encoded):
    own = get_identity("default")
    elsewhere = external_identity("hsm", own.algorithm, own.chain_pem, own.sign)
    for options in (
        {"identity_assertion": elsewhere},
        {"identity": elsewhere, "identity_assertion": "default"},
    ):
        with pytest.raises(ProvenanceError) as caught:
            sign_bytes(encoded("png"), **options)
        assert caught.value.code == "identity.external"


def test_a_disclosure_is_written_as_it_is_asked(encoded):
    fields = {"modelType": "c2pa.types.model", "modelName": "x", "humanOversightLevel": "none"}
    given = verify_image(sign_bytes(encoded("png"), disclosure=fields).data)
    assert given.chain[0].disclosures == (fields,)
    named = verify_image(sign_bytes(encoded("png"), disclosure=True, model="lake/2").data)
    assert named.chain[0].disclosures[0]["modelName"] == "lake"
    assert verify_image(sign_bytes(encoded("png"), model="lake/2").data).chain[0].disclosures == ()
