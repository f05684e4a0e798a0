"""Verify: does the credential hold, who signed it, and if it was stripped, can it be found again?

>>> import countermark as cm                       # doctest: +SKIP
>>> found = cm.verify("signed.png")                # doctest: +SKIP
>>> found.state, found.summary                     # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from countermark.app.scan.gather import MAX_CHANCE_MATCH
from countermark.core.errors import CountermarkError
from countermark.core.images import DEFAULT_LIMITS, Limits, Pixels, read_bytes, read_image
from countermark.core.results import ChainLink, MarkReading, Problem, Verification, VerificationState

if TYPE_CHECKING:
    from countermark.provenance.identities.trust import Trust
    from countermark.provenance.repository import Repository
    from countermark.provenance.repository.recovery import Recovered

#: Findings that a recovered manifest always has: it was not made for these bytes.
EXPECTED = frozenset({"assertion.dataHash.mismatch", "assertion.bmffHash.mismatch"})


def verify(
    path: Path | str,
    *,
    trust: Trust | Sequence[Trust] | None = None,
    recover: bool = True,
    repository: Repository | None = None,
    limits: Limits = DEFAULT_LIMITS,
    digest: bool = False,
) -> Verification:
    """Verifies one image; nothing is fetched from a network.

    Args:
        path: The image.
        trust: PEM bundle(s) or trust list(s) that say whose signature counts; None for the own
            development authority and the lists that were configured.
        recover: When there is no credential, or a broken one, read the watermark and look the
            image up in the repository.
        repository: Where to look; None for the user's own.
        limits: Bounds of the file and of its picture. The file is read once.
        digest: Also give the file's own SHA-256, which takes one more pass over it.

    Returns:
        ``state`` is ``trusted``, ``intact``, ``invalid``, ``absent``, or ``recovered`` if there was
        no credential and the repository knew the picture.

    Raises:
        ImageError: the file cannot be read.
        ProvenanceError: the trust list cannot be read.
    """
    from countermark.provenance.credentials.verification import verify_image

    data = read_bytes(path, limits)
    result = verify_image(path, data=data, trust=trust, digest=digest, limits=limits)
    broken = result.state in (VerificationState.ABSENT, VerificationState.INVALID)
    if not (recover and broken):
        return result
    try:
        image = read_image(data, limits, name=str(path))
    except CountermarkError as error:
        return replace(result, problems=(*result.problems, _notice("recovery.unreadable", str(error))))
    reading, notes = read_mark(image.pixels)
    if reading is not None:
        result = replace(result, mark=reading)
    found = _find(image.pixels, reading, repository, notes)
    result = replace(result, problems=(*result.problems, *notes))
    if found is None:
        return result
    if result.state is VerificationState.INVALID:
        note = _notice("recovery.found", f"{found.sentence} {found.meaning}")
        return replace(result, problems=(*result.problems, note))
    return _recovered(result, found, image.data, trust, limits)


def read_mark(pixels: Pixels) -> tuple[MarkReading | None, list[Problem]]:
    """The watermark in uint8 RGB pixels if its chance match is rare enough, and what went wrong."""
    from countermark.provenance import watermark

    try:
        reading = watermark.read(pixels)
    except CountermarkError as error:
        return None, [_notice("mark.unreadable", str(error))]
    believed = reading.payload is not None and reading.p_value <= MAX_CHANCE_MATCH
    payload = reading.payload.hex() if believed and reading.payload is not None else None
    return MarkReading(payload, float(reading.p_value), str(reading.scheme)), []


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
        notes.append(_notice("recovery.failed", str(error)))
        return None


def _recovered(
    result: Verification,
    found: Recovered,
    data: bytes,
    trust: Trust | Sequence[Trust] | None,
    limits: Limits,
) -> Verification:
    """The stored manifest takes the place of the missing one, its own findings included."""
    from countermark.provenance.credentials.verification import verify_image

    problems = [_notice("recovery.found", found.meaning), *result.problems]
    stored = None
    try:
        stored = verify_image(data, trust=trust, manifest=found.record.store, limits=limits)
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


def _unbound(link: ChainLink) -> ChainLink:
    """A link that fails only because it was not made for these bytes is ``recovered``."""
    kept = tuple(p for p in link.problems if p.code not in EXPECTED)
    if link.state != "invalid" or any(p.severity == "failure" for p in kept):
        return replace(link, problems=kept)
    return replace(link, state=VerificationState.RECOVERED.value, problems=kept)


def _notice(code: str, sentence: str) -> Problem:
    return Problem(code, sentence, "notice")
