"""Looks at the frames of one open clip: scores, marks, faces; nothing is kept but what a report shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from countermark.app.clips.faces import SeenFace, Tracks
from countermark.app.clips.marks import PUBLIC_FRAMES
from countermark.app.clips.strongest import Strongest
from countermark.app.clips.swaps import Crops
from countermark.app.rooms import Detector
from countermark.app.scan.judging import MIN_SIDE, scores_of
from countermark.core.images import Pixels
from countermark.core.perturb import perturb
from countermark.core.results import Moment
from countermark.core.seeds import rng
from countermark.core.video.records import Frame
from countermark.provenance.watermark.pooling import ClipReading, FramePool
from countermark.provenance.watermark.public_marks import MAX_P, KnownMark

#: Frames that are scored together, and pixels of them, from which they are: each is held until then.
BATCH, BATCH_PIXELS = 4, 6_500_000

FindFaces = Callable[[Pixels], Sequence[SeenFace]]


@dataclass
class Seen:
    """What was seen in the frames.

    Attributes:
        moments: Every frame, in order.
        stressed: Scores under each delivery condition, by its name.
        second: Scores of the other detector, where one was asked.
        mark: Our own mark over all frames; None when it was not looked for.
        public: A publicly known mark, and in how many frames it was found.
        tracks: Faces through time.
        crops: Of each track, the face that looks most put in.
        strongest: The frames that a report shows.
    """

    moments: list[Moment] = field(default_factory=list)
    stressed: dict[str, list[float]] = field(default_factory=dict)
    second: list[float] = field(default_factory=list)
    mark: ClipReading | None = None
    public: KnownMark | None = None
    public_frames: int = 0
    tracks: Tracks = field(default_factory=Tracks)
    crops: Crops = field(default_factory=Crops)
    strongest: Strongest = field(default_factory=Strongest)
    too_small: bool = False


def look(
    frames: Iterable[Frame],
    model: Detector,
    *,
    marks: bool,
    search_seconds: float,
    stress: dict[str, str],
    second: Detector | None,
    find_faces: FindFaces | None,
    face_step: int = 1,
    seed: str,
    most: int,
    on_frame: Callable[[float], None],
) -> Seen:
    """Looks at frames as they come.

    Args:
        stress: Deliveries by name under which frames are scored again.
        find_faces: Finds, and judges, the faces of a frame; None looks for none.
        face_step: Faces, which cost a tenth of a second a frame and more, are looked for in each frame of
            so many.
        search_seconds: Processor seconds for a mark whose geometry was changed.
        seed: What makes the noise of ``stress`` repeatable, such as the file's digest.
        most: Frames that are kept for a report.
        on_frame: Called with the time of every frame that is done.
    """
    seen = Seen(strongest=Strongest(most))
    pool = FramePool() if marks else None
    held: list[Frame] = []

    def close() -> None:
        _score(held, seen, model, stress, second, seed)
        for frame in held:
            on_frame(frame.time)
        held.clear()

    for number, frame in enumerate(frames):
        alone = False
        if pool is not None:
            alone = pool.add(frame.pixels, frame.time)
            if number < PUBLIC_FRAMES:
                _public(frame.pixels, seen)
        faces: tuple[dict[str, Any], ...] = ()
        if find_faces is not None and number % face_step == 0:
            faces = seen.tracks.add(frame.time, find_faces(frame.pixels))
            seen.crops.offer(frame.time, faces, frame.pixels)
        seen.moments.append(Moment(round(frame.time, 3), None, frame.scene, alone, faces))
        held.append(frame)
        if len(held) == BATCH or sum(each.pixels.size for each in held) >= 3 * BATCH_PIXELS:
            close()
    close()
    if pool is not None:
        seen.mark = pool.finish(search_seconds=search_seconds)
    return seen


def _public(pixels: Pixels, seen: Seen) -> None:
    """A publicly known mark, its chance corrected for all frames that are looked at."""
    from countermark.provenance import watermark

    found = watermark.read_public(pixels)
    if not found or found[0].p_value * PUBLIC_FRAMES > MAX_P:
        return
    seen.public_frames += 1
    chance = min(1.0, found[0].p_value * PUBLIC_FRAMES)
    if seen.public is None or chance < seen.public.p_value:
        seen.public = replace(found[0], p_value=chance)


def _score(
    held: list[Frame],
    seen: Seen,
    model: Detector,
    stress: dict[str, str],
    second: Detector | None,
    seed: str,
) -> None:
    first = len(seen.moments) - len(held)
    large = [number for number, frame in enumerate(held) if min(frame.pixels.shape[:2]) >= MIN_SIDE]
    seen.too_small = seen.too_small or len(large) < len(held)
    pictures = [held[number].pixels for number in large]
    scores = scores_of(model, pictures)
    for number, score in zip(large, scores, strict=True):
        seen.moments[first + number] = replace(seen.moments[first + number], score=score)
    for number, frame in enumerate(held):
        seen.strongest.offer(round(frame.time, 3), seen.moments[first + number].score, frame.pixels)
    for name, spec in stress.items():
        altered = [
            perturb(spec, picture, rng(0, name, seed, first + n))
            for n, picture in zip(large, pictures, strict=True)
        ]
        seen.stressed.setdefault(name, []).extend(s for s in scores_of(model, altered) if s is not None)
    if second is not None:
        seen.second += [s for s in scores_of(second, pictures) if s is not None]
