"""From scores to results: what the detector says of gathered pictures, and the verdict that follows.

A result carries every reason; the rules stand in ``verdict``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from countermark.app.rooms import Detector, Examines
from countermark.app.scan.gather import Gathered
from countermark.app.scan.verdict import declared, estimated, ordered, score_evidence, under_stress
from countermark.core.errors import CountermarkError
from countermark.core.images import LoadedImage, Pixels
from countermark.core.perturb import DELIVERIES, perturb
from countermark.core.results import Evidence, Failure, ScanResult, Strength, Verdict
from countermark.core.seeds import rng

if TYPE_CHECKING:
    from countermark.detectors.content.estimate import Kind
    from countermark.detectors.scoring.thresholds import Thresholds

#: Images with a shorter side than this are not scored: there is not enough to look at.
MIN_SIDE = 32
#: A kind is named from this probability on.
SURE_OF_KIND = 0.8
STRESS = {name: spec for name, spec in DELIVERIES.items() if name != "native"}


def named(model: Detector) -> dict[str, str]:
    """What reports call a detector by: its name, the digest of its weights, and that of its card."""
    return {
        "name": model.name,
        "sha256": str(getattr(model.card, "sha256", "")),
        "card": str(getattr(model.card, "digest", "")),
    }


def judge(
    chunk: Sequence[Gathered | ScanResult], model: Detector, bounds: Thresholds, stress: bool
) -> list[ScanResult]:
    """A result for each picture of a chunk, in order; those that failed already stay as they are."""
    gathered = [item for item in chunk if isinstance(item, Gathered)]
    scored = iter(scores_under(model, [item.image for item in gathered], stress))
    return [
        item if isinstance(item, ScanResult) else settle(item, next(scored), model, bounds) for item in chunk
    ]


@dataclass(frozen=True)
class Scored:
    """What the detector says of one picture.

    Attributes:
        score: Calibrated P(synthetic); None for a picture that is too small or was refused.
        kind: What kind of picture it looks like, where the detector tells.
        under: With stress, the score under each delivery.
    """

    score: float | None
    kind: Kind | None = None
    under: Mapping[str, float | None] = field(default_factory=dict)


def scores_under(model: Detector, images: Sequence[LoadedImage], stress: bool) -> list[Scored]:
    """For every image: its score and kind; with ``stress`` the score of each delivery."""
    large = [number for number, image in enumerate(images) if min(image.pixels.shape[:2]) >= MIN_SIDE]
    own = dict(zip(large, _examined(model, [images[number].pixels for number in large]), strict=True))
    under: dict[int, dict[str, float | None]] = {number: {} for number in range(len(images))}
    for name, spec in STRESS.items() if stress and large else ():
        changed = [perturb(spec, images[n].pixels, rng(0, name, images[n].sha256)) for n in large]
        for number, score in zip(large, scores_of(model, changed), strict=True):
            under[number][name] = score
    return [replace(own.get(number, Scored(None)), under=under[number]) for number in range(len(images))]


def _examined(model: Detector, images: list[Pixels]) -> list[Scored]:
    """Scores and kinds of a batch; an image that the detector refuses gets None."""
    if not isinstance(model, Examines):
        return [Scored(score) for score in scores_of(model, images)]
    if not images:
        return []
    try:
        scores, kinds = model.examine(images)
    except CountermarkError:
        if len(images) == 1:
            return [Scored(None)]
        return [_examined(model, [image])[0] for image in images]
    return [Scored(float(score), kind) for score, kind in zip(scores, kinds, strict=True)]


def ask_second(
    chunk: Sequence[Gathered | ScanResult], results: list[ScanResult], other: Detector, max_fpr: float
) -> list[ScanResult]:
    """The results with the second detector's opinion listed; verdicts and scores stay as they are."""
    ready = [g for g in chunk if isinstance(g, Gathered) and min(g.image.pixels.shape[:2]) >= MIN_SIDE]
    found = dict(zip(map(id, ready), scores_of(other, [g.image.pixels for g in ready]), strict=True))
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


def scores_of(model: Detector, images: list[Pixels]) -> list[float | None]:
    """Scores of a batch; an image that the detector refuses gets None, the others their score."""
    if not images:
        return []
    try:
        return [float(s) for s in model.score(images)]
    except CountermarkError:
        if len(images) == 1:
            return [None]
        return [scores_of(model, [image])[0] for image in images]


def settle(item: Gathered, scored: Scored, model: Detector, bounds: Thresholds) -> ScanResult:
    """The result of one picture: its declarations, what the detector says, and the verdict of both."""
    score, under = scored.score, scored.under
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
        told = score_evidence(score, guess, model.name, bounds.likely, bounds.unsure)
        evidence.append(_with_kind(told, scored, model) if isinstance(model, Examines) else told)
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


def _with_kind(told: Evidence, scored: Scored, model: Examines) -> Evidence:
    """The score's evidence with the kind of picture, and how many real ones of that kind score as high."""
    kind = scored.kind
    if kind is None or scored.score is None or kind.probability < SURE_OF_KIND:
        return told
    detail = {**told.detail, "kind": kind.name, "kind_probability": round(kind.probability, 4)}
    share = model.share_of_real(scored.score, kind.name)
    if share is None:
        return replace(told, detail=detail)
    detail["share_of_real"] = {"value": share.value, "low": share.low, "high": share.high, "n": share.n}
    amount = "none" if share.value == 0 else f"{100 * share.value:.2g} %"
    said = f"Of {share.n:,} real pictures of its kind ({kind.name}), {amount} score as high."
    sentence = f"{told.sentence} {said}"
    return replace(told, detail=detail, sentence=sentence)


def _stress_evidence(
    guess: Verdict, held: Verdict, scores: Mapping[str, float | None], verdicts: dict[str, Verdict]
) -> Evidence:
    listed = ", ".join(f"{name} {value:.2f}" for name, value in scores.items() if value is not None)
    sentence = (
        f"Under stress ({listed}) the verdict holds."
        if held is guess
        else f"Under stress ({listed}) the verdict does not hold, so it counts as unsure."
    )
    named = {name: v.value for name, v in verdicts.items()}
    detail = {"scores": dict(scores), "verdicts": named, "holds": held is guess}
    return Evidence("stress", "neither", Strength.WEAK, sentence, detail)
