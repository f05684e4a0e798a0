"""What the page says in people's words: the answer in one sentence, and what to do next.

Every message is written in English and passed through ``gettext``; ``_`` here only marks it, so that
it is found when catalogues are made. The caller translates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from countermark.core.results import Evidence, ScanResult, Strength, Verdict, Verification, VerificationState
from countermark.provenance.source_types import points_to

Translate = Callable[[str], str]


def _(message: str) -> str:
    return message


@dataclass(frozen=True)
class Answer:
    """The verdict for people: one sentence, why in one sentence, and what to do next."""

    headline: str
    why: str
    next: tuple[str, ...]


DECLARING = ("credential", "mark", "recovery", "metadata")
PARTS = ("compositeWithTrainedAlgorithmicMedia", "compositeSynthetic")

VERDICTS: Mapping[str, str] = {
    "declared-synthetic": _("Declared synthetic"),
    "likely-synthetic": _("Likely synthetic"),
    "unsure": _("Unsure"),
    "no-evidence": _("No evidence"),
    "declared-captured": _("Declared captured"),
    "error": _("Not judged"),
}
STRENGTHS: Mapping[str, str] = {
    "certain": _("Certain"),
    "strong": _("Strong"),
    "weak": _("Weak"),
}
KINDS: Mapping[str, str] = {
    "credential": _("Credential"),
    "mark": _("Watermark"),
    "metadata": _("Metadata"),
    "detector": _("Detector"),
    "stress": _("Deliveries"),
    "file": _("File"),
    "recovery": _("Recovered credential"),
    "region": _("Part of the picture"),
    "face": _("Face"),
}
STATES: Mapping[str, str] = {
    "trusted": _("Holds, and you trust the signer"),
    "intact": _("Holds, but the signer is not on your trust list"),
    "invalid": _("Does not hold"),
    "recovered": _("Not in the file, but found in the records here"),
    "absent": _("No credential"),
}
RELATIONS: Mapping[str, str] = {
    "parentOf": _("earlier version"),
    "componentOf": _("placed in it"),
    "inputTo": _("given to the model"),
}
ACTIONS: Mapping[str, str] = {
    "c2pa.created": _("Created"),
    "c2pa.opened": _("Opened"),
    "c2pa.edited": _("Edited"),
    "c2pa.placed": _("Another picture placed in it"),
    "c2pa.cropped": _("Cropped"),
    "c2pa.resized": _("Resized"),
    "c2pa.orientation": _("Turned"),
    "c2pa.color_adjustments": _("Colours changed"),
    "c2pa.filtered": _("Filter applied"),
    "c2pa.drawing": _("Drawn on"),
    "c2pa.converted": _("Saved in another format"),
    "c2pa.transcoded": _("Compressed again"),
    "c2pa.repackaged": _("Repackaged"),
    "c2pa.published": _("Published"),
    "c2pa.redacted": _("Information taken out"),
    "c2pa.removed": _("Something removed"),
    "c2pa.translated": _("Translated"),
    "c2pa.watermarked": _("Watermark added"),
    "c2pa.watermarked.bound": _("Watermark added"),
    "c2pa.watermarked.unbound": _("Watermark added"),
    "c2pa.unknown": _("Something unknown was done"),
}
SOURCE_TYPES: Mapping[str, str] = {
    "trainedAlgorithmicMedia": _("made by a trained generator"),
    "compositeWithTrainedAlgorithmicMedia": _("in parts made by a trained generator"),
    "compositeSynthetic": _("put together with generated parts"),
    "algorithmicMedia": _("made by a program, without training"),
    "digitalCapture": _("taken with a camera"),
    "computationalCapture": _("taken with a camera and computed from several shots"),
    "compositeCapture": _("put together from camera pictures"),
    "humanEdits": _("edited by a person"),
    "minorHumanEdits": _("lightly edited by a person"),
    "digitalCreation": _("made by a person with software"),
    "screenCapture": _("a screenshot"),
    "composite": _("put together from several pictures"),
    "virtualRecording": _("recorded in a virtual world"),
}
DELIVERIES: Mapping[str, str] = {
    "native": _("As received"),
    "q96": _("Saved again, good quality"),
    "320q90": _("Small, as a preview or in a chat"),
    "q75": _("Saved again, low quality"),
}
POINTS: Mapping[str, str] = {
    "strict": _("Strict"),
    "default": _("Default"),
    "review": _("Review"),
}
STAGES: Mapping[str, str] = {
    "waiting": _("Waiting for its turn"),
    "reading": _("Reading the file"),
    "credential": _("Checking its history and looking for marks"),
    "detector": _("Asking the detector, under four deliveries"),
    "clip": _("Looking at frames of the clip, four deliveries each"),
    "map": _("Drawing where the score comes from"),
    "signing": _("Signing"),
    "done": _("Done"),
    "failed": _("Could not be examined"),
}

_ORIGINAL = _(
    "Ask the sender for the original file, as the camera or the program wrote it, and for pictures taken "
    "just before and after."
)
_LARGER = _("Ask for a larger, less compressed copy: it can often be decided.")
_HISTORY = _("Read the history below: it names the generator and who signed.")


#: Headlines for a clip in place of those for a picture.
CLIPS: Mapping[str, str] = {
    _("A generator made this picture. Its signed history says so."): _(
        "A generator made this clip. Its signed history says so."
    ),
    _("Parts of this picture were made by a generator. Its signed history says so."): _(
        "Parts of this clip were made by a generator. Its signed history says so."
    ),
    _("A generator made this picture. A hidden mark in it says so."): _(
        "A generator made this clip. A hidden mark in it says so."
    ),
    _("The file says that a generator made this picture."): _(
        "The file says that a generator made this clip."
    ),
    _("A trusted signer says that a camera took this picture."): _(
        "A trusted signer says that a camera took this clip."
    ),
    _("This picture looks as if a generator made it."): _("This clip looks as if a generator made it."),
    _("We cannot tell whether a generator made this picture."): _(
        "We cannot tell whether a generator made this clip."
    ),
    _("We found no sign that a generator made this picture. That does not prove a photograph."): _(
        "We found no sign that a generator made this clip. That does not prove a recording."
    ),
}


def answer(result: ScanResult, verification: Verification | None) -> Answer:
    """The answer to one picture or clip; messages are in English, to be translated."""
    made = _answer(result, verification)
    return made if result.clip is None else replace(made, headline=CLIPS.get(made.headline, made.headline))


def places(result: ScanResult) -> tuple[str, ...]:
    """Kinds of evidence (``region``, ``face``) that name a place which speaks for a generator."""
    found = {e.kind for e in result.evidence if e.points_to == "synthetic"}
    return tuple(kind for kind in ("region", "face") if kind in found)


def _answer(result: ScanResult, verification: Verification | None) -> Answer:
    verdict = result.verdict
    if verdict is Verdict.DECLARED_SYNTHETIC:
        return _declared(result, verification)
    if _found_as_synthetic(verification) and verdict is not Verdict.DECLARED_CAPTURED:
        return Answer(
            _("The records here say that a generator made a picture that looks like this one."),
            _("It was found by its looks. Nothing ties that history to this very file."),
            (_HISTORY, _("Compare this picture with the one that was signed.")),
        )
    if verdict is Verdict.DECLARED_CAPTURED:
        return Answer(
            _("A trusted signer says that a camera took this picture."),
            _("The signed history fits the file, and its signer is on your trust list."),
            (_("Read the history below: it lists what was changed since."),),
        )
    if verdict is Verdict.LIKELY_SYNTHETIC:
        return Answer(
            _("This picture looks as if a generator made it."),
            _("Its score is above the threshold; few photographs reach it. Nothing in the file declares it."),
            (_("Do not call it generated, or a photograph, on this alone."), _ORIGINAL),
        )
    if verdict is Verdict.UNSURE:
        flips = result.score is not None and not _between(result)  # so a delivery has decided
        why = (
            _("The answer changes when the picture is saved again.")
            if flips
            else _("Its score lies between those of photographs and those of generated pictures.")
        )
        return Answer(_("We cannot tell whether a generator made this picture."), why, (_LARGER, _ORIGINAL))
    if verdict is Verdict.NO_EVIDENCE and places(result):
        return Answer(
            _("We found no sign that a generator made the whole picture. One part does not fit the rest.")
            if "region" in places(result)
            else _(
                "We found no sign that a generator made the whole picture. A face in it may have been put in."
            ),
            _("The place is marked below. It is a weak sign: look at it yourself."),
            (_("Ask for the picture as it was before anybody edited it."), _ORIGINAL),
        )
    if verdict is Verdict.NO_EVIDENCE:
        return Answer(
            _("We found no sign that a generator made this picture. That does not prove a photograph."),
            _("No declaration in the file, no known mark, and a score like those of photographs."),
            (_("Check source, place and time as for any picture."), _ORIGINAL),
        )
    if result.error is not None and result.error.code == "image.too-small":
        return Answer(
            _("This picture is too small to be judged."),
            _("The detector needs at least 32 pixels a side."),
            (_LARGER,),
        )
    return Answer(
        _("This picture could not be judged."), _("The detector gave no score."), (_LARGER, _ORIGINAL)
    )


def _found_as_synthetic(verification: Verification | None) -> bool:
    """Whether a recovered history declares a generator."""
    return (
        verification is not None
        and verification.state is VerificationState.RECOVERED
        and points_to(verification.digital_source_type or "") == "synthetic"
    )


def _between(result: ScanResult) -> bool:
    score, bounds = result.score, result.thresholds
    return score is not None and bounds.get("unsure", 0.0) <= score < bounds.get("likely", 1.0)


def _declared(result: ScanResult, verification: Verification | None) -> Answer:
    """By the strongest declaration; a credential says more than a mark, a mark more than a note."""
    rank = {Strength.CERTAIN: 0, Strength.STRONG: 1, Strength.WEAK: 2}
    declaring = [e for e in result.evidence if e.points_to == "synthetic" and e.kind in DECLARING]
    declaring.sort(key=lambda e: (rank[e.strength], DECLARING.index(e.kind)))
    first = declaring[0] if declaring else None
    recovered = verification is not None and verification.state is VerificationState.RECOVERED
    if first is not None and first.kind == "credential":
        parts = first.detail.get("digital_source_type") in PARTS
        headline = (
            _("Parts of this picture were made by a generator. Its signed history says so.")
            if parts
            else _("A generator made this picture. Its signed history says so.")
        )
        if first.strength is Strength.CERTAIN:
            return Answer(
                headline, _("The history fits the file, and its signer is on your trust list."), (_HISTORY,)
            )
        return Answer(
            headline,
            _("The history fits the file, but its signer is not on your trust list."),
            (_HISTORY, _("Ask the signer to confirm it.")),
        )
    if first is not None and first.kind == "recovery":
        return Answer(
            _("The records here say that a generator made a picture that looks like this one."),
            _("It was found by its looks. Nothing ties that history to this very file."),
            (_HISTORY, _("Compare this picture with the one that was signed.")),
        )
    if first is not None and first.kind == "mark":
        why = (
            _("The mark led back to its signed history, in the records here.")
            if recovered
            else _("Such a mark survives most copying and cutting, and does not come about by chance.")
        )
        told = verification is not None and verification.chain
        steps = (_HISTORY,) if told else (_("Ask whoever runs the generator with this mark."),)
        return Answer(_("A generator made this picture. A hidden mark in it says so."), why, steps)
    if first is not None:
        return Answer(
            _("The file says that a generator made this picture."),
            _("Its metadata name a generator. Anyone can write metadata, but few people write this."),
            (_("Ask the sender which generator was used, and the named generator whether it was."),),
        )
    return Answer(_("A generator made this picture."), _("It is declared as generated."), (_HISTORY,))


def remarks(result: ScanResult, verification: Verification | None) -> tuple[str, ...]:
    """What else must be said at the top: a history that does not hold, or one that was found again; places
    that stand out, where the answer does not speak of them."""
    told = _of_history(verification)
    if result.verdict is Verdict.NO_EVIDENCE:
        return told
    named = {
        "region": _("A part of it does not fit the rest. It is marked below, and a weak sign."),
        "face": _("A face in it may have been put in. It is marked below, and a weak sign."),
    }
    return (*told, *(named[kind] for kind in places(result)))


def _of_history(verification: Verification | None) -> tuple[str, ...]:
    if verification is None:
        return ()
    if verification.state is VerificationState.INVALID:
        return (
            _(
                "Careful: there is a signed history, but it does not fit. The file or its history was "
                "changed after signing. Ask the signer for the original."
            ),
        )
    if verification.state is VerificationState.RECOVERED:
        return (
            _(
                "This file carries no signed history, but the records here hold one for this picture. It "
                "speaks of the file that was signed, not of this one: compare the two."
            ),
        )
    return ()


def lead(evidence: Evidence) -> str | None:
    """A sentence for one piece of evidence in place of the library's own; None where there is none."""
    synthetic = evidence.points_to == "synthetic"
    if evidence.kind == "credential":
        state = evidence.detail.get("state")
        if state == "invalid":
            return _("There is a signed history, but it does not fit this file.")
        if synthetic:
            return _("The signed history says that a generator was used.")
        if evidence.points_to == "captured":
            return _("The signed history says that a camera took the picture.")
        return _("There is a signed history; it does not say how the picture was made.")
    if evidence.kind == "mark" and synthetic:
        return _("A hidden mark of a generator is in the picture.")
    if evidence.kind == "recovery":
        return _("The records here hold a signed history of a picture that looks like this one.")
    if evidence.kind == "metadata":
        return (
            _("The file's metadata name a generator.")
            if synthetic
            else _("The file's metadata, which anyone can write.")
        )
    if evidence.kind == "detector" and "score" in evidence.detail:
        return (
            _("The picture looks like generated ones.")
            if synthetic
            else _("The picture's looks do not show that it was generated.")
        )
    if evidence.kind == "stress":
        if not evidence.detail.get("holds"):
            return _(
                "Saved again as it may reach you, the picture gets another answer, so it counts as unsure."
            )
        return (
            _("Saved again as it may reach you, the picture gets the same answer.")
            if len(set(evidence.detail.get("verdicts", {}).values())) < 2
            else _("Saved again as it may reach you, the picture gets nearly the same answer.")
        )
    return None
