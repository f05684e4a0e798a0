"""Builds the manifest definition: actions, training and mining, model, prompt, soft bindings.

The first action is ``c2pa.created`` for a new image and ``c2pa.opened`` for one that has a
parent (C2PA 2.x, "Actions"). Prompt and seed stand in an assertion of their own, so that an
update manifest can redact them without touching the rest.
"""

from __future__ import annotations

import datetime
import functools
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from countermark.core.errors import ProvenanceError
from countermark.core.version import VERSION
from countermark.provenance import source_types
from countermark.provenance.credentials.bytestrings import ByteStrings
from countermark.provenance.credentials.softbinding import SoftBinding, to_assertion

MODEL_LABEL = "org.countermark.model"
PROMPT_LABEL = "org.countermark.prompt"
DISCLOSURE_LABEL = "c2pa.ai-disclosure"
DEFAULT_SOURCE_TYPE = "trainedAlgorithmicMedia"
#: Of an edit by a generator, a model or with a model's inputs.
DEFAULT_EDIT_TYPE = "compositeWithTrainedAlgorithmicMedia"
#: What the conformance programme asks for (``rubric``).
SPEC_VERSION = "2.4.0"
USES = ("allowed", "notAllowed", "constrained")
_PURPOSES = ("ai_generative_training", "ai_training", "ai_inference", "data_mining")
PARENT_ID, COMPONENT_ID, INPUT_ID = "parent", "component-{}", "input-{}"


@dataclass(frozen=True)
class Claim:
    """What a manifest is to say.

    Attributes:
        title: Usually the file's name.
        generator: The software that made the image, ``name`` or ``name/version``.
        digital_source_type: IPTC term or URI; None means ``trainedAlgorithmicMedia`` for a new image
            and, for one with a parent, ``compositeWithTrainedAlgorithmicMedia`` where a generator,
            model or input says that it was edited, else nothing.
        model: Name of the model, or a mapping such as ``{"name", "version", "sha256"}``.
        seed: Seed of this image; redactable.
        prompt: Prompt of this image; redactable.
        parameters: Further JSON facts to put beside prompt and seed; redactable.
        soft_bindings: See ``SoftBinding``.
        actions: Further actions, in order, each a name or a C2PA action mapping.
        training: Use for AI training and data mining: ``allowed``, ``notAllowed``,
            ``constrained``, or None to say nothing.
        assertions: Further assertions, ``{"label", "data"}`` each.
        has_parent: Whether there is a parent ingredient, with the id ``parent``.
        components: Number of component ingredients, with the ids ``component-0``…
        inputs: Number of ingredients that a model was given, with the ids ``input-0``…
        when: When the image was made or edited: ISO 8601 with its offset from UTC, ``now``, or None to
            say nothing. It is what the signer says; only a time-stamp proves a time.
    """

    title: str
    generator: str | None = None
    digital_source_type: str | None = None
    model: str | Mapping[str, Any] | None = None
    seed: int | str | None = None
    prompt: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    soft_bindings: Sequence[SoftBinding] = ()
    actions: Sequence[str | Mapping[str, Any]] = ()
    training: str | None = "notAllowed"
    assertions: Sequence[Mapping[str, Any]] = ()
    has_parent: bool = False
    components: int = 0
    inputs: int = 0
    when: str | None = None


def definition(claim: Claim) -> tuple[dict[str, Any], ByteStrings]:
    """The manifest definition that c2pa's builder takes, with a fresh manifest id as its label.

    The second part replaces the stand-ins of the soft bindings' values, see ``bytestrings``.

    Raises:
        ProvenanceError: ``source-type.unknown``, ``training.unknown``, ``action.malformed`` or
            ``when.unknown``.
    """
    manifest_id = f"urn:c2pa:{uuid.uuid4()}"
    listed = {"actions": _actions(claim), "allActionsIncluded": True}
    assertions = [_created("c2pa.actions.v2", listed)]
    assertions += _training(claim.training)
    if claim.model is not None:
        assertions.append(_created(MODEL_LABEL, model_facts(claim.model)))
    private: dict[str, Any] = dict(claim.parameters)
    if claim.prompt is not None:
        private["prompt"] = claim.prompt
    if claim.seed is not None:
        private["seed"] = claim.seed
    if private:
        assertions.append(_created(PROMPT_LABEL, private))
    stand_ins = ByteStrings(claim.soft_bindings, manifest_id)
    for binding, text in zip(claim.soft_bindings, stand_ins.stand_ins, strict=True):
        assertions.append(to_assertion(binding, text))
    assertions += [dict(each) for each in claim.assertions]
    manifest = {
        "label": manifest_id,
        "title": claim.title,
        "claim_generator_info": [{"name": "countermark", "version": VERSION, "specVersion": SPEC_VERSION}],
        "assertions": assertions,
    }
    return manifest, stand_ins


