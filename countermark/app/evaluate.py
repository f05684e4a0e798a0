"""Evaluate: a detector on a labelled corpus, as a report document.

>>> document = evaluate_detector("default", "corpus/")       # doctest: +SKIP
>>> document["schema"]                                       # doctest: +SKIP
'countermark.evaluation/1'
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from countermark.core.corpus import read_corpus
from countermark.core.results import Interval

NAMES = {
    "auroc": "AUROC",
    "tpr_at_1": "TPR at 1 % FPR",
    "tpr_at_5": "TPR at 5 % FPR",
    "balanced_accuracy": "balanced accuracy",
    "fpr_at_likely": "FPR at the threshold",
    "tpr_at_likely": "TPR at the threshold",
    "ece": "ECE",
}


def evaluate_detector(
    name: str,
    corpus: Path | str,
    *,
    seed: int = 0,
    max_fpr: float = 0.01,
    resamples: int = 500,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Figures of a detector under the four deliveries, by generator and by source of photographs.

    The headline says first whether size, format and JPEG tables alone tell the classes apart.
    """
    from countermark.detectors import load_detector
    from countermark.detectors.measuring.evaluation import evaluate_detector as run
    from countermark.reports import evaluation_document

    found = run(
        load_detector(name),
        read_corpus(corpus),
        seed=seed,
        max_fpr=max_fpr,
        resamples=resamples,
        report=report,
    )
    rows: list[dict[str, Any]] = []
    if found.control is not None:
        rows.append({"name": "AUROC of the control (size, format, JPEG tables)", "interval": found.control})
    for condition, figures in found.conditions.items():
        rows += _condition_rows(figures, condition)
    for kind, table in (("generator", found.generators), ("source", found.sources)):
        for condition, groups in table.items():
            for group, figure in groups.items():
                rows += _group_rows(figure, f"{kind}: {group}", condition, kind == "generator")
    notes = [
        "Intervals: 95 %, bootstrap over whole sources; of single generators and sources: Wilson.",
        "Every image was cropped at random first. n counts images.",
    ]
    if found.control is None:
        notes.append("The control was not run: it needs five images of each class.")
    if found.thresholds.note:
        notes.append(found.thresholds.note)
    notes += [f"Skipped {name}: {failure.message}" for name, failure in sorted(found.skipped.items())]
    curves = {
        condition: {
            "roc": {"fpr": curve.fpr, "tpr": curve.tpr, "auroc": found.conditions[condition].auroc.value},
            "reliability": [{"score": p, "share": share, "n": n} for p, share, n in curve.bins],
        }
        for condition, curve in found.curves.items()
    }
    return evaluation_document(
        f"Detector {found.detector}",
        rows,
        subject={
            "name": found.detector,
            "sha256": found.sha256,
            "images": found.images,
            "seed": seed,
            "max_fpr": max_fpr,
        },
        notes=notes,
        headline=found.headline,
        curves=curves,
    )


def evaluate_leave_out(
    family: str,
    corpus: Path | str,
    *,
    by: str = "generator",
    limit: int = 12,
    seed: int = 0,
    steps: int = 600,
    resamples: int = 500,
    report: Callable[[int, int, str], None] = lambda done, total, part: None,
) -> dict[str, Any]:
    """A family trained anew for every generator, or source, and measured on what was left out."""
    from countermark.detectors import FitSettings
    from countermark.detectors.measuring.leave_out import leave_out
    from countermark.reports import evaluation_document

    settings = FitSettings(seed=seed, steps=steps, views=2)
    found = leave_out(
        read_corpus(corpus),
        family=family,
        by=by,
        settings=settings,
        limit=limit,
        resamples=resamples,
        report=report,
    )
    rows: list[dict[str, Any]] = []
    for condition, figures in found.pooled.items():
        rows += _condition_rows(figures, condition)
    for name, part in found.parts.items():
        synthetic = part.label == "synthetic"
        kind = "generator" if synthetic and by == "generator" else "source"
        for condition, figure in part.figures.items():
            rows += _group_rows(figure, f"{kind}: {name}", condition, synthetic)
    worst = min(found.pooled, key=lambda name: found.pooled[name].auroc.value)
    text = (
        f"Every {by} left out: AUROC {found.pooled[worst].auroc.value:.3f} in the worst condition ({worst}), "
        f"over {len(found.parts)} parts."
    )
    notes = [
        f"The family {family} was trained once for every part, without it and without a quarter of the "
        "sources of the other class; probabilities of the detectors are pooled.",
        f"n counts scores ({found.scores} under each condition): images of the other class are scored by "
        "several detectors.",
    ]
    if found.skipped:
        notes.append(f"Not left out (too small, or beyond --limit): {', '.join(found.skipped)}.")
    return evaluation_document(
        f"Leave one {by} out: {family}",
        rows,
        subject={"family": family, "by": by, "parts": len(found.parts), "seed": seed, "steps": steps},
        notes=notes,
        headline=text,
    )


