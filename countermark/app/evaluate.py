"""Evaluate: a detector on a labelled corpus, or a generator against its data, as a report document.

>>> document = evaluate_detector("default", "corpus/")       # doctest: +SKIP
>>> document["schema"]                                       # doctest: +SKIP
'countermark.evaluation/1'
"""

from __future__ import annotations

from dataclasses import asdict, fields
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


def evaluate_detector(name: str, corpus: Path | str, *, seed: int = 0) -> dict[str, Any]:
    """Figures of a detector under the four deliveries, by generator and by source of photographs."""
    from countermark.detectors import load_detector
    from countermark.detectors.evaluation import evaluate_detector as run
    from countermark.reports import evaluation_document

    found = run(load_detector(name), read_corpus(corpus), seed=seed)
    rows: list[dict[str, Any]] = []
    if found.control is not None:
        rows.append({"name": "AUROC of the control (size and format only)", "interval": found.control})
    for condition, figures in found.conditions.items():
        for field in fields(figures):
            rows.append(
                {
                    "name": NAMES.get(field.name, field.name),
                    "interval": getattr(figures, field.name),
                    "condition": condition,
                }
            )
    for kind, table in (("generator", found.generators), ("source", found.sources)):
        for condition, groups in table.items():
            for group, figure in groups.items():
                share = figure.flagged
                rows.append(
                    {
                        "name": "flagged" if kind == "generator" else "wrongly flagged",
                        "interval": Interval(share, *_wilson(share, figure.images), figure.images),
                        "slice": f"{kind}: {group}",
                        "condition": condition,
                    }
                )
    notes = [found.headline]
    if found.thresholds.note:
        notes.append(found.thresholds.note)
    notes += [f"Skipped {name}: {failure.message}" for name, failure in sorted(found.skipped.items())]
    return evaluation_document(
        f"Detector {found.detector}",
        rows,
        subject={"name": found.detector, "sha256": found.sha256, "images": found.images, "seed": seed},
        notes=notes,
    )


def evaluate_generator(
    name: str, data: str, *, count: int = 1000, gallery: Path | None = None
) -> dict[str, Any]:
    """Quality and copying of a generator against the images that it was trained on."""
    from countermark.generators.evaluation import evaluate_generator as run
    from countermark.reports import evaluation_document

    found = run(name, data, count=count, gallery=gallery)
    rows: list[dict[str, Any]] = [
        {"name": "KID", "interval": found.kid},
        {"name": "precision", "interval": found.precision},
        {"name": "recall", "interval": found.recall},
    ]
    for title, value in (
        ("Fréchet distance", found.frechet),
        ("density", found.density),
        ("coverage", found.coverage),
    ):
        rows.append({"name": title, "interval": Interval(value, value, value, found.count_generated)})
    notes = [
        f"Features: {found.extractor}. Reference: {found.reference} images ({found.count_real}).",
        "Fréchet distance, density and coverage are given without an interval.",
    ]
    if found.copying is not None:
        copied = asdict(found.copying)
        rows.append({"name": "C_T (copying score)", "interval": _point(copied["c_t"], found.copying.count)})
        notes.append(found.copying.sentence)
    if found.gallery:
        notes.append(f"Closest pairs: {found.gallery}")
    return evaluation_document(
        f"Generator {found.name}",
        rows,
        subject={"name": found.name, "sha256": found.sha256, "data": found.data, "seed": found.seed},
        notes=notes,
    )


def _point(value: float, count: int) -> Interval:
    return Interval(value, value, value, count)


def _wilson(share: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson score interval of a share of ``count`` images (Wilson 1927)."""
    if count == 0:
        return 0.0, 1.0
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * ((share * (1 - share) + z * z / (4 * count)) / count) ** 0.5 / (1 + z * z / count)
    return max(0.0, middle - half), min(1.0, middle + half)