def disclosed(
    disclosure: bool | Mapping[str, Any], model: str | Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """The AI disclosure (C2PA 2.4) that was asked for: its fields as given, or the model's name."""
    if not disclosure:
        return []
    if isinstance(disclosure, Mapping):
        return [_created(DISCLOSURE_LABEL, disclosure)]
    facts: dict[str, Any] = {"modelType": "c2pa.types.model"}
    if model is not None:
        facts["modelName"] = str(model_facts(model).get("name", ""))
    return [_created(DISCLOSURE_LABEL, facts)]


def model_facts(model: str | Mapping[str, Any]) -> dict[str, Any]:
    """A model as a mapping: ``"name/version"`` becomes ``{"name", "version"}``."""
    return _agent(model) if isinstance(model, str) else dict(model)


def _actions(claim: Claim) -> list[dict[str, Any]]:
    agent = _agent(claim.generator) if claim.generator else None
    if agent is None and claim.model is not None:
        agent = {key: value for key, value in model_facts(claim.model).items() if key in ("name", "version")}
    first: dict[str, Any]
    if claim.has_parent:
        first = {"action": "c2pa.opened", "parameters": {"ingredientIds": [PARENT_ID]}}
        actions = [first]
        if claim.digital_source_type or agent or claim.inputs:
            kind = source_types.expand(claim.digital_source_type or DEFAULT_EDIT_TYPE)
            edited: dict[str, Any] = {"action": "c2pa.edited", "digitalSourceType": kind}
            if agent:
                edited["softwareAgent"] = agent
            actions.append(edited)
    else:
        kind = source_types.expand(claim.digital_source_type or DEFAULT_SOURCE_TYPE)
        first = {"action": "c2pa.created", "digitalSourceType": kind}
        if agent:
            first["softwareAgent"] = agent
        actions = [first]
    if claim.when is not None:
        actions[-1]["when"] = _time(claim.when)
    if claim.inputs:
        # Only components are placed; what a model was given belongs to the action that it took.
        actions[-1]["parameters"] = {"ingredientIds": [INPUT_ID.format(i) for i in range(claim.inputs)]}
    for index in range(claim.components):
        parameters = {"ingredientIds": [COMPONENT_ID.format(index)]}
        actions.append({"action": "c2pa.placed", "parameters": parameters})
    actions += [_further_action(each) for each in claim.actions]
    if any(binding.kind == "watermark" for binding in claim.soft_bindings):
        actions.append({"action": "c2pa.watermarked.bound"})
    return actions


def _further_action(action: str | Mapping[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {"action": action} if isinstance(action, str) else dict(action)
    name = entry.get("action")
    if not isinstance(name, str) or "." not in name:
        raise ProvenanceError(
            f"{name!r} is not the name of an action.",
            code="action.malformed",
            hint="Use a C2PA action such as c2pa.edited, or a name with your own domain in front.",
        )
    if name in ("c2pa.created", "c2pa.opened"):
        raise ProvenanceError(
            f"{name} must be the first action and is written by itself.",
            code="action.malformed",
            hint="Leave it out; pass parents for an image that was opened.",
        )
    if "digitalSourceType" in entry:
        entry["digitalSourceType"] = source_types.expand(str(entry["digitalSourceType"]))
    return entry


@functools.lru_cache(maxsize=8)
def _training(use: str | None) -> tuple[dict[str, Any], ...]:
    """The same for every image, so made once; nobody changes them."""
    if use is None:
        return ()
    if use not in USES:
        raise ProvenanceError(
            f"{use!r} is not a use for training.", code="training.unknown", hint=f"Use {', '.join(USES)}."
        )
    entries = {f"cawg.{each}": {"use": use} for each in _PURPOSES}
    return (_created("cawg.training-mining", {"entries": entries}),)  # C2PA's own was given up in 2.1


def _time(text: str) -> str:
    """A time as credentials write it, in UTC."""
    if text == "now":
        moment = datetime.datetime.now(datetime.UTC)
    else:
        try:
            moment = datetime.datetime.fromisoformat(text)
            if moment.tzinfo is None:
                raise ValueError("no offset")
            moment = moment.astimezone(datetime.UTC)
        except (ValueError, OverflowError) as error:
            raise ProvenanceError(
                f"{text!r} is not a time.",
                code="when.unknown",
                hint="Write it as 2026-11-28T12:00:00+01:00, or now.",
            ) from error
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _agent(text: str) -> dict[str, Any]:
    name, _, version = text.rpartition("/") if "/" in text else (text, "", "")
    return {"name": name, "version": version} if version else {"name": name or text}


def _created(label: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {"label": label, "data": dict(data), "created": True}
