"""From scores to results: what the detector says of gathered pictures, and the verdict that follows.

A result carries every reason; the rules stand in ``verdict``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from countermark.app.rooms import Detector
from countermark.app.scan.gather import Gathered
from countermark.app.scan.verdict import declared, estimated, ordered, score_evidence, under_stress
from countermark.core.errors import CountermarkError
from countermark.core.images import Pixels
from countermark.core.perturb import DELIVERIES, perturb
from countermark.core.results import Evidence, Failure, ScanResult, Strength, Verdict
from countermark.core.seeds import rng

if TYPE_CHECKING:
    from countermark.detectors.scoring.thresholds import Thresholds

#: Images with a shorter side than this are not scored: there is not enough to look at.
MIN_SIDE = 32
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
    ready = [g for g in chunk if isinstance(g, Gathered) and min(g.image.pixels.shape[:2]) >= MIN_SIDE]
    scores = scores_of(model, [g.image.pixels for g in ready])
    stressed: dict[str, list[float | None]] = {}
    if stress and ready:
        for name, spec in STRESS.items():
            pictures = [perturb(spec, g.image.pixels, rng(0, name, g.image.sha256)) for g in ready]
            stressed[name] = scores_of(model, pictures)
    by_identity = {id(g): number for number, g in enumerate(ready)}
    results = []
    for item in chunk:
        if isinstance(item, ScanResult):
            results.append(item)
            continue
        number = by_identity.get(id(item))
        score = None if number is None else scores[number]
        under = {name: values[number] for name, values in stressed.items()} if number is not None else {}
        results.append(settle(item, score, under, model, bounds))
    return results


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


def settle(
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