def evaluate_localisation(
    name: str,
    corpus: Path | str,
    *,
    images: int = 40,
    autoencoder: Path | None = None,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """How well a detector's heatmap points at the synthetic region of masked blends."""
    from countermark.detectors import load_detector
    from countermark.detectors.measuring.localisation import evaluate_localisation as run
    from countermark.detectors.recipes.twins import load_autoencoder, simulate_upsampler
    from countermark.reports import evaluation_document

    made = simulate_upsampler if autoencoder is None else load_autoencoder(autoencoder)
    found = run(
        load_detector(name), read_corpus(corpus), images=images, reconstruct=made, seed=seed, report=report
    )
    names = {
        "auc": ("pixel AUROC of the heatmap", ""),
        "iou": ("IoU of the heatmap", ""),
        "iou_everything": ("IoU if everything were marked", ""),
        "flagged": ("blends found at the threshold", "share"),
    }
    rows = [
        {"name": title, "interval": getattr(figures, key), "condition": condition, "unit": unit}
        for condition, figures in found.conditions.items()
        for key, (title, unit) in names.items()
    ]
    worst = min(found.conditions, key=lambda c: found.conditions[c].auc.value)
    figure = found.conditions[worst].auc
    verb = "points at" if figure.low > 0.5 else "is not shown to point at"
    return evaluation_document(
        f"Localisation of the detector {found.detector}",
        rows,
        subject={"name": found.detector, "sha256": found.sha256, "images": found.images, "seed": seed},
        headline=f"The heatmap {verb} what was synthesised: pixel AUROC {figure.value:.2f} in the worst "
        f"condition ({worst}); chance is 0.50.",
        notes=[
            f"{found.images} real pictures in which a soft region of 15-60 % was replaced by "
            + ("a simulated upsampler's copy." if autoencoder is None else "an autoencoder's copy."),
            "The threshold of the IoU was chosen on the pictures of other sources. Intervals: 95 %, "
            "bootstrap over sources.",
        ],
    )


def _condition_rows(figures: Any, condition: str) -> list[dict[str, Any]]:
    return [
        {
            "name": NAMES.get(field.name, field.name),
            "interval": getattr(figures, field.name),
            "condition": condition,
        }
        for field in fields(figures)
    ]


def _group_rows(figure: Any, slice: str, condition: str, synthetic: bool) -> list[dict[str, Any]]:
    """AUROC against the other class, and the share flagged at the threshold and at 5 % FPR."""

    def row(name: str, interval: Interval, unit: str = "") -> dict[str, Any]:
        return {"name": name, "interval": interval, "slice": slice, "condition": condition, "unit": unit}

    def share(name: str, value: float) -> dict[str, Any]:
        return row(name, Interval(value, *_wilson(value, figure.images), figure.images), "share")

    area = Interval(figure.auroc, float("nan"), float("nan"), figure.images)
    verb = "found" if synthetic else "wrongly flagged"
    return [
        row("AUROC", area),
        share(f"{verb} at the threshold", figure.flagged),
        share(f"{verb} where 5 % of all real images are", figure.flagged_at_5),
    ]


def _wilson(share: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson score interval of a share of ``count`` images (Wilson 1927)."""
    if count == 0:
        return 0.0, 1.0
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * ((share * (1 - share) + z * z / (4 * count)) / count) ** 0.5 / (1 + z * z / count)
    return max(0.0, middle - half), min(1.0, middle + half)
