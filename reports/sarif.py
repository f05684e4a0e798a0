"""SARIF 2.1.0: stable rule ids, relative paths, fingerprints from content, errors never silent.

Files that could not be read and checks that could not be evaluated become tool notifications and
set ``executionSuccessful`` to false; they are no results that a reader could overlook. At most
5,000 results are written, worst first, as code-scanning services show no more.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote

from countermark.reports.canonical import Document, dumps
from countermark.reports.documents import kind_of, partial_sentence
from countermark.reports.formats import Options
from countermark.reports.text import figure, visible

SCHEMA = "https://json.schemastore.org/sarif-2.1.0-rtm.5.json"
HOME = "https://github.com/countermark/countermark"
MAX_RESULTS = 5000
_LEVELS = ("error", "warning", "note", "none")
_RANKS = {"high": 90.0, "medium": 60.0, "low": 30.0, None: -1.0}

SCAN_RULES = {
    "declared-synthetic": "A credential, a mark or standard metadata says that the image is synthetic.",
    "likely-synthetic": "The detector's score is above the threshold for the chosen false-positive rate.",
    "unsure": "The detector cannot decide, or its verdict does not hold under small changes.",
}
VERIFY_RULES = {
    "invalid": "The credential and the file do not agree.",
    "intact": "The credential is intact; its signer is not on the trust list.",
    "absent": "The file carries no credential.",
    "recovered": "The credential was stripped and found again by the watermark.",
}


def render(document: Document, options: Options) -> str:
    """The document as one SARIF run."""
    kind = kind_of(document)
    rules, results, notes = {"scan": _scan, "verify": _verify, "audit": _audit}[kind](document)
    results.sort(key=lambda r: _LEVELS.index(r["level"]))
    hidden = len(results) - MAX_RESULTS
    if hidden > 0:
        notes.append(_note("report.cut", f"{hidden} further results stand in the JSON report only.", "note"))
    for result in results[:MAX_RESULTS]:
        result["ruleIndex"] = list(rules).index(result["ruleId"])
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "countermark",
                "informationUri": HOME,
                "version": document["tool"]["version"],
                "rules": list(rules.values()),
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": not any(n["level"] == "error" for n in notes),
                "toolExecutionNotifications": notes,
            }
        ],
        "results": results[:MAX_RESULTS],
    }
    if kind == "audit":
        run["invocations"][0]["exitCode"] = document["exit_code"]
    return dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


Parts = tuple[dict[str, dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]


def _scan(document: Document) -> Parts:
    rules = {name: _rule(name, text, "warning") for name, text in SCAN_RULES.items()}
    results, notes = [], []
    if partial := partial_sentence(document):
        notes.append(_note("scan.partial", partial, "error"))
    for row in document["results"]:
        if row["error"]:
            level = "note" if row["finding"]["severity"] == "none" else "error"
            notes.append(_failure({"path": row["path"], **row["error"]}, level))
        elif row["verdict"] in rules:
            finding = row["finding"]
            sentences = " ".join(visible(e["sentence"]) for e in row["evidence"])
            text = f"{row['verdict']}: {sentences or SCAN_RULES[row['verdict']]}"
            result = _result(row["verdict"], finding["severity"], text, row["path"], row["sha256"])
            result["rank"] = _RANKS[finding["confidence"]]
            result["properties"] = {"score": row["score"], "confidence": finding["confidence"]}
            if finding["suppressed"]:
                reason = visible(finding["suppressed"].get("reason", ""))
                result["suppressions"] = [{"kind": "external", "justification": reason}]
                result["level"] = "none"
            results.append(result)
    return rules, results, notes


def _verify(document: Document) -> Parts:
    rules = {name: _rule(name, text, "warning") for name, text in VERIFY_RULES.items()}
    levels = {"invalid": "error", "recovered": "warning", "intact": "note", "absent": "note"}
    results = []
    for row in document["results"]:
        if row["state"] in rules:
            problems = " ".join(f"{p['code']}: {p['sentence']}" for p in row["problems"])
            text = f"{row['summary'] or VERIFY_RULES[row['state']]} {problems}".strip()
            results.append(_result(row["state"], levels[row["state"]], text, row["path"], row["sha256"]))
    return rules, results, [_failure(each, "error") for each in document.get("errors", ())]


def _audit(document: Document) -> Parts:
    rules: dict[str, dict[str, Any]] = {}
    results, notes = [], []
    subject = visible(document["subject"].get("name", "subject"))
    for check in document["checks"]:
        rule = check["id"].split("[")[0]
        rules.setdefault(rule, _rule(rule, check["title"], "error"))
        interval, unit = check["interval"], check["unit"]
        measured = f"measured {figure(interval['value'], unit)}; " if interval else ""
        text = f"{check['id']}: {measured}{check['sentence']}"
        if check["outcome"] == "error":
            notes.append(_note(rule, text, "error"))
        elif check["outcome"] in ("fail", "inconclusive", "waived"):
            level = check["severity"] if check["outcome"] == "fail" else "note"
            result = _result(rule, level, text, subject, None)
            result["partialFingerprints"] = {
                "countermarkCheck/v1": visible(f"{document['policy']}/{check['id']}")
            }
            if check["outcome"] == "waived":
                reason = check["detail"].get("waiver", {}).get("reason", "")
                result["suppressions"] = [{"kind": "external", "justification": visible(reason)}]
                result["level"] = "none"
            results.append(result)
    return rules, results, notes


def _rule(name: str, text: str, level: str) -> dict[str, Any]:
    return {
        "id": visible(name),
        "name": "".join(word.capitalize() for word in visible(name).replace(".", "-").split("-")),
        "shortDescription": {"text": visible(text)},
        "helpUri": f"{HOME}#readme",
        "defaultConfiguration": {"level": level},
    }


def _result(rule: str, level: str, text: str, path: str, sha256: str | None) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": rule,
        "level": level,
        "message": {"text": visible(text)},
        "locations": [_location(path)],
    }
    if sha256:
        result["partialFingerprints"] = {"contentSha256/v1": sha256}
    return result


def _failure(error: dict[str, Any], level: str) -> dict[str, Any]:
    """The notification of a file that could not be read."""
    text = f"{error['message']} {error['hint']}".strip()
    return _note(error["code"], text, level, error["path"])


def _note(code: str, text: str, level: str, path: str | None = None) -> dict[str, Any]:
    note: dict[str, Any] = {
        "descriptor": {"id": visible(code)},
        "level": level,
        "message": {"text": visible(text)},
    }
    if path is not None:
        note["locations"] = [_location(path)]
    return note


def _location(path: str) -> dict[str, Any]:
    """Where a file lies, percent-encoded: relative to the root, or, outside of it, as an absolute address."""
    root, here = _roots()
    whole = os.path.normpath(os.path.join(here, path.replace("\\", "/")))
    inside = os.path.relpath(whole, root)
    if inside.split("/", 1)[0] == "..":
        place: dict[str, Any] = {"uri": "file://" + _encoded(whole)}
    else:
        place = {"uri": _encoded(inside) if inside != "." else "unknown", "uriBaseId": "%SRCROOT%"}
    return {"physicalLocation": {"artifactLocation": place, "region": {"startLine": 1}}}


def _roots() -> tuple[str, str]:
    """The repository's root, or else the working folder, which paths are relative to; and that folder."""
    here = os.getcwd()
    above = [here]
    while os.path.dirname(above[-1]) != above[-1]:
        above.append(os.path.dirname(above[-1]))
    return next((each for each in above if os.path.exists(os.path.join(each, ".git"))), here), here


def _encoded(path: str) -> str:
    """A path as part of an address; bytes that are no text survive."""
    return "/".join(quote(part.encode("utf-8", "surrogateescape"), safe="-_.~") for part in path.split("/"))
