"""What files disclose: who made them, with what and when, in the credential; labels in metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from countermark.app.audit.checks.base import Check, Context, Measured
from countermark.app.audit.checks.pipeline import SIGNED, census, verifications
from countermark.app.audit.checks.towards import IDENTIFIED, LABELLED
from countermark.app.audit.schema import CheckEntry
from countermark.core.errors import CountermarkError
from countermark.core.images import read_bytes, sniff_format
from countermark.core.results import Verification
from countermark.provenance.credentials.claims import MODEL_LABEL, model_facts

Fact = Literal["provider", "system", "version", "time", "identifier"]


class Named(CheckEntry):
    """Options.

    Attributes:
        require: Facts that every credential must hold.
        provider: The name that the provider must have; empty for any.
    """

    require: tuple[Fact, ...] = ("provider", "system", "version", "time", "identifier")
    provider: str = ""


class Identified(Check[Named]):
    id = "pipeline.identified"
    title = "Every credential names provider, system, version, time and identifier"
    kinds = ("pipeline", "generator", "detector")
    default_threshold = 1.0
    formula = (
        "share of files whose credential holds and gives all required facts: the organisation in the "
        "signer's certificate; name and version of the software of the action that made the picture, or of "
        "its model; "
        "the time of the time-stamp or of that action; the manifest's identifier, which no other file has"
    )
    source = "California Business and Professions Code 22757.3(b)(1)(A)-(D); India, IT rules, rule 3(3)"
    claims = IDENTIFIED

    def measure(self, entry: Named, context: Context) -> Measured:
        found = [
            (name, verified, facts(verified)) for name, verified in verifications(context, entry.evidence)
        ]
        times = Counter(known["identifier"] for _, _, known in found)
        rows = []
        for name, verified, known in found:
            missing = [f"no {fact}" for fact in entry.require if not known[fact]]
            if known["identifier"] and times[known["identifier"]] > 1 and "identifier" in entry.require:
                missing.append("its identifier is another file's, too")
            if entry.provider and known["provider"] != entry.provider:
                missing.append("another provider")
            if verified.state not in SIGNED:
                missing = [str(verified.state)]
            rows.append((name, not missing, ", ".join(missing)))
        return census(context, rows)


def facts(found: Verification) -> dict[Fact, str]:
    """What a credential says of who made the picture, with what and when; empty for what it does not say."""
    link = found.chain[0] if found.chain else None
    if link is None:
        return {"provider": "", "system": "", "version": "", "time": "", "identifier": ""}
    first = [each for each in link.actions if each.get("action") == "c2pa.created"]
    made = [*first, *(each for each in link.actions if each.get("digitalSourceType") and each not in first)]
    system, version = "", ""
    for each in (*(_agent(action.get("softwareAgent")) for action in made), _model(found.manifest or {})):
        if each[0] and (not system or (not version and each[1])):
            system, version = each
    when = next((str(action["when"]) for action in made if action.get("when")), "")
    return {
        "provider": link.issuer or "",
        "system": system,
        "version": version,
        "time": link.time or when,
        "identifier": link.label,
    }


def _agent(agent: object) -> tuple[str, str]:
    named = model_facts(agent) if isinstance(agent, str) else agent
    if not isinstance(named, Mapping):
        return "", ""
    return str(named.get("name") or ""), str(named.get("version") or "")


def _model(manifest: Mapping[str, Any]) -> tuple[str, str]:
    for assertion in manifest.get("assertions") or ():
        if isinstance(assertion, Mapping) and assertion.get("label") == MODEL_LABEL:
            return _agent(assertion.get("data"))
    return "", ""


class Wanted(CheckEntry):
    """Options.

    Attributes:
        labels: ``iptc``: a digital source type of generative AI; ``aigc``: the field of GB 45438-2025 with
            label, producer and number.
    """

    labels: tuple[Literal["iptc", "aigc"], ...] = ("iptc", "aigc")


class Labelled(Check[Wanted]):
    id = "pipeline.labelled"
    title = "Every file's metadata says that the picture is generated"
    kinds = ("pipeline", "generator", "detector")
    default_threshold = 1.0
    formula = "share of files whose XMP holds all the labels that are asked for"
    source = "IPTC Photo Metadata 2025.1, digital source type; GB 45438-2025, label in file metadata"
    claims = LABELLED

    def measure(self, entry: Wanted, context: Context) -> Measured:
        from countermark.provenance.metadata.labels import read_label
        from countermark.provenance.source_types import points_to

        rows = []
        for item in context.library.images(entry.evidence).items:
            try:
                data = read_bytes(item.path)
            except CountermarkError as error:
                rows.append((item.name, False, error.code))
                continue
            label = read_label(data, sniff_format(data) or "")
            there = {
                "iptc": bool(label.term) and points_to(label.term) == "synthetic",
                "aigc": label.aigc.get("Label") in ("1", "2", "3")
                and bool(label.aigc.get("ContentProducer") and label.aigc.get("ProduceID")),
            }
            missing = [f"no {each} label" for each in entry.labels if not there[each]]
            rows.append((item.name, not missing, ", ".join(missing)))
        return census(context, rows)
