"""What a credential is made to say: the rules on origin, one test each, and the sentences for people."""

from __future__ import annotations

import datetime
import io
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from countermark.app.scan.gather import credential_evidence, gather
from countermark.app.scan.verdict import declared
from countermark.core.images import encode_image
from countermark.core.results import Verdict, VerificationState
from countermark.provenance.credentials.contexts import PURPOSES
from countermark.provenance.credentials.verification import verify_image
from countermark.provenance.identities import certificates as certs
from countermark.provenance.identities.identity import Identity
from countermark.provenance.identities.store import get_identity

DST = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED = DST + "trainedAlgorithmicMedia"
SYNTHETIC, CAPTURED = Verdict.DECLARED_SYNTHETIC, Verdict.DECLARED_CAPTURED


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COUNTERMARK_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def plain() -> bytes:
    pixels = np.random.default_rng(3).integers(0, 255, (64, 80, 3), dtype=np.uint8)
    return encode_image(pixels, "jpeg")


def make(
    data: bytes,
    actions: Sequence[dict[str, Any]],
    *,
    extra: Sequence[dict[str, Any]] = (),
    ingredients: Sequence[tuple[dict[str, Any], bytes]] = (),
    label: str = "c2pa.actions.v2",
    version: int | None = None,
    identity: Identity | None = None,
    ekus: str = "",
    **more: Any,
) -> bytes:
    """A picture with a manifest that Countermark itself would not write."""
    manifest: dict[str, Any] = {
        "title": "case.jpg",
        "claim_generator_info": [{"name": "CaseMaker", "version": "1"}],
        "assertions": [{"label": label, "data": {"actions": actions, **more}, "created": True}, *extra],
    }
    if version:
        manifest["claim_version"] = version
    settings: dict[str, Any] = {
        "version": 1,
        "verify": {"verify_after_sign": False, "remote_manifest_fetch": False},
        "builder": {"thumbnail": {"enabled": False}},
        "trust": {"trust_config": "\n".join((*PURPOSES, ekus))},
    }
    out = io.BytesIO()
    with c2pa.Builder(manifest, context=c2pa.Context.from_json(json.dumps(settings))) as builder:
        for facts, content in ingredients:
            builder.add_ingredient(facts, "image/jpeg", io.BytesIO(content))
        signer = (identity or get_identity("default")).native_signer()
        builder.sign(signer, "image/jpeg", io.BytesIO(data), out)
    return out.getvalue()


def created(term: str | None = None, **more: Any) -> dict[str, Any]:
    action: dict[str, Any] = {"action": "c2pa.created", **more}
    return {**action, "digitalSourceType": DST + term} if term else action


OPENED = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["p"]}}
PLACED = {"action": "c2pa.placed", "parameters": {"ingredientIds": ["k"]}}
PARENT = {"title": "parent.jpg", "relationship": "parentOf", "label": "p"}
PART = {"title": "part.jpg", "relationship": "componentOf", "label": "k"}


def verdict(data: bytes) -> Verdict | None:
    return declared(credential_evidence(verify_image(data)))


def edited(term: str | None = None, **more: Any) -> dict[str, Any]:
    action = {"action": "c2pa.edited", **more}
    return {**action, "digitalSourceType": DST + term} if term else action


@pytest.fixture(scope="module")
def generated(plain: bytes) -> bytes:
    return make(plain, [created("trainedAlgorithmicMedia", softwareAgent={"name": "ImageModel"})])


@pytest.fixture(scope="module")
def camera(plain: bytes) -> bytes:
    return make(plain, [created("digitalCapture")])


# Rule 1: any generative source type counts, whatever is said later.


@pytest.mark.parametrize(
    "later",
    [
        edited("humanEdits"),
        edited("digitalCapture"),
        {"action": "c2pa.color_adjustments", "digitalSourceType": DST + "algorithmicallyEnhanced"},
    ],
)
def test_later_actions_take_no_generative_type_back(plain: bytes, later: dict[str, Any]) -> None:
    assert verdict(make(plain, [created("trainedAlgorithmicMedia"), later])) is SYNTHETIC


def test_a_generative_edit_of_a_photograph_counts_and_the_contradiction_is_listed(plain: bytes) -> None:
    fill = edited("compositeWithTrainedAlgorithmicMedia", softwareAgent={"name": "Generative Fill"})
    found = credential_evidence(verify_image(make(plain, [created("digitalCapture"), fill])))
    assert declared(found) is SYNTHETIC and found[0].strength == "certain"
    assert "edited with generative AI" in found[0].sentence and found[0].detail["whole"] is False
    assert found[1].sentence.startswith("Contradiction:") and "taken with a camera" in found[1].sentence


@pytest.mark.parametrize("parent", [True, False])
def test_a_template_counts(plain: bytes, camera: bytes, parent: bool) -> None:
    templates = [
        {
            "action": "com.example.genfill",
            "digitalSourceType": DST + "compositeWithTrainedAlgorithmicMedia",
            "softwareAgent": {"name": "Fill model"},
        }
    ]
    actions = [OPENED, {"action": "com.example.genfill"}]
    below = camera if parent else plain
    data = make(plain, actions, ingredients=[(PARENT, below)], templates=templates)
    assert verdict(data) is SYNTHETIC


