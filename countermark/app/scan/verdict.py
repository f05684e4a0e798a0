"""Fusion: from evidence to one verdict, by rules that can be read in one go.

1. What is declared beats what is estimated: a certain or strong declaration of synthetic origin
   (credential, mark, a record found again, standard metadata) gives ``declared-synthetic``, even beside
   a credential that declares a capture: the contradiction is listed.
2. A trusted credential that declares a capture gives ``declared-captured``.
3. Otherwise the calibrated score decides: at or above ``likely`` it is ``likely-synthetic``, between
   ``unsure`` and ``likely`` it is ``unsure``, below it is ``no-evidence``. Never "real".
4. Under stress, a verdict that flips between ``likely-synthetic`` and ``no-evidence``, or changes for
   more than one delivery, becomes ``unsure``.

What decided stands first among the evidence (``ordered``): it is the reason that reports print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from countermark.core.results import Evidence, Strength, Verdict

DECLARING = ("credential", "mark", "recovery", "metadata")


def declared(evidence: Sequence[Evidence]) -> Verdict | None:
    """The verdict that the declarations alone give, or None."""
    carrying = [
        e for e in evidence if e.kind in DECLARING and e.strength in (Strength.CERTAIN, Strength.STRONG)
    ]
    if any(e.points_to == "synthetic" for e in carrying):
        return Verdict.DECLARED_SYNTHETIC
    if any(e.kind == "credential" and e.points_to == "captured" for e in carrying):
        return Verdict.DECLARED_CAPTURED
    return None


def estimated(score: float, likely: float, unsure: float) -> Verdict:
    """The verdict that a calibrated score in [0, 1] gives against the two thresholds."""
    if score >= likely:
        return Verdict.LIKELY_SYNTHETIC
    return Verdict.UNSURE if score >= unsure else Verdict.NO_EVIDENCE


def under_stress(verdict: Verdict, stressed: Mapping[str, Verdict]) -> Verdict:
    """``unsure`` if the verdict does not hold under the stress deliveries, else the verdict."""
    changed = [v for v in stressed.values() if v is not verdict]
    opposite = {Verdict.LIKELY_SYNTHETIC: Verdict.NO_EVIDENCE, Verdict.NO_EVIDENCE: Verdict.LIKELY_SYNTHETIC}
    if len(changed) > 1 or any(v is opposite.get(verdict) for v in changed):
        return Verdict.UNSURE
    return verdict


def score_evidence(score: float, verdict: Verdict, detector: str, likely: float, unsure: float) -> Evidence:
    """The detector's share of the evidence, in a sentence."""
    points, strength = "neither", Strength.WEAK
    if verdict is Verdict.LIKELY_SYNTHETIC:
        points, strength = "synthetic", Strength.STRONG
        text = f"at or above the threshold of {likely:.2f}: typical of generated images"
    elif verdict is Verdict.UNSURE:
        text = f"between the thresholds of {unsure:.2f} and {likely:.2f}: no decision"
    else:
        text = f"below {unsure:.2f}: nothing found, which is no proof of a photograph"
    return Evidence(
        "detector",
        points,
        strength,
        f"The detector {detector!r} gives {score:.2f}, {text}.",
        {"score": score, "likely": likely, "unsure": unsure, "detector": detector},
    )


def ordered(evidence: Sequence[Evidence], verdict: Verdict | None) -> tuple[Evidence, ...]:
    """The evidence with what decided first, then declarations and figures by strength, then notes.

    A note such as "the search for a watermark was stopped" decides nothing and never stands first beside
    a score.
    """
    flipped = any(e.kind == "stress" and e.detail.get("holds") is False for e in evidence)

    def key(one: Evidence) -> tuple[bool, int, int]:
        return not _decides(one, verdict, flipped), _RANKS[one.strength], _place(one)

    return tuple(sorted(evidence, key=key))


_RANKS = {Strength.CERTAIN: 0, Strength.STRONG: 1, Strength.WEAK: 2}
_KINDS = ("credential", "recovery", "metadata", "detector", "region", "stress", "mark", "file")


def _place(one: Evidence) -> int:
    return _KINDS.index(one.kind) if one.kind in _KINDS else len(_KINDS)


def _decides(one: Evidence, verdict: Verdict | None, flipped: bool) -> bool:
    carries = one.strength in (Strength.CERTAIN, Strength.STRONG)
    if verdict is Verdict.DECLARED_SYNTHETIC:
        return one.kind in DECLARING and carries and one.points_to == "synthetic"
    if verdict is Verdict.DECLARED_CAPTURED:
        return one.kind == "credential" and carries and one.points_to == "captured"
    if flipped:
        return one.kind == "stress"
    return one.kind == "detector" and not one.detail.get("second")
