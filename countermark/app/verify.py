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

from countermark.app.clips.verify import verify_moving
from countermark.app.recovery import notice, recover_credential, wanted
from countermark.app.scan.gather import MAX_CHANCE_MATCH
from countermark.core.errors import CountermarkError
from countermark.core.images import DEFAULT_LIMITS, Limits, Pixels, read_bytes, read_image
from countermark.core.results import MarkReading, Problem, Verification
from countermark.core.video.containers import sniff_clip
from countermark.core.video.reader import read_head

if TYPE_CHECKING:
    from countermark.provenance.identities.trust import Trust
    from countermark.provenance.repository import Repository


def verify(
    path: Path | str,
    *,
    trust: Trust | Sequence[Trust] | None = None,
    recover: bool = True,
    repository: Repository | None = None,
    limits: Limits = DEFAULT_LIMITS,
    digest: bool = False,
) -> Verification:
    """Verifies one image or clip; nothing is fetched from a network.

    Args:
        path: The image or clip.
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

    if sniff_clip(read_head(path)) is not None:
        return verify_moving(path, trust=trust, recover=recover, repository=repository, digest=digest)
    data = read_bytes(path, limits)
    result = verify_image(path, data=data, trust=trust, digest=digest, limits=limits)
    if not (recover and wanted(result)):
        return result
    try:
        image = read_image(data, limits, name=str(path))
    except CountermarkError as error:
        return replace(result, problems=(*result.problems, notice("recovery.unreadable", str(error))))
    reading, notes = read_mark(image.pixels)
    result = replace(result, mark=reading, problems=(*result.problems, *notes))
    return recover_credential(
        result, image.pixels, image.data, repository=repository, trust=trust, limits=limits
    )


def read_mark(pixels: Pixels) -> tuple[MarkReading | None, list[Problem]]:
    """The watermark in uint8 RGB pixels if its chance match is rare enough, and what went wrong."""
    from countermark.provenance import watermark

    try:
        reading = watermark.read(pixels)
    except CountermarkError as error:
        return None, [notice("mark.unreadable", str(error))]
    believed = reading.payload is not None and reading.p_value <= MAX_CHANCE_MATCH
    payload = reading.payload.hex() if believed and reading.payload is not None else None
    return MarkReading(payload, float(reading.p_value), str(reading.scheme)), []
