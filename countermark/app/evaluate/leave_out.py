"""Detectors made anew without each generator or source, and measured on what was left out.

>>> document = evaluate_leave_out("critic", "corpus/", by="source")               # doctest: +SKIP
>>> document = leave_out_recipe("default", ["corpus/"], "work", by="source")       # doctest: +SKIP

A family is trained again for every part. Of a recipe only the head is fitted again, on the views and
features that ``countermark recipe`` stored, so that leaving out dozens of parts takes minutes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from countermark.app.evaluate.rows import Row, condition_rows, group_rows
from countermark.core.corpus import read_corpus
from countermark.core.intervals import rate
from countermark.core.results import Interval

LOG = logging.getLogger(__name__)


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
    if found.skipped:
        LOG.info("Not left out: %s", ", ".join(found.skipped))
    rows: list[Row] = []
    for condition, figures in found.pooled.items():
        rows += condition_rows(figures, condition)
    for name, part in found.parts.items():
        synthetic = part.label == "synthetic"
        kind = "generator" if synthetic and by == "generator" else "source"
        for condition, figure in part.figures.items():
            rows += group_rows(figure, f"{kind}: {name}", condition, synthetic)
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


def leave_out_recipe(
    recipe: str | Path,
    corpora: Sequence[Path | str],
    work: Path | str,
    *,
    by: str = "source",
    limit: int = 100,
    seed: int = 0,
    resamples: int = 300,
    report: Callable[[int, int, str], None] = lambda done, total, part: None,
) -> dict[str, Any]:
    """An evaluation document: pooled figures by delivery, and every part's own.

    Args:
        recipe: Shipped recipe or TOML file, with frozen features.
        corpora: As given to ``countermark recipe``, in the same order.
        work: Its folder of views and features.
        by: ``source`` or ``generator``.
        limit: Parts that are left out, the largest first.

    Raises:
        ConfigError: nothing is stored there, or something else.
    """
    from countermark.detectors.measuring.leave_out_recipe import leave_out_features
    from countermark.reports import evaluation_document

    found = leave_out_features(
        recipe, corpora, work, by=by, limit=limit, seed=seed, resamples=resamples, report=report
    )
    rows: list[Row] = []
    for condition, figures in found.pooled.items():
        for title, interval in figures.items():
            rows.append({"name": title, "interval": interval, "condition": condition})
    for part in found.parts:
        verb = "found where 5 % of the real images are flagged"
        if part.label == 0:
            verb = "flagged where 5 % of all real images are"
        kind = by if part.label == 1 or by == "source" else "source"
        for condition, (area, share, images) in part.figures.items():
            where = {"slice": f"{kind}: {part.name}", "condition": condition}
            nan = float("nan")
            rows.append({"name": "AUROC", "interval": Interval(area, nan, nan, images), **where})
            found_share = rate(round(share * images), images)
            rows.append({"name": verb, "interval": found_share, **where, "unit": "share"})
    worst = min(found.pooled, key=lambda name: found.pooled[name]["AUROC"].value)
    value = found.pooled[worst]["AUROC"].value
    return evaluation_document(
        f"Leave one {by} out: recipe {found.recipe}",
        rows,
        subject={"recipe": found.recipe, "by": by, "parts": len(found.parts), "seed": seed},
        headline=f"Every {by} left out: AUROC {value:.3f} in the worst condition ({worst}), over "
        f"{len(found.parts)} parts.",
        notes=[
            "The head was fitted once for every part, without it and without a quarter of the sources of "
            "the other class; logits of the heads are pooled. Features are the stored ones.",
            f"Not left out (too small, or beyond --limit): {', '.join(found.skipped) or 'none'}.",
        ],
    )
