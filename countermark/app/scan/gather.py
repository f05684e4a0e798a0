"""Evidence: everything that one file says about itself, before any detector is asked.

Each source of evidence is independent; one that fails is reported and does not stop the others.
"""

from __future__ import annotations

from dataclasses import dataclass

from countermark.core.errors import CountermarkError, ImageError
from countermark.core.images import DEFAULT_LIMITS, Limits, LoadedImage, read_image
from countermark.core.results import Evidence, Strength, Verification, VerificationState
from countermark.provenance.source_types import CAPTURED, SYNTHETIC

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
    path: str, *, limits: Limits = DEFAULT_LIMITS, marks: bool = True, mark_seconds: float = MARK_SECONDS
) -> Gathered:
    """Reads a file and collects credential, metadata and mark evidence.

    ``mark_seconds`` bounds the search for marks whose geometry has changed; 0 looks only for marks
    in pictures as they were saved. A search that was stopped is stated among the evidence.

    Raises:
        ImageError: the file is not an image that the gate lets in.
    """
    image = read_image(path, limits)
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
        from countermark.provenance.metadata.reading import read_metadata

        evidence.extend(read_metadata(image.data, image.format))
    except CountermarkError as error:
        evidence.append(_could_not("metadata", error))
    if marks:
        try:
            evidence.extend(mark_evidence(image, mark_seconds))
        except CountermarkError as error:
            evidence.append(_could_not("mark", error))
    return Gathered(path, image, tuple(evidence), verification)


def credential_evidence(verification: Verification) -> list[Evidence]:
    """What a credential and its validation say; an absent one says nothing and gives nothing."""
    state, source_type = verification.state, verification.digital_source_type
    if state is VerificationState.ABSENT:
        return []
    detail = {
        "state": state.value,
        "digital_source_type": source_type,
        "problems": [problem.code for problem in verification.problems],
        "signer": next((link.signer for link in verification.chain), None),
    }
    if state is VerificationState.INVALID:
        return [
            Evidence(
                "credential",
                "neither",
                Strength.STRONG,
                "A content credential is there but does not match this file: the file or the credential "
                "was changed after signing. That says nothing about how the picture was made.",
                detail,
            )
        ]
    trusted = state is VerificationState.TRUSTED
    strength = Strength.CERTAIN if trusted else Strength.STRONG
    by = f"a {'trusted' if trusted else 'valid (signer not on your trust list)'} content credential"
    if source_type in SYNTHETIC:
        sentence = f"Declared as {source_type} by {by}."
        return [Evidence("credential", "synthetic", strength, sentence, detail)]
    if source_type in CAPTURED:
        sentence = f"Declared as {source_type} by {by}."
        points = "captured" if trusted else "neither"
        return [Evidence("credential", points, strength if trusted else Strength.WEAK, sentence, detail)]
    earlier = _synthetic_ingredient(verification)
    if earlier:
        sentence = f"By {by}, the history holds generated material ({earlier})."
        return [Evidence("credential", "synthetic", Strength.STRONG, sentence, detail)]
    sentence = f"There is {by}; it does not say how the picture was made."
    return [Evidence("credential", "neither", Strength.WEAK, sentence, detail)]


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


def _synthetic_ingredient(verification: Verification) -> str | None:
    for link in verification.chain[1:]:
        for action in link.actions:
            term = str(action.get("digitalSourceType", "")).rsplit("/", 1)[-1]
            if term in SYNTHETIC and link.state != "invalid":
                return term
    return None


def _could_not(kind: str, error: CountermarkError) -> Evidence:
    return Evidence(
        kind,
        "neither",
        Strength.WEAK,
        f"The {kind} could not be read: {error}",
        {"error": error.code},
    )
