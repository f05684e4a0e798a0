"""Recovery in a scan of a clip: one whose credential was taken away is looked up in the records kept here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from countermark.app.clips.middle import middle_frame
from countermark.app.clips.strongest import shrunk
from countermark.app.clips.verify import recovered
from countermark.app.recovery import recovery_evidence, wanted
from countermark.app.scan.gather import MAX_CHANCE_MATCH
from countermark.core.errors import CountermarkError
from countermark.core.results import Evidence, MarkReading, Verification
from countermark.core.video.sampling import ClipLimits
from countermark.provenance.watermark.pooling import ClipReading

if TYPE_CHECKING:
    from countermark.provenance.repository import Repository


def recovery_of(
    path: str,
    verification: Verification | None,
    mark: ClipReading | None,
    *,
    repository: Repository | None,
    limits: ClipLimits,
) -> list[Evidence]:
    """What the records say of a clip without a credential that holds; nothing where there is no record.

    Costs next to nothing while nothing was ever signed here; otherwise one more frame is decoded: the middle
    one, whose looks a record keeps.

    Args:
        mark: What the frames showed together; None when no mark was looked for.
        repository: Where to look; None for the user's own.
    """
    from countermark.provenance.repository.glance import own_repository_is_empty

    if verification is None or not wanted(verification):
        return []
    if repository is None and own_repository_is_empty():
        return []
    try:
        frames = [shrunk(middle_frame(path, limits))]
    except CountermarkError:
        return []  # what is wrong with the clip is said where its frames are looked at
    verification = replace(verification, mark=_reading(mark))
    return recovery_evidence(recovered(verification, path, frames, repository=repository, limits=limits))


def _reading(mark: ClipReading | None) -> MarkReading | None:
    """The mark, where it is one beyond chance."""
    found = None if mark is None else mark.reading
    if found is None or found.payload is None or found.p_value > MAX_CHANCE_MATCH:
        return None
    return MarkReading(found.payload.hex(), float(found.p_value), str(found.scheme), {})
