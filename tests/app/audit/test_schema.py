"""The policy's schema: unknown keys, wrong values, hostile text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark.app.audit.loading import load_policy, parse_policy
from countermark.app.audit.starters import NAMES, starter
from countermark.core.errors import CountermarkError

GOOD = """
schema = "countermark.policy/1"
name = "p"
[subject]
kind = "detector"
[statistics]
confidence = 0.9
[evidence.test]
corpus = "c"
cluster = { real = "source" }
[[checks]]
id = "detector.auroc"
evidence = "test"
at_least = 0.9
[[checks]]
id = "detector.fpr"
evidence = "test"
at_most = 0.1
[baseline]
detector = "older"
allow = { "detector.auroc" = 0.01 }
[[waivers]]
check = "detector.fpr"
reason = "A reason that is long enough."
expires = 2031-05-01
"""


def test_a_good_policy() -> None:
    policy = parse_policy(GOOD)
    assert policy.statistics.confidence == 0.9 and policy.checks[0].threshold == 0.9
    assert policy.evidence["test"].cluster.synthetic == "image"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("confidence", "confidance", "Did you mean 'confidence'"),
        ("kind =", "kindd = 'x'\nkind =", "Did you mean 'kind'"),
        ('corpus = "c"', 'corpis = "c"', "Did you mean 'corpus'"),
        ("cluster = { real", "cluster = { rael", "Did you mean 'real'"),
        ("at_most = 0.1", "at_most = 0.1\nmax_fprr = 0.1", "Did you mean 'max_fpr'"),
        ("[baseline]", "[baselin]", "Did you mean 'baseline'"),
        ("reason =", "reasons = 'x'\nreason =", "Did you mean 'reason'"),
        ('detector.auroc"\nev', 'detector.auorc"\nev', "Did you mean 'detector.auroc'"),
        ('evidence = "test"\nat_least', 'evidence = "tset"\nat_least', "no evidence 'tset'"),
        ("at_least = 0.9", "at_most = 0.9", "takes at_least"),
        ("at_least = 0.9", "", "has no threshold"),
        ("confidence = 0.9", "confidence = 1.5", "statistics.confidence"),
        ("expires = 2031-05-01", "", "expires"),
        ("A reason that is long enough.", "no", "reason"),
        ('check = "detector.fpr"', 'check = "detector.fp"', "Did you mean 'detector.fpr'"),
        ('schema = "countermark.policy/1"', "", "schema"),
        ('name = "p"', 'name = "p"\nroot = "/etc"', "root"),
        ('corpus = "c"', "", "exactly one of"),
        ('kind = "detector"', 'kind = "generator"', "is not a check of a generator"),
        ("at_most = 0.1", "at_most = 'x'", "at_most"),
        ("name =", "name = = ", "TOML"),
    ],
)
def test_mistakes_are_named(old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(CountermarkError) as caught:
        parse_policy(GOOD.replace(old, new, 1))
    assert says in str(caught.value)


def test_two_entries_need_labels() -> None:
    twice = GOOD + '[[checks]]\nid = "detector.auroc"\nevidence = "test"\nat_least = 0.8\n'
    with pytest.raises(CountermarkError, match="stands there twice"):
        parse_policy(twice)
    parse_policy(twice + 'label = "q75"\ndelivery = "q75"\n')


def test_missing_and_oversized_files(tmp_path: Path) -> None:
    with pytest.raises(CountermarkError, match="does not exist"):
        load_policy(tmp_path / "none.toml")
    (tmp_path / "big.toml").write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(CountermarkError, match="too large"):
        load_policy(tmp_path / "big.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CountermarkError, match="cannot be read"):
        load_policy(tmp_path / "binary.toml")


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_typed_error(text: str) -> None:
    with pytest.raises(CountermarkError):
        parse_policy(text)


@pytest.mark.parametrize("name", NAMES)
def test_starters_are_valid(name: str) -> None:
    assert parse_policy(starter(name)).checks
