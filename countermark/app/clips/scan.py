"""Scans one clip: what its file declares, what its frames show, one verdict and a timeline.

>>> scan_clip("clip.mp4", model, model.thresholds(0.01)).clip.timeline      # doctest: +SKIP
(Moment(time=0.94, score=0.12, scene=False, mark=False, faces=()), …)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from countermark.app.clips.gather import credential_of, metadata_of, note_evidence
from countermark.app.clips.looking import Seen, look
from countermark.app.clips.marks import mark_evidence
from countermark.app.clips.recovering import recovery_of
from countermark.app.clips.rule import RULE, frames_evidence, judged, part_evidence, pooled, stretches
from countermark.app.clips.strongest import KEPT
from countermark.app.clips.swaps import face_look, likely_tracks, swap_evidence
from countermark.app.rooms import Detector
from countermark.app.scan.gather import MARK_SECONDS
from countermark.app.scan.judging import MIN_SIDE, STRESS, named
from countermark.app.scan.verdict import declared, ordered, under_stress
from countermark.core.files import sha256_file
from countermark.core.images import Pixels
from countermark.core.results import Clip, Evidence, Failure, ScanResult, Strength, Verdict
from countermark.core.video.reader import open_clip
from countermark.core.video.records import ClipFacts
from countermark.core.video.sampling import DEFAULT_CLIP_LIMITS, ClipLimits, Sampling

if TYPE_CHECKING:
    from countermark.detectors.scoring.thresholds import Thresholds
    from countermark.provenance.repository import Repository

LOG = logging.getLogger(__name__)
#: Evenly spaced frames in which faces are looked for; with ``every``, in all.
FACE_FRAMES = 16


@dataclass(frozen=True)
class ClipSettings:
    """How clips are scanned.

    Attributes:
        sampling: Which frames are looked at.
        limits: Bounds of a file and of its decoding.
        marks: Look for watermarks.
        mark_seconds: Processor seconds a clip for marks whose geometry was changed; 0: none.
        stress: Score every frame under delivery conditions too.
        second: Another detector, listed and never deciding.
        faces: Follow faces through time.
        judge_faces: Ask of the largest ones whether they were put in.
        recover: Look up a clip without a credential that holds in the records of what was signed.
        repository: Where to look; None for the user's own.
        on_frame: Called with the path, the seconds that are done and all of them.
        keep_frames: Frames that ``on_strongest`` is given at most.
        on_strongest: Called with the path, time and pixels of the frames with the highest scores.
        on_faces: Called with the path, and JPEG and caption of judged faces, the highest score first.
    """

    sampling: Sampling = field(default_factory=Sampling)
    limits: ClipLimits = DEFAULT_CLIP_LIMITS
    marks: bool = True
    mark_seconds: float = MARK_SECONDS
    stress: bool = False
    second: Detector | None = None
    faces: bool = True
    judge_faces: bool = False
    recover: bool = True
    repository: Repository | None = None
    on_frame: Callable[[str, float, float], None] = lambda path, done, total: None
    keep_frames: int = KEPT
    on_strongest: Callable[[str, float, Pixels], None] | None = None
    on_faces: Callable[[str, tuple[tuple[bytes, str], ...]], None] | None = None


DEFAULT_SETTINGS = ClipSettings()


def scan_clip(
    path: str,
    model: Detector,
    bounds: Thresholds,
    settings: ClipSettings = DEFAULT_SETTINGS,
    *,
    evidence: Sequence[Evidence] | None = None,
    second_likely: float | None = None,
) -> tuple[ScanResult, Pixels | None]:
    """Scans a clip or an animated picture.

    Args:
        model, bounds: The detector and its thresholds.
        evidence: What the file declares, where it was gathered already (animated pictures).
        second_likely: Threshold of ``settings.second``.

    Returns:
        The result, and its frame with the highest score.

    Raises:
        ClipError: nothing of it can be looked at.
        MissingExtraError: PyAV is not installed.
    """
    limits = settings.limits
    verification = None
    if evidence is None:
        verification, found = credential_of(path, limits)
    else:
        found = list(evidence)
    digest = sha256_file(path)
    finder = face_look(judge=settings.judge_faces) if settings.faces else None
    with open_clip(path, settings.sampling, limits) as clip:
        if evidence is None:
            found += metadata_of(path, clip.texts, limits)
        seen = look(
            clip,
            model,
            marks=settings.marks,
            search_seconds=settings.mark_seconds,
            stress=STRESS if settings.stress else {},
            second=settings.second,
            find_faces=finder,
            face_step=max(1, settings.sampling.count // FACE_FRAMES)
            if settings.sampling.every is None
            else 1,
            seed=digest,
            most=settings.keep_frames,
            on_frame=lambda time: settings.on_frame(path, time, clip.facts.seconds),
        )
        facts, stopped = clip.facts, clip.trouble
    found += note_evidence(facts.notes)
    if stopped is not None:
        sentence = f"Decoding ended early; what came before was looked at. {stopped}"
        found.append(Evidence("file", "neither", Strength.WEAK, sentence, {"error": stopped.code}))
    if seen.mark is not None:
        found += mark_evidence(seen.mark, seen.public, seen.public_frames)
    if settings.recover:
        found += recovery_of(path, verification, seen.mark, repository=settings.repository, limits=limits)
    threshold = None if finder is None else finder.threshold
    if threshold is not None:
        swapped = swap_evidence(seen.tracks.summary(), threshold)
        found += [] if swapped is None else [swapped]
    result = _result(path, digest, facts, seen, found, model, bounds, "" if stopped is None else str(stopped))
    if settings.second is not None and seen.second and second_likely is not None:
        result = _with_second(result, settings.second, pooled(seen.second), second_likely)
    if settings.on_strongest is not None:
        for time, pixels in seen.strongest.frames():
            settings.on_strongest(path, time, pixels)
    if settings.on_faces is not None and threshold is not None:
        settings.on_faces(path, seen.crops.shown(likely_tracks(seen.tracks.summary(), threshold)))
    return result, seen.strongest.best


def frame_name(path: str, time: float) -> str:
    """What a frame's picture is called in reports: the file, and the time as W3C's Media Fragments have it.

    >>> frame_name("clip.mp4", 1.5)
    'clip.mp4#t=1.5'
    """
    return f"{path}#t={time:g}"


def _result(
    path: str,
    digest: str,
    facts: ClipFacts,
    seen: Seen,
    evidence: list[Evidence],
    model: Detector,
    bounds: Thresholds,
    stopped: str,
) -> ScanResult:
    verdict, score, error = declared(evidence), None, None
    likely, unsure = float(bounds.likely), float(bounds.unsure)
    scored = [(each.time, each.score) for each in seen.moments if each.score is not None]
    parts: list[tuple[float, float]] = []
    if scored:
        score = pooled([value for _, value in scored])
        parts = stretches(scored, likely)
        guess = judged(score, parts, likely, unsure)
        evidence.append(frames_evidence(scored, score, guess, model.name, likely, unsure))
        if score < likely:
            evidence += [part_evidence(part, likely) for part in parts[:16]]
        if seen.stressed:
            guess = _stressed(seen, guess, evidence, likely, unsure)
        verdict = verdict or guess
    else:
        reason = (
            f"Its frames ({facts.width} x {facts.height} pixels) are too small for the detector "
            f"({MIN_SIDE} a side)."
            if seen.too_small
            else "The detector could not score any of its frames."
        )
        evidence.append(Evidence("detector", "neither", Strength.WEAK, reason, {"skipped": True}))
        if verdict is None:
            code = "image.too-small" if seen.too_small else "detector.failed"
            error = Failure(code, reason, "Use the original, larger file.")
    marked = seen.mark.spans if seen.mark is not None and seen.mark else ()
    clip = Clip(
        seconds=round(facts.seconds, 3),
        container=facts.container,
        codec=facts.codec,
        rate=facts.rate,
        timeline=tuple(seen.moments),
        strongest=seen.strongest.times(),
        parts=(
            *({"start": start, "end": end, "what": "score"} for start, end in parts),
            *({"start": each.start, "end": each.end, "what": "mark"} for each in marked),
        ),
        faces=seen.tracks.summary(),
        rule=RULE,
        stopped=stopped,
    )
    return ScanResult(
        path=path,
        sha256=digest,
        verdict=verdict,
        score=score,
        evidence=_deciding_first(ordered(evidence, verdict), verdict, score, unsure),
        error=error,
        width=facts.width,
        height=facts.height,
        format=facts.container,
        thresholds={"likely": likely, "unsure": unsure},
        detector=named(model),
        clip=clip,
    )


def _deciding_first(
    evidence: tuple[Evidence, ...], verdict: Verdict | None, score: float | None, unsure: float
) -> tuple[Evidence, ...]:
    """A stretch that made the clip ``unsure`` stands before the score, which alone would not have."""
    if verdict is not Verdict.UNSURE or score is None or score >= unsure:
        return evidence
    return tuple(sorted(evidence, key=lambda each: each.kind != "frames"))


def _stressed(seen: Seen, guess: Verdict, evidence: list[Evidence], likely: float, unsure: float) -> Verdict:
    """The verdict after its frames were altered too, with the evidence for it."""
    scores = {name: pooled(values) for name, values in seen.stressed.items() if values}
    verdicts = {name: judged(score, (), likely, unsure) for name, score in scores.items()}
    held = under_stress(guess, verdicts)
    listed = ", ".join(f"{name} {value:.2f}" for name, value in scores.items())
    tail = "holds" if held is guess else "does not hold, so it counts as unsure"
    detail = {"scores": scores, "verdicts": {n: v.value for n, v in verdicts.items()}, "holds": held is guess}
    sentence = f"Under stress ({listed}) the verdict {tail}."
    evidence.append(Evidence("stress", "neither", Strength.WEAK, sentence, detail))
    return held


def _with_second(result: ScanResult, other: Detector, score: float, likely: float) -> ScanResult:
    high = score >= likely
    sentence = (
        f"Second opinion, {other.name!r}: {score:.2f} over all frames, "
        f"{'at or above' if high else 'below'} its threshold of {likely:.2f}. It does not decide."
    )
    detail = {"score": score, "likely": likely, "detector": other.name, "second": True}
    opinion = Evidence("detector", "synthetic" if high else "neither", Strength.WEAK, sentence, detail)
    return replace(result, evidence=(*result.evidence, opinion))
