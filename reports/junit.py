"""JUnit XML: one test case a file or a check; errors, failures and skips kept apart.

A finding is a failure only if it fails the build: for a scan by ``fail_on``, for an audit by the
check's severity. Inconclusive and waived checks are skipped test cases with their reason.
"""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from countermark.reports.canonical import Document
from countermark.reports.documents import kind_of, partial_sentence
from countermark.reports.formats import Options
from countermark.reports.text import figure, visible


def render(document: Document, options: Options) -> str:
    """The document as one ``testsuite``."""
    kind = kind_of(document)
    suites = Element("testsuites")
    name = f"countermark {kind}" + (f": {visible(document['policy'])}" if kind == "audit" else "")
    suite = SubElement(suites, "testsuite", name=name)
    rows = document["checks"] if kind == "audit" else document["results"]
    states = [_CASES[kind](suite, row, document) for row in rows]
    states += [_failure(suite, kind, each["path"], each, "error") for each in document.get("errors", ())]
    if partial := partial_sentence(document):
        states.append(_case(suite, kind, "the whole scan", "error", partial, "scan.partial"))
    suite.set("tests", str(len(states)))
    suite.set("failures", str(states.count("failure")))
    suite.set("errors", str(states.count("error")))
    suite.set("skipped", str(states.count("skipped")))
    if "time" in document:
        suite.set("timestamp", visible(document["time"]).removesuffix("Z"))
    indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(suites, encoding="unicode") + "\n"


def _case(suite: Element, kind: str, name: str, state: str, message: str, type_: str) -> str:
    case = SubElement(suite, "testcase", classname=f"countermark.{kind}", name=visible(name))
    if state:
        SubElement(case, state, message=visible(message), type=visible(type_))
    elif message:
        SubElement(case, "system-out").text = visible(message)
    return state


def _failure(suite: Element, kind: str, path: str, error: dict[str, Any], state: str) -> str:
    text = f"{error['message']} {error['hint']}".strip()
    return _case(suite, kind, path, state, text, error["code"])


def _scan(suite: Element, row: dict[str, Any], document: Document) -> str:
    if row["error"]:
        state = "skipped" if row["finding"]["severity"] == "none" else "error"
        return _failure(suite, "scan", row["path"], row["error"], state)
    finding, sentences = row["finding"], " ".join(e["sentence"] for e in row["evidence"])
    if finding["suppressed"]:
        reason = finding["suppressed"].get("reason", "")
        return _case(suite, "scan", row["path"], "skipped", f"suppressed: {reason}", row["verdict"])
    state = "failure" if finding["severity"] == "error" else ""
    return _case(suite, "scan", row["path"], state, f"{row['verdict']}. {sentences}", row["verdict"])


def _verify(suite: Element, row: dict[str, Any], document: Document) -> str:
    state = "failure" if row["state"] == "invalid" else ""
    problems = "; ".join(f"{p['code']}: {p['sentence']}" for p in row["problems"])
    return _case(
        suite, "verify", row["path"], state, f"{row['state']}. {row['summary']} {problems}", row["state"]
    )


def _audit(suite: Element, row: dict[str, Any], document: Document) -> str:
    states = {"fail": "failure", "error": "error", "inconclusive": "skipped", "skipped": "skipped"}
    state = states.get(row["outcome"], "skipped" if row["outcome"] == "waived" else "")
    if state == "failure" and row["severity"] == "warning":
        state = "skipped"
    interval, unit = row["interval"], row["unit"]
    measured = f"{figure(interval['value'], unit)}. " if interval else ""
    return _case(suite, "audit", row["id"], state, f"{measured}{row['sentence']}", row["outcome"])


_CASES = {"scan": _scan, "verify": _verify, "audit": _audit}
