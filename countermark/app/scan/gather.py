"""Evidence: everything that one file says about itself, before any detector is asked.

Each source of evidence is independent; one that fails is reported and does not stop the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from countermark.core.errors import CountermarkError, ImageError
from countermark.core.images import DEFAULT_LIMITS, Limits, LoadedImage, read_image
from countermark.core.results import (
    Evidence,
    Problem,
    Statement,
    Strength,
    Verification,
    VerificationState,
)
from countermark.provenance.credentials.codes import says_changed
from countermark.provenance.source_types import CAPTURED, TABLE, whole, words

#: A mark is believed when a chance match on an unmarked image is rarer than this.
MAX_CHANCE_MATCH = 1e-9


@dataclass(frozen=True)
class Gathered:
    """One readable file with its declared evidence; ``image`` goes on to the detector."""

    path: str
    image: LoadedImage
    evidence: tuple[Evidence, ...]
    verification: Verification | None


#: Seconds that a scan spends on one picture's search for a resized, rotated or stretched mark.
MARK_SECONDS = 2.0


def gather(
    path: str,
    *,
    limits: Limits = DEFAULT_LIMITS,
    marks: bool = True,
    mark_seconds: float = MARK_SECONDS,
    data: bytes | None = None,
) -> Gathered:
    """Reads a file and collects credential, metadata and mark evidence.

    Large pictures are looked at reduced (``core.decoding``). ``data`` are the bytes that ``path`` names,
    where they were read already.

    ``mark_seconds`` bounds the search for marks whose geometry has changed; 0 looks only for marks
    in pictures as they were saved. A search that was stopped is stated among the evidence.

    Raises:
        ImageError: the file is not an image that the gate lets in.
    """
    image = read_image(path if data is None else data, limits, name=path, reduce=True)
    evidence = [
        Evidence("file", "neither", Strength.WEAK, f"File: {note}.", {"note": note}) for note in image.notes
    ]
    verification = None
    try:
        verification = _verify(path, image, limits)
        evidence.extend(credential_evidence(verification))
    except ImageError:
        raise
    except CountermarkError as error:
        evidence.append(_could_not("credential", error))
    try:
        from countermark.provenance.metadata.beside import read_beside
        from countermark.provenance.metadata.reading import read_metadata

        evidence.extend(read_metadata(image.data, image.format, alpha=image.alpha))
        evidence.extend(read_beside(path))
    except CountermarkError as error:
        evidence.append(_could_not("metadata", error))
    if marks:
        try:
            evidence.extend(mark_evidence(image, mark_seconds))
        except CountermarkError as error:
            evidence.append(_could_not("mark", error))
    return Gathered(path, image, tuple(evidence), verification)


def credential_evidence(verification: Verification) -> list[Evidence]:
    """What a credential and its validation say; an absent one says nothing and gives nothing.

    The credential's own state comes first, then what it declares, then what contradicts that. A
    declaration counts as far as the credential does: ``certain`` under a trusted signer, ``strong``
    (as unsigned metadata) under one that nobody vouches for or whose certificate has expired, ``weak``
    when the credential does not belong to these bytes.
    """
    if verification.state is VerificationState.ABSENT:
        return []
    problem = next((each for each in verification.problems if each.severity == "failure"), None)
    deciding = next((each for each in verification.statements if each.points_to != "neither"), None)
    detail = {
        "state": verification.state.value,
        "digital_source_type": verification.digital_source_type,
        "problems": [each.code for each in verification.problems],
        "signer": next((link.signer for link in verification.chain), None),
        "matches": verification.matches,
    }
    found = []
    broken = verification.state is VerificationState.INVALID
    if broken:
        sentence = _broken(verification, problem)
        found.append(Evidence("credential", "neither", Strength.STRONG, sentence, detail))
    by = _by(verification, problem)
    if deciding is None:
        if not broken:
            kind = verification.digital_source_type
            said = (
                f"it says: {words(kind)} ({kind})"
                if kind in TABLE
                else "it does not say how the picture was made"
            )
            sentence = f"There is {by}; {said}."
            found.append(Evidence("credential", "neither", Strength.WEAK, sentence, detail))
        return found
    found.append(_declared(verification, deciding, by, detail))
    if deciding.points_to == "synthetic":
        for other in verification.statements:
            if _captures(other):
                sentence = f"Contradiction: the history of the same picture also says {other.sentence}."
                found.append(Evidence("credential", "neither", Strength.WEAK, sentence, {"term": other.term}))
                break
    return found


def _declared(verification: Verification, said: Statement, by: str, detail: dict[str, Any]) -> Evidence:
    trusted = verification.state is VerificationState.TRUSTED
    strength = said.strength if trusted and said.own else min_strength(said.strength, Strength.STRONG)
    detail = {**detail, "term": said.term, "whole": said.term is None or whole(said.term)}
    place = "" if said.own else "in the history of a part of the picture: "
    if not said.matches:
        sentence = f"The credential, which is not of these bytes, speaks of {place}{said.sentence}."
        return Evidence("credential", "neither", Strength.WEAK, sentence, detail)
    sentence = f"Declared by {by}: {place}{said.sentence}."
    if said.points_to == "synthetic":
        return Evidence("credential", "synthetic", strength, sentence, detail)
    if trusted:
        return Evidence("credential", "captured", strength, sentence, detail)
    return Evidence("credential", "neither", Strength.WEAK, sentence, detail)


def _captures(statement: Statement) -> bool:
    return statement.term is not None and statement.term in CAPTURED


def min_strength(one: Strength, other: Strength) -> Strength:
    """The weaker of two."""
    order = (Strength.WEAK, Strength.STRONG, Strength.CERTAIN)
    return min(one, other, key=order.index)


def _broken(verification: Verification, problem: Problem | None) -> str:
    """Why a credential does not hold, by its worst finding; only a change is called one."""
    tail = " That says nothing about how the picture was made."
    if problem is None:
        return "A content credential is there but does not hold." + tail
    where = "" if problem.where == "active" else "In its history: "
    if says_changed(problem.code):
        return (
            "A content credential is there but does not match this file: the file or the credential was "
            f"changed after signing. {where}{problem.sentence}{tail}"
        )
    fits = " It still fits this file." if verification.matches else ""
    return f"A content credential is there but does not hold. {where}{problem.sentence}{fits}{tail}"


def _by(verification: Verification, problem: Problem | None) -> str:
    if verification.state is VerificationState.TRUSTED:
        return "a trusted content credential"
    if verification.state is VerificationState.INTACT:
        return "a valid (signer not on your trust list) content credential"
    if problem is not None and "expired" in problem.code:
        return "a content credential that fits this file, but whose signing certificate had expired"
    return "a content credential that fits this file, but that nobody can vouch for"


def mark_evidence(image: LoadedImage, seconds: float = MARK_SECONDS) -> list[Evidence]:
    """Countermark's own watermark and the publicly known ones; see ``gather`` for ``seconds``."""
    from countermark.provenance import watermark

    found = []
    reading = watermark.read(image.pixels, search=seconds > 0, time_budget=max(seconds, 0.0))
    if reading.payload is None and reading.searched == "stopped":
        sentence = f"The search for a watermark was stopped after {seconds:g} s; one may have been missed."
        found.append(Evidence("mark", "neither", Strength.WEAK, sentence, {"stopped_after": seconds}))
    if reading.payload is not None and reading.p_value <= MAX_CHANCE_MATCH:
        found.append(
            Evidence(
                "mark",
                "synthetic",
                Strength.CERTAIN,
                f"A Countermark watermark is in the pixels (identifier {reading.payload.hex()}; a "
                f"chance match has a probability of at most {max(reading.p_value, 1e-99):.0e}).",
                {
                    "payload": reading.payload.hex(),
                    "p_value": reading.p_value,
                    "scheme": reading.scheme,
                },
            )
        )
    if image.size is not None:  # public marks lie in single pixels of the picture as it was saved
        return found
    for known in watermark.read_public(image.pixels):
        found.append(
            Evidence(
                "mark",
                "synthetic",
                Strength.STRONG,
                f"The publicly known watermark {known.name} is in the pixels (a chance match has a "
                f"probability of at most {max(known.p_value, 1e-99):.0e}).",
                {"name": known.name, "p_value": known.p_value},
            )
        )
    return found


def _verify(path: str, image: LoadedImage, limits: Limits) -> Verification:
    from countermark.provenance.credentials.verification import verify_image

    return verify_image(path, data=image.data, limits=limits)


def _could_not(kind: str, error: CountermarkError) -> Evidence:
    return Evidence(
        kind,
        "neither",
        Strength.WEAK,
        f"The {kind} could not be read: {error}",
        {"error": error.code},
    )
