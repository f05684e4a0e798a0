"""A credential that was taken away, found again in the repository: for ``verify`` and for ``scan`` alike.

The mark in the pixels leads to its record, else the looks of the picture do. What is found was signed for
the original, not for these bytes: its state is ``recovered``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from countermark.core.errors import CountermarkError
from countermark.core.images import DEFAULT_LIMITS, Limits, Pixels
from countermark.core.results import (
    ChainLink,
    Evidence,
    MarkReading,
    Problem,
    Strength,
    Verification,
    VerificationState,
)
from countermark.provenance.source_types import TABLE, points_to, words

if TYPE_CHECKING:
    from countermark.provenance.identities.trust import Trust
    from countermark.provenance.repository import Repository
    from countermark.provenance.repository.recovery import Recovered

#: Findings that a recovered manifest always has: it was not made for these bytes.
EXPECTED = frozenset({"assertion.dataHash.mismatch", "assertion.bmffHash.mismatch"})


def wanted(verification: Verification) -> bool:
    """Whether a record is looked for: there is no credential, or a broken one."""
    return verification.state in (VerificationState.ABSENT, VerificationState.INVALID)


def recover_credential(
    verification: Verification,
    pixels: Pixels,
    data: bytes,
    *,
    repository: Repository | None = None,
    trust: Trust | Sequence[Trust] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    check: Callable[[bytes], Verification] | None = None,
) -> Verification:
    """The verification with what the repository knows of the picture.

    Args:
        verification: Of a file without credential, or with a broken one; its ``mark``, if one was
            read, leads to the record.
        pixels: uint8 RGB, H x W x 3, of the file.
        data: The file's bytes.
        repository: Where to look; None for the user's own.
        check: Verifies the file with a stored manifest, where it is no picture that ``data`` holds.
    """
    notes: list[Problem] = []
    found = _find(pixels, verification.mark, repository, notes)
    result = replace(verification, problems=(*verification.problems, *notes))
    if found is None:
        return result
    if result.state is VerificationState.INVALID:
        note = notice("recovery.found", f"{found.sentence} {found.meaning}")
        return replace(result, problems=(*result.problems, note))
    if check is None:
        check = partial(_check, data, trust, limits)
    return _recovered(result, found, check)


def recovery_evidence(verification: Verification) -> list[Evidence]:
    """What a recovered credential says of a picture's origin; nothing for any other state.

    It counts as a declaration (``strong``, never ``certain``: nothing ties it to these bytes) if it says
    that the picture is synthetic. That a camera took the original proves nothing of a copy.
    """
    if verification.state is not VerificationState.RECOVERED:
        return []
    kind = verification.digital_source_type
    link = verification.chain[0] if verification.chain else None
    said = f"It says: {words(kind)} ({kind})." if kind in TABLE else "It does not say how it was made."
    synthetic = points_to(kind or "") == "synthetic"
    detail = {
        "state": verification.state.value,
        "digital_source_type": kind,
        "manifest": link.label if link else None,
        "signer": link.signer if link else None,
        "generator": link.generator if link else None,
    }
    return [
        Evidence(
            "recovery",
            "synthetic" if synthetic else "neither",
            Strength.STRONG if synthetic else Strength.WEAK,
            f"{verification.summary} {said}",
            detail,
        )
    ]


def notice(code: str, sentence: str) -> Problem:
    """Something worth knowing that is no failure."""
    return Problem(code, sentence, "notice")


def _find(
    pixels: Pixels, reading: MarkReading | None, repository: Repository | None, notes: list[Problem]
) -> Recovered | None:
    from countermark.provenance.repository.glance import own_repository_is_empty

    if repository is None and own_repository_is_empty():
        return None
    from countermark.provenance.repository import shared_repository
    from countermark.provenance.repository.recovery import Known, recover

    mark = None
    if reading is not None and reading.payload is not None:
        mark = Known(bytes.fromhex(reading.payload), reading.p_value)
    try:
        place = shared_repository() if repository is None else repository
        return recover(pixels, place, reading=mark, problems=notes)
    except CountermarkError as error:
        notes.append(notice("recovery.failed", str(error)))
        return None


def _recovered(
    result: Verification,
    found: Recovered,
    check: Callable[[bytes], Verification],
) -> Verification:
    """The stored manifest takes the place of the missing one, its own findings included."""
    problems = [notice("recovery.found", found.meaning), *result.problems]
    stored = None
    try:
        stored = check(found.record.store)
    except CountermarkError as error:
        problems.append(Problem("recovery.manifest", f"The stored manifest cannot be read: {error}"))
    if stored is not None:
        problems += [p for p in stored.problems if p.code not in EXPECTED]
    return replace(
        result,
        state=VerificationState.RECOVERED,
        problems=tuple(problems),
        chain=tuple(_unbound(link) for link in stored.chain) if stored else (),
        manifest=stored.manifest if stored else None,
        digital_source_type=found.record.digital_source_type
        or (stored.digital_source_type if stored else None),
        summary=found.sentence,
    )


def _check(
    data: bytes, trust: Trust | Sequence[Trust] | None, limits: Limits, manifest: bytes
) -> Verification:
    from countermark.provenance.credentials.verification import verify_image

    return verify_image(data, trust=trust, manifest=manifest, limits=limits)


def _unbound(link: ChainLink) -> ChainLink:
    """A link that fails only because it was not made for these bytes is ``recovered``."""
    kept = tuple(p for p in link.problems if p.code not in EXPECTED)
    if link.state != "invalid" or any(p.severity == "failure" for p in kept):
        return replace(link, problems=kept)
    return replace(link, state=VerificationState.RECOVERED.value, problems=kept)
