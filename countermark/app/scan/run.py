"""Scan: which of these images are synthetic, why, and how sure.

>>> import countermark as cm                                    # doctest: +SKIP
>>> for result in cm.scan(["a.jpg", "folder"]):                 # doctest: +SKIP
...     print(result.path, result.verdict, result.score)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from countermark.app.clips.door import ClipDoor, Moving
from countermark.app.clips.scan import DEFAULT_SETTINGS, ClipSettings
from countermark.app.rooms import Detector
from countermark.app.scan.gather import MARK_SECONDS, Gathered, gather
from countermark.app.scan.recovering import with_recovery
from countermark.app.scan.verdict import declared, estimated, ordered, score_evidence, under_stress
from countermark.core.errors import CountermarkError, ImageError
from countermark.core.images import DEFAULT_LIMITS, EXTENSIONS, Limits, Pixels, iter_image_paths
from countermark.core.perturb import DELIVERIES, perturb
from countermark.core.results import Evidence, Failure, ScanResult, Strength, Verdict
from countermark.core.seeds import rng
from countermark.core.video.containers import EXTENSIONS as CLIP_EXTENSIONS

LOG = logging.getLogger(__name__)

if TYPE_CHECKING:
    from countermark.detectors.scoring.thresholds import Thresholds
    from countermark.provenance.repository import Repository

#: Images with a shorter side than this are not scored: there is not enough to look at.
MIN_SIDE = 32
CHUNK = 16
STRESS = {name: spec for name, spec in DELIVERIES.items() if name != "native"}

Watcher = Callable[[ScanResult, Pixels | None], None]


def scan(
    path_or_paths: Path | str | Iterable[Path | str],
    *,
    max_fpr: float = 0.01,
    stress: bool = False,
    detector: str | Detector = "default",
    limits: Limits = DEFAULT_LIMITS,
    marks: bool = True,
    mark_seconds: float = MARK_SECONDS,
    second: str | Detector | None = None,
    workers: int = 2,
    clips: ClipSettings = DEFAULT_SETTINGS,
    recover: bool = True,
    repository: Repository | None = None,
) -> list[ScanResult]:
    """Scans files and folders, in order; see ``scan_stream`` for the arguments."""
    sources = [path_or_paths] if isinstance(path_or_paths, Path | str) else path_or_paths
    return list(
        scan_stream(
            sources,
            max_fpr=max_fpr,
            stress=stress,
            detector=detector,
            limits=limits,
            marks=marks,
            mark_seconds=mark_seconds,
            second=second,
            workers=workers,
            clips=clips,
            recover=recover,
            repository=repository,
        )
    )


def scan_stream(
    sources: Iterable[Path | str],
    *,
    max_fpr: float = 0.01,
    stress: bool = False,
    detector: str | Detector = "default",
    limits: Limits = DEFAULT_LIMITS,
    marks: bool = True,
    mark_seconds: float = MARK_SECONDS,
    second: str | Detector | None = None,
    workers: int = 2,
    watch: Watcher | None = None,
    clips: ClipSettings = DEFAULT_SETTINGS,
    recover: bool = True,
    repository: Repository | None = None,
) -> Iterator[ScanResult]:
    """Yields one result a file, in order, holding only a few images in memory.

    Args:
        sources: Files and folders (walked, by extension of images and clips).
        max_fpr: Share of photographs that may be called ``likely-synthetic``, as measured on the
            detector's calibration photographs; in (0, 0.5].
        stress: Score every image again as JPEG q96, at 320 px q90 and as JPEG q75, and say
            ``unsure`` when the verdict does not hold.
        detector: Name of a shipped detector, path of weights, or an object with its methods.
        limits: Bounds of the image gate.
        marks: Look for watermarks.
        mark_seconds: Seconds an image that the search for changed geometries may take; 0 skips it.
        second: Another detector, such as ``one-class``: listed as weak evidence, never decides.
        workers: Threads that read, decode and check credentials.
        watch: Called with every result and its pixels (None if unreadable), for thumbnails; of a clip,
            those of the frame with the highest score.
        clips: How clips and animated pictures are scanned; ``marks``, ``mark_seconds``, ``stress`` and
            ``second`` hold for them too.

        recover: Look up pictures without a credential in the records of what was signed.
        repository: Where to look; None for the user's own.

    A file that cannot be read becomes a result with ``error``; the others are still scanned.
    """
    from countermark.detectors import load_detector

    model: Detector = load_detector(detector) if isinstance(detector, str) else detector
    bounds = model.thresholds(max_fpr)
    if bounds.note:
        LOG.warning("%s", bounds.note)
    LOG.info("Detector %s: likely from %.3f, unsure from %.3f", model.name, bounds.likely, bounds.unsure)
    other: Detector | None = load_detector(second) if isinstance(second, str) else second

    told = replace(clips, marks=marks, mark_seconds=mark_seconds, stress=stress, second=other)
    door = ClipDoor(model, bounds, told, max_fpr=max_fpr)

    def read(path: Path) -> Gathered | ScanResult | Moving:
        try:
            clip = door.waiting(path)
            if clip is not None:
                return clip
            gathered = gather(str(path), limits=limits, marks=marks, mark_seconds=mark_seconds)
            if recover:
                gathered = with_recovery(gathered, repository, limits=limits)
            return door.animated(gathered) or gathered
        except CountermarkError as error:
            return failed(str(path), error)
        except (MemoryError, OSError, ValueError, RuntimeError) as error:
            LOG.debug("%s could not be examined", path, exc_info=True)
            reason = f"{path} could not be examined ({type(error).__name__})."
            return failed(str(path), ImageError(reason, code="image.unreadable"))

    files = iter_image_paths(sources, extensions=EXTENSIONS | CLIP_EXTENSIONS)
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        upcoming = pool.map(read, islice(files, CHUNK))
        while chunk := list(upcoming):
            upcoming = pool.map(read, islice(files, CHUNK))  # decoded while this chunk is scored
            still = [item for item in chunk if not isinstance(item, Moving)]
            results = _judge(still, model, bounds, stress)
            if other is not None:
                results = _ask_second(still, results, other, max_fpr)
            judged = iter(results)
            for item in chunk:
                if isinstance(item, Moving):
                    result, pixels = door.scan(item)
                    result = replace(result, detector=named(model)) if result.detector else result
                else:
                    result = next(judged)
                    pixels = item.image.pixels if isinstance(item, Gathered) else None
                if watch is not None:
                    watch(result, pixels)
                LOG.debug("%s: %s", result.path, result.verdict or (result.error and result.error.code))
                yield result


def named(model: Detector) -> dict[str, str]:
    """What reports call a detector by: its name, the digest of its weights, and that of its card."""
    return {
        "name": model.name,
        "sha256": str(getattr(model.card, "sha256", "")),
        "card": str(getattr(model.card, "digest", "")),
    }


def failed(path: str, error: CountermarkError) -> ScanResult:
    """The row of a file that could not be scanned."""
    return ScanResult(path, None, None, None, error=Failure(error.code, error.message, error.hint))


def _judge(
    chunk: Sequence[Gathered | ScanResult], model: Detector, bounds: Thresholds, stress: bool
) -> list[ScanResult]:
    ready = [g for g in chunk if isinstance(g, Gathered) and min(g.image.pixels.shape[:2]) >= MIN_SIDE]
    scores = _scores(model, [g.image.pixels for g in ready])
    stressed: dict[str, list[float | None]] = {}
    if stress and ready:
        for name, spec in STRESS.items():
            pictures = [perturb(spec, g.image.pixels, rng(0, name, g.image.sha256)) for g in ready]
            stressed[name] = _scores(model, pictures)
    by_identity = {id(g): number for number, g in enumerate(ready)}
    results = []
    for item in chunk:
        if isinstance(item, ScanResult):
            results.append(item)
            continue
        number = by_identity.get(id(item))
        score = None if number is None else scores[number]
        under = {name: values[number] for name, values in stressed.items()} if number is not None else {}
        results.append(_result(item, score, under, model, bounds))
    return results


def _ask_second(
    chunk: Sequence[Gathered | ScanResult], results: list[ScanResult], other: Detector, max_fpr: float
) -> list[ScanResult]:
    """The results with the second detector's opinion listed; verdicts and scores stay as they are."""
    ready = [g for g in chunk if isinstance(g, Gathered) and min(g.image.pixels.shape[:2]) >= MIN_SIDE]
    found = dict(zip(map(id, ready), _scores(other, [g.image.pixels for g in ready]), strict=True))
    likely = float(other.thresholds(max_fpr).likely)
    listed = []
    for item, result in zip(chunk, results, strict=True):
        score = found.get(id(item))
        if score is None:
            listed.append(result)
            continue
        high = score >= likely
        side = "at or above" if high else "below"
        sentence = (
            f"Second opinion, {other.name!r}: {score:.2f}, {side} its threshold of {likely:.2f}. "
            "It does not decide."
        )
        detail = {"score": score, "likely": likely, "detector": other.name, "second": True}
        opinion = Evidence("detector", "synthetic" if high else "neither", Strength.WEAK, sentence, detail)
        listed.append(replace(result, evidence=(*result.evidence, opinion)))
    return listed


