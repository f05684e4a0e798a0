"""Evaluate a recipe: its head fitted anew for every source or generator, without it, on stored features.

>>> document = leave_out_recipe("default", ["corpus/"], "work", by="source")       # doctest: +SKIP

What is stored (views and features, ``countermark recipe``) is used again, so that leaving out dozens
of parts takes minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from countermark.core.results import Interval


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
    rows: list[dict[str, Any]] = []
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
            rows.append(
                {"name": verb, "interval": Interval(share, nan, nan, images), **where, "unit": "share"}
            )
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
