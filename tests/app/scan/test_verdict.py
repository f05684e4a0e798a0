"""The rules from evidence to verdict, one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark.app.scan.gather import credential_evidence
from countermark.app.scan.verdict import declared, estimated, ordered, score_evidence, under_stress
from countermark.core.results import (
    Evidence,
    Statement,
    Strength,
    Verdict,
    Verification,
    VerificationState,
)


def evidence(kind: str, points_to: str, strength: Strength) -> Evidence:
    return Evidence(kind, points_to, strength, "x")


@pytest.mark.parametrize(
    ("items", "verdict"),
    [
        ([], None),
        ([("metadata", "synthetic", Strength.WEAK)], None),
        ([("metadata", "synthetic", Strength.STRONG)], Verdict.DECLARED_SYNTHETIC),
        ([("mark", "synthetic", Strength.CERTAIN)], Verdict.DECLARED_SYNTHETIC),
        ([("credential", "captured", Strength.CERTAIN)], Verdict.DECLARED_CAPTURED),
        ([("metadata", "captured", Strength.STRONG)], None),
        ([("detector", "synthetic", Strength.STRONG)], None),
        (
            [("credential", "captured", Strength.CERTAIN), ("mark", "synthetic", Strength.CERTAIN)],
            Verdict.DECLARED_SYNTHETIC,
        ),
    ],
)
def test_declarations(items, verdict) -> None:
    assert declared([evidence(*item) for item in items]) is verdict


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_scores_fall_into_one_of_three(score: float, one: float, other: float) -> None:
    unsure, likely = sorted((one, other))
    verdict = estimated(score, likely, unsure)
    assert (verdict is Verdict.LIKELY_SYNTHETIC) == (score >= likely)
    assert (verdict is Verdict.NO_EVIDENCE) == (score < unsure and score < likely)
    told = score_evidence(score, verdict, "d", likely, unsure)
    assert "real" not in told.sentence.split() and told.detail["score"] == score


def test_a_verdict_that_flips_is_unsure() -> None:
    likely, none, unsure = Verdict.LIKELY_SYNTHETIC, Verdict.NO_EVIDENCE, Verdict.UNSURE
    assert under_stress(likely, {"q75": likely, "320q90": likely}) is likely
    assert under_stress(likely, {"q75": unsure, "320q90": likely}) is likely
    assert under_stress(likely, {"q75": unsure, "320q90": unsure}) is unsure
    assert under_stress(likely, {"q75": none}) is unsure
    assert under_stress(none, {"q75": likely}) is unsure


def verification(state: str, *said: Statement, matches: bool = True) -> Verification:
    return Verification("a.jpg", VerificationState(state), statements=said, matches=matches)


def statement(term: str, points_to: str, strength: str = "certain", *, own: bool = True) -> Statement:
    return Statement(points_to, Strength(strength), f"declared ({term})", term, own=own)


@pytest.mark.parametrize(
    ("state", "said", "points_to", "strength"),
    [
        ("trusted", ("trainedAlgorithmicMedia", "synthetic"), "synthetic", "certain"),
        ("intact", ("compositeWithTrainedAlgorithmicMedia", "synthetic"), "synthetic", "strong"),
        ("trusted", ("digitalCapture", "captured"), "captured", "certain"),
        ("intact", ("digitalCapture", "captured"), "neither", "weak"),
        ("trusted", None, "neither", "weak"),
    ],
)
def test_credentials(state: str, said: tuple[str, str] | None, points_to: str, strength: str) -> None:
    (found,) = credential_evidence(verification(state, *([statement(*said)] if said else [])))
    assert (found.points_to, found.strength) == (points_to, strength)


def test_a_credential_of_other_bytes_declares_nothing() -> None:
    said = replace(statement("trainedAlgorithmicMedia", "synthetic"), matches=False)
    first, second = credential_evidence(verification("invalid", said, matches=False))
    assert (first.points_to, first.strength) == ("neither", "strong")
    assert (second.points_to, second.strength) == ("neither", "weak")


def test_a_missing_credential_is_no_evidence() -> None:
    assert credential_evidence(verification("absent", None)) == []


def test_generated_ingredients_are_strong_not_certain() -> None:
    (found,) = credential_evidence(
        verification("trusted", statement("trainedAlgorithmicMedia", "synthetic", own=False))
    )
    assert found.points_to == "synthetic" and found.strength == "strong"


STOPPED = Evidence("mark", "neither", Strength.WEAK, "The search was stopped.", {"stopped_after": 2})
NOTE = Evidence("file", "neither", Strength.WEAK, "Alpha was laid over white.")
SCORE = Evidence("detector", "neither", Strength.WEAK, "A score.")
SECOND = Evidence("detector", "synthetic", Strength.WEAK, "Another score.", {"second": True})
CREDENTIAL = Evidence("credential", "synthetic", Strength.CERTAIN, "Signed.")
INTACT = Evidence("credential", "captured", Strength.STRONG, "A camera says so.")
FLIPPED = Evidence("stress", "neither", Strength.WEAK, "It does not hold.", {"holds": False})
HELD = Evidence("stress", "neither", Strength.WEAK, "It holds.", {"holds": True})


@pytest.mark.parametrize(
    ("verdict", "evidence", "first"),
    [
        (Verdict.NO_EVIDENCE, [NOTE, STOPPED, SCORE], SCORE),
        (Verdict.UNSURE, [STOPPED, SCORE, SECOND, HELD], SCORE),
        (Verdict.UNSURE, [STOPPED, SCORE, FLIPPED], FLIPPED),
        (Verdict.LIKELY_SYNTHETIC, [INTACT, STOPPED, replace(SCORE, strength=Strength.STRONG)], None),
        (Verdict.DECLARED_SYNTHETIC, [NOTE, STOPPED, SCORE, INTACT, CREDENTIAL], CREDENTIAL),
        (Verdict.DECLARED_CAPTURED, [NOTE, SCORE, INTACT], INTACT),
    ],
)
def test_what_decided_stands_first(
    verdict: Verdict, evidence: list[Evidence], first: Evidence | None
) -> None:
    for items in (evidence, evidence[::-1]):
        found = ordered(items, verdict)
        assert found[0] == (first or replace(SCORE, strength=Strength.STRONG))
        assert sorted(found, key=repr) == sorted(evidence, key=repr)
        if STOPPED in items:
            assert found.index(STOPPED) >= len(found) - 2
