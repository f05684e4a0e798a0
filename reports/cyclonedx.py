"""CycloneDX 1.7: an audit as a bill of materials, with what was measured as performance metrics.

A detector or generator is a ``machine-learning-model`` whose model card holds, for every check, value,
slice and confidence interval. A pipeline is an ``application`` with the same facts as properties, because
the standard gives model cards to models only. Numbers are texts, as the standard wants them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from countermark.reports.canonical import Document, dumps
from countermark.reports.claims import DISCLAIMER
from countermark.reports.formats import Options
from countermark.reports.text import visible

_SCHEMA = "http://cyclonedx.org/schema/bom-1.7.schema.json"
_REF = "subject"
_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # for addresses (RFC 9562)


def render(document: Document, options: Options) -> str:
    """The document of an audit as a CycloneDX 1.7 bill of materials in JSON."""
    tool = document["tool"]
    bom: dict[str, Any] = {
        "$schema": _SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, dumps(document))}",
        "version": 1,
        "metadata": {
            "tools": {
                "components": [{"type": "application", "name": tool["name"], "version": tool["version"]}]
            },
            "component": {"type": "application", "name": visible(document["policy"]), "bom-ref": "policy"},
        },
        "components": [_component(document)],
    }
    if document.get("time"):
        bom["metadata"]["timestamp"] = document["time"]
    return dumps(bom)


def _component(document: Document) -> dict[str, Any]:
    subject = document["subject"]
    model = subject.get("kind") != "pipeline"
    component: dict[str, Any] = {
        "type": "machine-learning-model" if model else "application",
        "bom-ref": _REF,
        "name": visible(subject.get("name", "subject")),
        "properties": [*_facts(document)],
    }
    if subject.get("version"):
        component["version"] = visible(subject["version"])
    if subject.get("sha256"):
        component["hashes"] = [{"alg": "SHA-256", "content": subject["sha256"]}]
    if subject.get("licence"):
        component["licenses"] = [{"license": {"name": visible(subject["licence"])}}]
    if model:
        component["modelCard"] = {
            "quantitativeAnalysis": {"performanceMetrics": [*metrics(document)]},
            "considerations": {"technicalLimitations": [DISCLAIMER]},
        }
    else:
        component["properties"] += [
            {"name": f"countermark:measured:{each['type']}", "value": _in_words(each)}
            for each in metrics(document)
        ]
    return component


def metrics(document: Document) -> Iterator[dict[str, Any]]:
    """Every figure of an audit as a performance metric; one for each slice where there are slices."""
    for check in document["checks"]:
        slices = [each for each in check["detail"].get("slices") or () if isinstance(each, Mapping)]
        rows = [(str(each["slice"]), each["interval"]) for each in slices] or [("", check["interval"])]
        for name, interval in rows:
            if not interval or interval.get("value") is None:
                continue
            metric: dict[str, Any] = {
                "type": visible(check["id"]) + (f" ({visible(check['unit'])})" if check["unit"] else ""),
                "value": _number(interval["value"]),
            }
            if name:
                metric["slice"] = visible(name)
            low, high = interval.get("low"), interval.get("high")
            if low is not None and high is not None:
                metric["confidenceInterval"] = {"lowerBound": _number(low), "upperBound": _number(high)}
            yield metric


def _facts(document: Document) -> Iterator[dict[str, str]]:
    """What a performance metric has no place for: outcomes, thresholds, sizes, and what was looked at."""
    yield {"name": "countermark:outcome", "value": str(document["outcome"])}
    for check in document["checks"]:
        key = f"countermark:check:{visible(check['id'])}"
        yield {"name": key, "value": str(check["outcome"])}
        if check["threshold"] is not None:
            words = f"{check['direction']} {_number(check['threshold'])}"
            yield {"name": f"{key}:threshold", "value": words}
        if check["interval"]:
            yield {"name": f"{key}:n", "value": str(check["interval"]["n"])}
            yield {"name": f"{key}:confidence", "value": _number(check["interval"]["confidence"])}
    for evidence in document["detail"].get("evidence") or ():
        yield {"name": f"countermark:evidence:{visible(evidence['name'])}", "value": str(evidence["sha256"])}


def _in_words(metric: Mapping[str, Any]) -> str:
    between = metric.get("confidenceInterval")
    words = f"{metric['slice']}: {metric['value']}" if "slice" in metric else metric["value"]
    return words + (f" [{between['lowerBound']}, {between['upperBound']}]" if between else "")


def _number(value: float) -> str:
    return f"{value:.9g}"
