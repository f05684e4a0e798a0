"""Documents: schema names, stable bytes, severity and confidence, JSON Schemas."""

from __future__ import annotations

import json
import random

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark.core.errors import ConfigError
from countermark.core.results import ScanResult, Strength, Verdict
from countermark.reports.canonical import Document, dumps, plain
from countermark.reports.documents import SCHEMAS, evaluation_document, kind_of, load_schema, scan_document


@pytest.mark.parametrize("kind", SCHEMAS)
def test_documents_follow_their_schemas(kind: str, documents: dict[str, Document]) -> None:
    schema = load_schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    document = json.loads(dumps(documents[kind]))
    jsonschema.validate(document, schema)
    broken = {**document, "tool": 3}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "surprise": 1}, schema)


def test_order_of_results_does_not_change_bytes(scan_results: list[ScanResult]) -> None:
    results = scan_results
    shuffled = random.Random(3).sample(results, len(results))
    first = dumps(scan_document(results, settings={"max_fpr": 0.01}))
    assert first == dumps(scan_document(shuffled, settings={"max_fpr": 0.01}))
    assert "time" not in json.loads(first)


def test_time_only_when_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert scan_document([], settings={})["time"] == "1970-01-02T00:00:00Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "nonsense")
    assert "time" not in scan_document([], settings={})
    assert scan_document([], settings={}, when="now")["time"] == "now"


def test_severity_confidence_and_suppression(scan_results: list[ScanResult]) -> None:
    results = {r.path: r for r in scan_results}
    sha = results["unsure.jpg"].sha256 or ""
    document = scan_document(
        list(results.values()),
        settings={"fail_on": "unsure"},
        failing={"declared.png", "likely.png", "unsure.jpg"},
        suppressed={sha: {"reason": "known"}, "likely.png": {"reason": "also known"}},
    )
    findings = {r["path"]: r["finding"] for r in document["results"]}
    assert findings["declared.png"]["severity"] == "error"
    assert findings["declared.png"]["confidence"] == "high"
    assert findings["unsure.jpg"] == {
        "severity": "none",
        "confidence": "low",
        "suppressed": {"reason": "known"},
    }
    assert findings["likely.png"]["suppressed"] == {"reason": "also known"}
    assert findings["plain.jpg"] == {"severity": "none", "confidence": None, "suppressed": None}
    assert document["counts"]["failing"] == 1 and document["counts"]["suppressed"] == 2


def test_what_fails_is_not_decided_here(scan_results: list[ScanResult]) -> None:
    """Only what the caller names fails, whatever the settings say; a file without a finding never does."""
    document = scan_document(
        scan_results, settings={"fail_on": "unsure"}, failing=["plain.jpg", "likely.png"]
    )
    assert document["counts"]["failing"] == 1
    assert scan_document(scan_results, settings={"fail_on": "unsure"})["counts"]["failing"] == 0


def test_hostile_names_survive_json(documents: dict[str, Document], hostile: str) -> None:
    text = dumps(documents["scan"])
    assert text.isascii()
    assert hostile in [row["path"] for row in json.loads(text)["results"]]


def test_numbers_become_plain() -> None:
    value = plain(
        {"a": np.float32(0.5), "b": np.arange(2), "c": float("inf"), "d": Verdict.UNSURE, 5: (b"\xff",)}
    )
    assert value == {"a": 0.5, "b": [0, 1], "c": None, "d": "unsure", "5": ["ff"]}
    assert plain({Strength.WEAK, Strength.CERTAIN}) == ["certain", "weak"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(json_values)
def test_canonical_json_is_a_fixed_point(value: object) -> None:
    once = dumps(value)
    assert dumps(json.loads(once)) == once


def test_kind_of_refuses_other_documents() -> None:
    assert kind_of(evaluation_document("t", [])) == "evaluation"
    for wrong in ({}, {"schema": "countermark.scan/2"}, {"schema": "other/1"}):
        with pytest.raises(ConfigError, match=r"countermark\.scan/1"):
            kind_of(wrong)
