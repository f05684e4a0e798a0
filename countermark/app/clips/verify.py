"""Verifies one clip: its credential, and where that was stripped, the mark in its frames and its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from countermark.app.clips.strongest import shrunk
from countermark.app.recovery import notice, recover_credential, wanted
from countermark.app.scan.gather import MARK_SECONDS, MAX_CHANCE_MATCH
from countermark.core.errors import CountermarkError
from countermark.core.images import Pixels
from countermark.core.results import MarkReading, Problem, Verification, VerificationState
from countermark.core.video.reader import open_clip
from countermark.core.video.sampling import DEFAULT_CLIP_LIMITS, ClipLimits, Sampling

if TYPE_CHECKING:
    from countermark.provenance.identities.trust import Trust
    from countermark.provenance.repository import Repository

#: Frames that are read: an odd number, so that the middle one, whose looks a record keeps, is among them.
FRAMES = 17
#: Further frames in which the mark is looked for, at key frames where there are some.
MORE = 32


def verify_moving(
    path: Path | str,
    *,
    trust: Trust | Sequence[Trust] | None = None,
    recover: bool = True,
    repository: Repository | None = None,
    digest: bool = False,
    limits: ClipLimits = DEFAULT_CLIP_LIMITS,
) -> Verification:
    """Verifies a clip; see ``countermark.app.verify.verify`` for the arguments.

    Raises:
        ClipError: the file cannot be read.
        ProvenanceError: the trust list cannot be read.
    """
    from countermark.provenance.credentials.clips import verify_clip

    result = verify_clip(path, trust=trust, digest=digest, limits=limits)
    if not (recover and wanted(result)):
        return result
    try:
        reading, frames = _read(path, limits)
    except CountermarkError as error:
        return replace(result, problems=(*result.problems, notice("recovery.unreadable", str(error))))
    return recovered(
        replace(result, mark=reading), path, frames, repository=repository, trust=trust, limits=limits
    )


def recovered(
    result: Verification,
    path: Path | str,
    frames: Sequence[Pixels],
    *,
    repository: Repository | None = None,
    trust: Trust | Sequence[Trust] | None = None,
    limits: ClipLimits = DEFAULT_CLIP_LIMITS,
) -> Verification:
    """The verification with what the repository knows of the clip; its ``mark``, if one was read, leads to
    the record, else the looks of ``frames`` do, one after another."""
    check = partial(_check, path, trust, limits)
    found = result
    notes: list[Problem] = []
    for pixels in frames:
        found = recover_credential(result, pixels, b"", repository=repository, trust=trust, check=check)
        if found.state is VerificationState.RECOVERED:
            return found
        known = any(each.code == "recovery.found" for each in found.problems)
        notes = [each for each in found.problems if each not in result.problems and each not in notes]
        if known:
            break
    # Of the frames that led nowhere the last one speaks for all: notes of each would repeat themselves.
    return replace(found, problems=(*result.problems, *notes))


def _read(path: Path | str, limits: ClipLimits) -> tuple[MarkReading | None, list[Pixels]]:
    """The mark that the frames show together, and the frames, small, the middle one first."""
    from countermark.provenance.watermark.pooling import FramePool

    pool, frames, times = FramePool(), [], []
    with open_clip(path, Sampling(FRAMES, scenes=0.0, snap=False), limits) as clip:
        for frame in clip:
            pool.add(frame.pixels, frame.time)
            frames.append(shrunk(frame.pixels))
            times.append(frame.time)
        middle = clip.facts.seconds / 2
    order = sorted(range(len(frames)), key=lambda number: abs(times[number] - middle))
    with open_clip(path, Sampling(MORE, scenes=0.0), limits) as clip:  # key frames keep a mark best
        for frame in clip:
            pool.add(frame.pixels, frame.time)
    found = pool.finish(search_seconds=MARK_SECONDS).reading
    believed = found.payload is not None and found.p_value <= MAX_CHANCE_MATCH
    payload = found.payload.hex() if believed and found.payload is not None else None
    reading = MarkReading(payload, float(found.p_value), str(found.scheme), {"frames": pool.frames})
    return reading, [frames[number] for number in order]


def _check(
    path: Path | str, trust: Trust | Sequence[Trust] | None, limits: ClipLimits, manifest: bytes
) -> Verification:
    from countermark.provenance.credentials.clips import verify_clip

    return verify_clip(path, trust=trust, manifest=manifest, limits=limits)