def _scores(model: Detector, images: list[Pixels]) -> list[float | None]:
    """Scores of a batch; an image that the detector refuses gets None, the others their score."""
    if not images:
        return []
    try:
        return [float(s) for s in model.score(images)]
    except CountermarkError:
        if len(images) == 1:
            return [None]
        return [_scores(model, [image])[0] for image in images]


def _result(
    item: Gathered, score: float | None, under: dict[str, float | None], model: Detector, bounds: Thresholds
) -> ScanResult:
    evidence = list(item.evidence)
    verdict = declared(evidence)
    image = item.image
    error = None
    if score is None:
        reason = (
            f"{image.width} x {image.height} pixels are too few for the detector ({MIN_SIDE} a side)."
            if min(image.width, image.height) < MIN_SIDE
            else "The detector could not score this image."
        )
        if verdict is None:
            code = "image.too-small" if min(image.width, image.height) < MIN_SIDE else "detector.failed"
            error = Failure(code, reason, "Use the original, larger file.")
        evidence.append(Evidence("detector", "neither", Strength.WEAK, reason, {"skipped": True}))
    else:
        guess = estimated(score, bounds.likely, bounds.unsure)
        evidence.append(score_evidence(score, guess, model.name, bounds.likely, bounds.unsure))
        if under:
            verdicts = {
                n: estimated(s, bounds.likely, bounds.unsure) for n, s in under.items() if s is not None
            }
            held = under_stress(guess, verdicts)
            evidence.append(_stress_evidence(guess, held, under, verdicts))
            guess = held
        verdict = verdict or guess
    return ScanResult(
        path=item.path,
        sha256=image.sha256,
        verdict=verdict,
        score=score,
        evidence=ordered(evidence, verdict),
        error=error,
        width=image.width,
        height=image.height,
        format=image.format,
        thresholds={"likely": float(bounds.likely), "unsure": float(bounds.unsure)},
        detector=named(model),
    )


def _stress_evidence(
    guess: Verdict, held: Verdict, scores: dict[str, float | None], verdicts: dict[str, Verdict]
) -> Evidence:
    listed = ", ".join(f"{name} {value:.2f}" for name, value in scores.items() if value is not None)
    sentence = (
        f"Under stress ({listed}) the verdict holds."
        if held is guess
        else f"Under stress ({listed}) the verdict does not hold, so it counts as unsure."
    )
    named = {name: v.value for name, v in verdicts.items()}
    detail = {"scores": scores, "verdicts": named, "holds": held is guess}
    return Evidence("stress", "neither", Strength.WEAK, sentence, detail)
