"""What a wheel consists of and needs, as a CycloneDX bill of materials, checked by its schema.

    python tools/sbom.py dist/countermark-*.whl --out dist/countermark.cdx.json

The wheel with its digest; every file of weights in it as a model with digest and licence; every package
that it needs without extras, as it is installed here, with version, licence and what needs what. The same
wheel and packages give the same bytes. Needs ``cyclonedx-python-lib[json-validation]`` and ``packaging``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from cyclonedx.contrib.license.exceptions import InvalidLicenseExpressionException
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from countermark.core.errors import ConfigError

LICENCES = LicenseFactory()


def bill(wheel: Path) -> str:
    """The bill of materials of a wheel as JSON text (CycloneDX 1.6).

    Raises:
        ConfigError: ``sbom.missing``: a package that the wheel needs is not installed here;
            ``sbom.wheel``: the file is no wheel.
    """
    data = wheel.read_bytes()
    with ZipFile(wheel) as archive:
        about = _about(archive, wheel)
        built = datetime(*max(entry.date_time for entry in archive.infolist()), tzinfo=UTC)
        models = [
            Component(
                name=name.rsplit("/", 1)[-1],
                type=ComponentType.MACHINE_LEARNING_MODEL,
                bom_ref=f"weights:{name}",
                hashes=[_sha256(archive.read(name))],
                licenses=[LICENCES.make_with_name(licence)] if licence else [],
            )
            for name, licence in _weights(archive)
        ]
    root = Component(
        name=about["Name"],
        version=about["Version"],
        type=ComponentType.APPLICATION,
        bom_ref="wheel",
        purl=PackageURL("pypi", name=canonicalize_name(about["Name"]), version=about["Version"]),
        hashes=[_sha256(data)],
        licenses=_licences(about),
        components=models,
    )
    made = Bom(serial_number=uuid.UUID(bytes=hashlib.sha256(data).digest()[:16], version=4))
    made.metadata.component = root
    made.metadata.timestamp = built  # the same wheel, the same bill
    known: dict[str, Component] = {}
    needs = [(root, each) for each in _needed(about.get_all("Requires-Dist") or [], frozenset())]
    edges: dict[str, list[Component]] = {}
    while needs:
        by, (name, extras) = needs.pop()
        found = _installed(name, str(by.name))
        key = f"{name}[{','.join(sorted(extras))}]"
        component = known.get(name)
        if component is None:
            component = known[name] = _package(found)
            made.components.add(component)
        edges.setdefault(str(by.bom_ref.value), []).append(component)
        if key not in known:  # its own needs, once for these extras
            known[key] = component
            needs += [(component, each) for each in _needed(found.requires or [], extras)]
    for component in (root, *made.components):
        made.register_dependency(component, edges.get(str(component.bom_ref.value), []))
    return JsonV1Dot6(made).output_as_string(indent=2) + "\n"


def faults(text: str) -> str:
    """What the schema has against a bill; empty if nothing."""
    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return "" if found is None else str(found)


def _about(archive: ZipFile, wheel: Path) -> Message:
    names = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    if len(names) != 1:
        raise ConfigError(
            f"{wheel} is no wheel.", code="sbom.wheel", hint="python -m hatchling build makes one."
        )
    return message_from_bytes(archive.read(names[0]))


def _weights(archive: ZipFile) -> Iterator[tuple[str, str]]:
    """Names of the weights, and the licences that their cards state; a card may be of several parts."""
    cards = {
        name.removesuffix(".card.json"): str(json.loads(archive.read(name)).get("licence", ""))
        for name in archive.namelist()
        if name.endswith(".card.json")
    }
    for name in sorted(archive.namelist()):
        if name.endswith(".safetensors"):
            stem = name.removesuffix(".safetensors")
            of = max((card for card in cards if stem.startswith(card)), key=len, default="")
            yield name, cards.get(of, "")


def _needed(lines: list[str], extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    """Names and extras of what requirement lines ask for on this system."""
    found: list[tuple[str, frozenset[str]]] = []
    for line in lines:
        asked = Requirement(line)
        if asked.marker is None or any(asked.marker.evaluate({"extra": e}) for e in (extras or {""})):
            found.append((canonicalize_name(asked.name), frozenset(asked.extras)))
    return found


def _installed(name: str, by: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError as error:
        raise ConfigError(
            f"{name}, which {by} needs, is not installed here.",
            code="sbom.missing",
            hint="Install the wheel first: its bill names what it runs with.",
        ) from error


def _package(found: Distribution) -> Component:
    name = canonicalize_name(found.metadata["Name"])
    return Component(
        name=found.metadata["Name"],
        version=found.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"package:{name}",
        purl=PackageURL("pypi", name=name, version=found.version),
        licenses=_licences(found.metadata),
    )


def _licences(about: Any) -> list[License]:
    """An expression where there is one, else what the trove classifiers or the field of old say, if short."""
    expression = about.get("License-Expression")
    if expression:
        try:
            return [LICENCES.make_with_expression(expression)]
        except InvalidLicenseExpressionException:  # a name of its maker's own
            return [LICENCES.make_with_name(expression)]
    names = [
        line.rsplit(" :: ", 1)[1]
        for line in about.get_all("Classifier") or []
        if line.startswith("License :: ") and not line.endswith("OSI Approved")
    ]
    said = about.get("License") or ""
    if not names and said and len(said) < 100:
        names = [said]
    return [LICENCES.make_with_name(name) for name in dict.fromkeys(names)]


def _sha256(data: bytes) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(data).hexdigest())


def main() -> int:
    """Writes the bill beside the wheel; 1 if its schema refuses it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    text = bill(given.wheel)
    wrong = faults(text)
    if wrong:
        print(f"The bill of materials is not valid: {wrong}", file=sys.stderr)
        return 1
    out = given.out or given.wheel.with_suffix(".cdx.json")
    out.write_text(text, "utf-8")
    found = json.loads(text)
    models = len(found["metadata"]["component"].get("components", []))
    print(f"{out}: {len(found['components'])} packages, {models} files of weights.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
