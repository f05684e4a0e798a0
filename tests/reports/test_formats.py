"""The registry and every format: published schemas, hostile text, size limits, same bytes twice."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as tree

import jsonschema
import pytest
import xmlschema
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from countermark.core.errors import ConfigError, OutputError, UnknownNameError
from countermark.core.results import ScanResult, Verdict
from countermark.reports.canonical import Document
from countermark.reports.documents import load_schema, scan_document, with_baseline
from countermark.reports.formats import FORMATS, parse_output, render, write_report
from countermark.reports.text import code_span, figure, markdown_text, visible

SCHEMAS = Path(__file__).parent / "schemas"
KINDS = ("scan", "verify", "audit")


@pytest.fixture(scope="module")
def sarif_schema() -> jsonschema.Draft4Validator:
    schema = json.loads((SCHEMAS / "sarif-2.1.0-rtm.5.json").read_text())
    return jsonschema.Draft4Validator(schema)


@pytest.fixture(scope="module")
def junit_schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(str(SCHEMAS / "junit-10.xsd"))


@pytest.mark.parametrize("kind", KINDS)
def test_sarif_follows_the_published_schema(
    kind: str, documents, sarif_schema: jsonschema.Draft4Validator
) -> None:
    log = json.loads(render(documents[kind], "sarif"))
    sarif_schema.validate(log)
    run = log["runs"][0]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        location = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert location.isascii() and not location.startswith("/") and "<" not in location
    log["runs"][0]["results"].append({"level": "loud"})
    with pytest.raises(jsonschema.ValidationError):
        sarif_schema.validate(log)


def test_sarif_never_silences_an_error(documents) -> None:
    run = json.loads(render(documents["scan"], "sarif"))["runs"][0]
    assert run["invocations"][0]["executionSuccessful"] is False
    notes = run["invocations"][0]["toolExecutionNotifications"]
    assert [n["descriptor"]["id"] for n in notes] == ["image.truncated"]
    levels = {r["ruleId"]: r["level"] for r in run["results"]}
    assert levels == {"declared-synthetic": "error", "likely-synthetic": "error", "unsure": "note"}
    assert run["results"][0]["partialFingerprints"] == {"contentSha256/v1": "01" * 32}
    audit = json.loads(render(documents["audit"], "sarif"))["runs"][0]
    assert (
        audit["invocations"][0]["executionSuccessful"] is False and audit["invocations"][0]["exitCode"] == 1
    )


def test_sarif_suppressions_and_limit(scan_results: list[ScanResult]) -> None:
    document = scan_document(scan_results, settings={}, suppressed={"likely.png": {"reason": "ours"}})
    run = json.loads(render(document, "sarif"))["runs"][0]
    suppressed = [r for r in run["results"] if "suppressions" in r]
    assert [r["ruleId"] for r in suppressed] == ["likely-synthetic"] and suppressed[0]["level"] == "none"
    row = next(r for r in document["results"] if r["path"] == "unsure.jpg")
    run = json.loads(render({**document, "results": [row] * 5010}, "sarif"))["runs"][0]
    assert len(run["results"]) == 5000
    assert "10 further results" in run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]


@pytest.mark.parametrize("kind", KINDS)
def test_junit_follows_the_published_schema(kind: str, documents, junit_schema: xmlschema.XMLSchema) -> None:
    text = render(documents[kind], "junit")
    junit_schema.validate(text)
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        junit_schema.validate(
            text.replace("<testcase", "<surprise", 1).replace("</testcase>", "</surprise>", 1)
        )


def test_junit_keeps_errors_failures_and_skips_apart(documents) -> None:
    suite = tree.fromstring(render(documents["audit"], "junit")).find("testsuite")
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "6", "failures": "1", "errors": "1", "skipped": "3",
    }  # fmt: skip
    suite = tree.fromstring(render(documents["scan"], "junit")).find("testsuite")
    assert (suite.get("failures"), suite.get("errors")) == ("2", "1")


@settings(deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_any_name_gives_valid_xml_and_json(name: str, sentence: str) -> None:
    from countermark.core.results import Failure

    result = ScanResult(name, None, None, None, error=Failure("image.unreadable", sentence))
    document = scan_document([result], settings={})
    assert tree.fromstring(render(document, "junit")).find("testsuite").get("errors") == "1"
    assert json.loads(render(document, "sarif"))["runs"][0]["results"] == []
    json.loads(render(document, "json"))
    render(document, "html").encode("utf-8")
    render(document, "markdown").encode("utf-8")
    render(document, "console")


@pytest.mark.parametrize("kind", [*KINDS, "evaluation"])
def test_markdown_holds_no_mark_up_of_others(kind: str, documents) -> None:
    text = render(documents[kind], "markdown")
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    inner = [child.type for token in tokens for child in token.children or []]
    assert inner.count("code_inline") + inner.count("text") > 3
    assert not {"html_inline", "link_open", "image", "autolink"} & set(inner)
    assert "html_block" not in {token.type for token in tokens}
    assert "\x1b" not in text and "\u202e" not in text and "@x" not in text


@settings(deadline=None)
@given(st.text(alphabet="`|\\<>[]()!*_&@#ab/: \n~", max_size=40))
def test_any_text_stays_text_in_markdown(value: str) -> None:
    for cell in (code_span(value), markdown_text(value)):
        tokens = MarkdownIt("commonmark").enable("table").parse(f"| a | b |\n|---|---|\n| {cell} | end |\n")
        types = [token.type for token in tokens]
        assert types.count("td_open") == 2 and types.count("tr_open") == 2
        inner = {child.type for token in tokens for child in token.children or []}
        assert inner <= {"text", "code_inline", "text_special"}, cell


def test_markdown_limits(documents) -> None:
    row = documents["scan"]["results"][-1]
    many = {**documents["scan"], "results": [row] * 30_000}
    assert len(render(many, "markdown").encode()) <= 1024 * 1024
    comment = render(many, "markdown", comment=True)
    assert len(comment.encode()) <= 64 * 1024 and "further lines" in comment


def test_markdown_shows_the_difference_to_a_baseline(documents) -> None:
    audit = documents["audit"]
    before = json.loads(json.dumps(audit))
    before["checks"][0]["interval"]["value"] = 0.97
    compared = with_baseline(audit, before)
    jsonschema.validate(json.loads(render(compared, "json")), load_schema("audit"))
    text = render(compared, "markdown")
    assert "0.970 (-0.02, worse)" in text and "5.0 % (+0, =)" in text
    with pytest.raises(ConfigError, match="audits"):
        with_baseline(audit, documents["scan"])


@pytest.mark.parametrize(("kind", "message", "colour"), [
    ("audit", "failed", "red"), ("scan", "2 of 6 with signs", "orange"), ("verify", "1 of 3 intact", "red"),
])  # fmt: skip
def test_badges(kind: str, message: str, colour: str, documents) -> None:
    badge = json.loads(render(documents[kind], "badge"))
    assert (badge["schemaVersion"], badge["message"], badge["color"]) == (1, message, colour)


def test_every_format_twice_gives_the_same_bytes(documents) -> None:
    for name in FORMATS:
        for kind in FORMATS.get(name).kinds:
            assert render(documents[kind], name) == render(documents[kind], name)


@pytest.mark.parametrize(
    ("spec", "format", "path"),
    [
        ("html=a.txt", "html", "a.txt"),
        ("x/report.sarif", "sarif", "x/report.sarif"),
        ("r.MD", "markdown", "r.MD"),
        ("json=a=b.json", "json", "a=b.json"),
    ],
)
def test_outputs_are_parsed(spec: str, format: str, path: str) -> None:
    assert parse_output(spec) == (format, Path(path))


@pytest.mark.parametrize("spec", ["html=", "report", "report.docx", "", "a=b.json"])
def test_unclear_outputs_are_refused(spec: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError)):
        parse_output(spec)


def test_reports_are_not_overwritten_unless_told(tmp_path: Path, documents) -> None:
    path = write_report(documents["scan"], f"json={tmp_path / 'a.json'}")
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        write_report(documents["verify"], f"json={path}")
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.json"]
    write_report(documents["verify"], f"json={path}", overwrite=True)
    assert path.read_bytes() != before


def test_wrong_format_or_kind(documents: dict[str, Document]) -> None:
    with pytest.raises(UnknownNameError, match="sarif"):
        render(documents["scan"], "sariff")
    with pytest.raises(ConfigError, match="no sarif form of a evaluation"):
        render(documents["evaluation"], "sarif")


def test_text_helpers() -> None:
    assert visible("a\u202eb\x00\udc80") == "a\\u202eb\\x00\\udc80"
    assert code_span("a|b`c") == "`` a\\|b`c ``"
    assert markdown_text("<b>*@x") == "&lt;b\\>\\*&#64;x"
    assert figure(0.1234, "share") == "12.3 %" and figure(None) == "–" and figure(12.3456, "ms") == "12.35 ms"


@pytest.mark.parametrize(
    ("path", "uri", "base"),
    [
        ("a b.png", "sub/a%20b.png", True),
        ("./x/../b.png", "sub/b.png", True),
        ("../c.png", "c.png", True),
        ("{root}/d/e.png", "d/e.png", True),
        ("{root}/sub/caf\u00e9.png", "sub/caf%C3%A9.png", True),
        ("{outside}/f.png", "file://{outside}/f.png", False),
        ("../../g.png", "file://{outside}/g.png", False),
        ("back\\slash.png", "sub/back/slash.png", True),
        ("\udcff.png", "sub/%FF.png", True),
    ],
)
def test_sarif_places_are_relative_to_the_root(
    path: str, uri: str, base: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "project"
    (root / "sub").mkdir(parents=True)
    (root / ".git").mkdir()
    monkeypatch.chdir(root / "sub")
    names = {"{root}": str(root), "{outside}": str(tmp_path)}
    for key, value in names.items():
        path, uri = path.replace(key, value), uri.replace(key, value)
    result = ScanResult(path, "00" * 32, Verdict.UNSURE, 0.5)
    run = json.loads(render(scan_document([result], settings={}), "sarif"))["runs"][0]
    place = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place == {"uri": uri} | ({"uriBaseId": "%SRCROOT%"} if base else {})