def test_adobes_parameter_counts(plain: bytes) -> None:
    parameters = {"ingredientIds": ["p"], "com.adobe.digitalSourceType": GENERATED}
    action = {"action": "c2pa.opened", "parameters": parameters}
    assert verdict(make(plain, [action], ingredients=[(PARENT, plain)])) is SYNTHETIC


@pytest.mark.parametrize("label", ["c2pa.metadata", "cawg.metadata", "stds.iptc"])
def test_a_metadata_assertion_counts(plain: bytes, label: str) -> None:
    data = {
        "@context": {"Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"},
        "Iptc4xmpExt:DigitalSourceType": GENERATED,
    }
    extra = [{"label": label, "data": data, "created": label == "c2pa.metadata"}]
    signed = make(plain, [OPENED], ingredients=[(PARENT, plain)], extra=extra)
    found = credential_evidence(verify_image(signed))
    assert declared(found) is SYNTHETIC
    assert found[0].strength == ("certain" if label == "c2pa.metadata" else "strong")  # else only gathered


def test_an_ai_disclosure_counts_and_is_shown(plain: bytes) -> None:
    data = {"modelType": "c2pa.types.model", "modelName": "some-diffusion", "humanOversightLevel": "none"}
    extra = [{"label": "c2pa.ai-disclosure", "data": data, "created": True}]
    result = verify_image(make(plain, [created("digitalCreation")], extra=extra))
    assert declared(credential_evidence(result)) is SYNTHETIC
    assert result.chain[0].disclosures[0]["modelName"] == "some-diffusion"


def test_a_generated_part_in_a_photograph_counts(plain: bytes, camera: bytes, generated: bytes) -> None:
    """A trusted photograph with a generated part placed in it, made in both ways."""
    opened = make(plain, [OPENED, PLACED], ingredients=[(PARENT, camera), (PART, generated)])
    shot = make(plain, [created("digitalCapture"), PLACED], ingredients=[(PART, generated)])
    for data in (opened, shot):
        found = credential_evidence(verify_image(data))
        assert declared(found) is SYNTHETIC
        assert any(e.sentence.startswith("Contradiction:") for e in found)


def test_a_generated_parent_stays_generated(plain: bytes, generated: bytes) -> None:
    later = {"action": "c2pa.resized", "digitalSourceType": DST + "algorithmicallyEnhanced"}
    found = credential_evidence(verify_image(make(plain, [OPENED, later], ingredients=[(PARENT, generated)])))
    assert declared(found) is SYNTHETIC and found[0].strength == "certain"


@pytest.mark.parametrize(("label", "version"), [("c2pa.actions", 1), ("c2pa.actions.v2", None)])
def test_a_generator_that_created_counts_where_no_type_is_said(
    plain: bytes, label: str, version: int | None
) -> None:
    agent: Any = "Bing Image Creator" if version else {"name": "Bing Image Creator"}
    data = make(plain, [created(softwareAgent=agent)], label=label, version=version)
    found = credential_evidence(verify_image(data))
    assert declared(found) is SYNTHETIC and not any(e.strength == "certain" for e in found)


# Rule 2: captured is what a created or opened action of the signer says, and nothing else.


def test_a_camera_that_created_is_a_capture(plain: bytes, camera: bytes) -> None:
    assert verdict(camera) is CAPTURED
    resaved = make(plain, [OPENED, {"action": "c2pa.converted"}], ingredients=[(PARENT, camera)])
    assert verdict(resaved) is CAPTURED


def test_an_edit_captures_nothing(plain: bytes) -> None:
    assert verdict(make(plain, [OPENED, edited("digitalCapture")], ingredients=[(PARENT, plain)])) is None


def test_gathered_actions_capture_nothing(plain: bytes) -> None:
    gathered = {"label": "c2pa.actions.v2", "data": {"actions": [edited("digitalCapture")]}}
    data = make(plain, [OPENED], ingredients=[(PARENT, plain)], extra=[gathered])
    assert verdict(data) is None


def test_a_part_of_unknown_origin_takes_the_capture_away(plain: bytes, camera: bytes) -> None:
    shot = make(plain, [created("digitalCapture"), PLACED], ingredients=[(PART, plain)])
    assert verdict(shot) is None
    both = make(plain, [created("digitalCapture"), PLACED], ingredients=[(PART, camera)])
    assert verdict(both) is CAPTURED


def test_a_generators_edit_of_unknown_kind_takes_the_capture_away(plain: bytes, camera: bytes) -> None:
    actions = [OPENED, edited(softwareAgent={"name": "Adobe Firefly"})]
    assert verdict(make(plain, actions, ingredients=[(PARENT, camera)])) is None


