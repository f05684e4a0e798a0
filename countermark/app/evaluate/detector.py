"""A detector on a labelled corpus, or its heatmaps on known masks, as a report document.

>>> document = evaluate_detector("default", "corpus/")       # doctest: +SKIP
>>> document["schema"]                                       # doctest: +SKIP
'countermark.evaluation/1'
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from countermark.app.evaluate.rows import Row, condition_rows, group_rows
from countermark.core.corpus import read_corpus


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
    rows: list[Row] = []
    if found.control is not None:
        rows.append({"name": "AUROC of the control (size, format, JPEG tables)", "interval": found.control})
    for condition, figures in found.conditions.items():
        rows += condition_rows(figures, condition)
    for kind, table in (("generator", found.generators), ("source", found.sources)):
        for condition, groups in table.items():
            for group, figure in groups.items():
                rows += group_rows(figure, f"{kind}: {group}", condition, kind == "generator")
    notes = [
        "Intervals: 95 %, over whole sources: exact for shares, bootstrap for the rest; of single generators "
        "and sources: exact, as if images were independent.",
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
            "The threshold of the IoU was chosen on the pictures of other sources. Intervals: 95 %, over "
            "sources.",
        ],
    )
