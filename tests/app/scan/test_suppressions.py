"""Scan as a scanner: ignore file, baseline, lists, exit codes."""

from __future__ import annotations

import contextlib
import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark.app.scan.settings import failing, scan_exit_code
from countermark.app.scan.suppressions import (
    expired,
    parse_ignore,
    read_baseline,
    read_ignore,
    suppressions,
)
from countermark.core.errors import ConfigError
from countermark.core.results import Failure, ScanResult, Verdict
from countermark.reports import render, scan_document

IGNORE = '[[ignore]]\n{}\nreason = "Drawn by hand, see the wiki."\nexpires = 2030-06-30\n'
RESULTS = [
    ScanResult("art/a.png", "aa" * 32, Verdict.LIKELY_SYNTHETIC, 0.9),
    ScanResult("b.png", "bb" * 32, Verdict.UNSURE, 0.5),
    ScanResult("c.png", None, None, None, error=Failure("image.empty", "c.png is empty.")),
]
TODAY = date(2030, 6, 30)


def code(results: list[ScanResult], fail_on: str = "likely-synthetic", **options) -> int:
    document = scan_document(
        results,
        settings={"fail_on": fail_on},
        failing=failing(results, fail_on),
        suppressed=suppressions(results, **options),
    )
    return scan_exit_code(document)


def test_exit_codes() -> None:
    assert code(RESULTS) == 1 and code(RESULTS, "never") == 0 and code(RESULTS, "declared-synthetic") == 0
    assert code(RESULTS[1:]) == 0 and code(RESULTS[1:], "unsure") == 1
    assert code(RESULTS[2:]) == 2 and code([]) == 3


@pytest.mark.parametrize("entry", ['path = "art/*"', f'sha256 = "{"AA" * 32}"'])
def test_ignored_findings_do_not_fail_until_the_day_after(entry: str) -> None:
    ignore = parse_ignore(IGNORE.format(entry))
    assert code(RESULTS, ignore=ignore, today=TODAY) == 0
    assert code(RESULTS, ignore=ignore, today=date(2030, 7, 1)) == 1
    assert suppressions(RESULTS, ignore=ignore, today=TODAY)["art/a.png"]["expires"] == "2030-06-30"


def test_an_ignore_entry_never_hides_an_error() -> None:
    ignore = parse_ignore(IGNORE.format('path = "*"'))
    assert code(RESULTS[2:], ignore=ignore, today=TODAY) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (IGNORE.format(""), "either sha256 or path"),
        (IGNORE.format('path = "a"\nsha256 = "b"'), "either sha256 or path"),
        (IGNORE.format('paht = "a"'), "Did you mean 'path'"),
        (IGNORE.format('path = "a"').replace("Drawn by hand, see the wiki.", "no"), "reason"),
        (IGNORE.format('path = "a"').replace("expires = 2030-06-30\n", ""), "expires"),
        ("[ignore]\n", "ignore must be a list"),
        ("ignroe = 1", "Did you mean 'ignore'"),
        ("x =", "TOML"),
    ],
)
def test_mistakes_in_the_ignore_file_are_named(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_ignore(text)


def test_baseline_knows_file_and_verdict(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(render(scan_document(RESULTS, settings={}), "json"))
    baseline = read_baseline(path)
    assert code(RESULTS, baseline=baseline) == 0
    changed = [ScanResult("art/a.png", "cc" * 32, Verdict.LIKELY_SYNTHETIC, 0.9)]
    worse = [ScanResult("b.png", "bb" * 32, Verdict.LIKELY_SYNTHETIC, 0.9)]
    assert code(changed, baseline=baseline) == 1 and code(worse, baseline=baseline) == 1


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": "countermark.scan/1"}', '{"schema": 3}', "[" * 10**5]
)
def test_a_bad_baseline_is_a_typed_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(ConfigError, match="not a JSON report"):
        read_baseline(tmp_path / "b.json")
    with pytest.raises(ConfigError, match="does not exist"):
        read_baseline(tmp_path / "none.json")


@settings(deadline=None)
@given(st.text(max_size=120))
def test_any_ignore_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_ignore(text)


def test_missing_ignore_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        read_ignore(tmp_path / "none.toml")


def test_the_json_report_is_a_baseline(tmp_path: Path) -> None:
    document = scan_document(RESULTS, settings={})
    (tmp_path / "b.json").write_text(json.dumps(document, default=str))
    assert ("aa" * 32, "likely-synthetic") in read_baseline(tmp_path / "b.json")


def test_an_expired_entry_is_named_when_it_would_have_hidden_something() -> None:
    ignore = parse_ignore(IGNORE.format('path = "art/*"') + IGNORE.format('path = "elsewhere/*"'))
    assert expired(RESULTS, ignore, today=TODAY) == []
    (sentence,) = expired(RESULTS, ignore, today=date(2030, 7, 1))
    assert "art/*" in sentence and "2030-06-30" in sentence