def test_an_untrusted_camera_is_no_capture(plain: bytes) -> None:
    root = certs.make_authority("Somebody")
    key = certs.make_key("es256")
    leaf = certs.make_leaf(key.public_key(), "Camera", root)
    identity = Identity("camera", "es256", certs.to_pem(leaf, root[1]), _key=key)
    data = make(plain, [created("digitalCapture")], identity=identity)
    assert verify_image(data).state is VerificationState.INTACT and verdict(data) is None


# Rule 3: everything else says nothing about origin.


@pytest.mark.parametrize(
    "term",
    ["algorithmicMedia", "virtualRecording", "compositeCapture", "algorithmicallyEnhanced", "humanEdits"],
)
def test_other_types_say_nothing(plain: bytes, term: str) -> None:
    data = make(plain, [created(term)])
    assert verdict(data) is None
    assert term in credential_evidence(verify_image(data))[0].sentence


# What does not hold is said as it is.


def leaf_with(ekus: Sequence[str], *, days: float = 30, started: float = 1) -> tuple[Identity, str]:
    """An identity whose certificate is made for ``ekus``, and its root."""
    root_key, root = certs.make_authority("Case root")
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    leaf = (
        x509.CertificateBuilder()
        .subject_name(certs._name("Image Service", "Case"))
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=started))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(False, None), True)
        .add_extension(certs._usage(digital_signature=True), True)
        .add_extension(x509.ExtendedKeyUsage([x509.ObjectIdentifier(e) for e in ekus]), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), False)
        .sign(root_key, hashes.SHA256())
    )
    return Identity("case", "es256", certs.to_pem(leaf, root), _key=key), certs.to_pem(root)


CLAIMS, DOCUMENTS, MAIL = "1.3.6.1.4.1.62558.2.1", "1.3.6.1.5.5.7.3.36", "1.3.6.1.5.5.7.3.4"


@pytest.mark.parametrize(
    "ekus", [[CLAIMS], [DOCUMENTS], [CLAIMS, DOCUMENTS], [CLAIMS, MAIL], ["1.3.6.1.4.1.311.76.59.1.9"]]
)
def test_certificates_that_c2pa_accepts_are_accepted(plain: bytes, ekus: list[str]) -> None:
    """C2PA 2.2, 14.4.1; a PEM trust list narrows nothing."""
    identity, root = leaf_with(ekus)
    data = make(plain, [created("trainedAlgorithmicMedia")], identity=identity)
    assert verify_image(data).state is VerificationState.INTACT
    assert verify_image(data, trust=root).state is VerificationState.TRUSTED
    assert verdict(data) is SYNTHETIC


@pytest.fixture(scope="module")
def expired(plain: bytes) -> bytes:
    """Signed at the end of a certificate's life, and read after it; the library signs with no expired one."""
    for seconds in (3, 12, 60):
        identity, _ = leaf_with([MAIL], days=seconds / 86_400, started=90)
        try:
            data = make(plain, [created("trainedAlgorithmicMedia")], identity=identity)
        except c2pa.C2paError:
            continue  # a busy machine
        time.sleep(seconds + 1)
        return data
    raise AssertionError("no signature within a minute")


def test_an_expired_certificate_is_called_just_that(expired: bytes) -> None:
    result = verify_image(expired)
    assert result.state is VerificationState.INVALID and result.matches is True
    assert "expired" in result.summary and "changed" not in result.summary
    found = credential_evidence(result)
    assert "changed" not in found[0].sentence and "expired" in found[0].sentence
    assert declared(found) is SYNTHETIC
    assert found[1].strength == "strong" and "expired" in found[1].sentence


def test_only_a_change_is_called_a_change(plain: bytes, generated: bytes) -> None:
    changed = bytearray(generated)
    changed[-40] ^= 1
    result = verify_image(bytes(changed))
    assert result.matches is False
    found = credential_evidence(result)
    assert "changed after signing" in found[0].sentence and declared(found) is None
    missing = verify_image(make(plain, [created()]))
    assert missing.state is VerificationState.INVALID
    assert "digital source type" in missing.summary and "begin with" not in missing.summary
    for evidence in credential_evidence(missing):
        assert "changed" not in evidence.sentence


def test_a_failing_identity_leaves_the_credential_as_it_is(plain: bytes) -> None:
    """CAWG: it is the identity assertion that is rejected."""
    data = {
        "signer_payload": {"sig_type": "example.unknown", "referenced_assertions": []},
        "signature": [0],
        "pad1": [0],
    }
    extra = [{"label": "cawg.identity", "data": data}]
    signed = make(plain, [created("trainedAlgorithmicMedia")], extra=extra)
    result = verify_image(signed)
    assert result.state is VerificationState.TRUSTED
    assert not [p for p in result.problems if p.severity == "failure"]
    assert verdict(signed) is SYNTHETIC


def test_a_scan_of_a_file_says_the_same(plain: bytes, generated: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(generated)
    gathered = gather(str(tmp_path / "a.jpg"), marks=False)
    assert declared(gathered.evidence) is SYNTHETIC
