"""What a report shows beside its checks: ROC and reliability curves, the worst images."""

from __future__ import annotations

from typing import Any

import numpy as np

from countermark.app.audit.samples import Images, Item, Library
from countermark.core.errors import CountermarkError
from countermark.core.images import read_image
from countermark.reports.thumbnails import Thumbnail, make_thumbnail

WORST = 6
ROC_POINTS = 60
BINS = 10


def curves(library: Library) -> dict[str, Any]:
    """By evidence: ``roc`` (fpr, tpr, auroc) and ``reliability`` (bins of score) of native scores."""
    from sklearn.metrics import roc_auc_score, roc_curve

    found: dict[str, Any] = {}
    for images in library.used():
        scored = library.native(images)
        if scored is None or len(set(scored.labels.tolist())) < 2:
            continue
        fpr, tpr, _ = roc_curve(scored.labels, scored.scores)
        keep = np.unique(np.linspace(0, len(fpr) - 1, min(ROC_POINTS, len(fpr))).round().astype(int))
        bins = np.minimum((scored.scores * BINS).astype(int), BINS - 1)
        found[images.name] = {
            "roc": {
                "fpr": fpr[keep].tolist(),
                "tpr": tpr[keep].tolist(),
                "auroc": float(roc_auc_score(scored.labels, scored.scores)),
            },
            "reliability": [
                {
                    "score": float(scored.scores[bins == b].mean()),
                    "share": float(scored.labels[bins == b].mean()),
                    "n": int(np.sum(bins == b)),
                }
                for b in range(BINS)
                if np.any(bins == b)
            ],
        }
    return found


def worst_images(library: Library) -> list[dict[str, Any]]:
    """Real images with the highest and synthetic ones with the lowest scores, as the report lists them."""
    return [
        {"path": _path(images, item), "sha256": item.sha256, "label": label, "score": score}
        for images, item, label, score in _worst(library)
    ]


def worst_pictures(library: Library) -> dict[str, Thumbnail]:
    """Thumbnails of ``worst_images`` by their path."""
    found = {}
    for images, item, _, _ in _worst(library):
        try:
            found[_path(images, item)] = make_thumbnail(read_image(item.path).pixels, side=200)
        except CountermarkError:
            continue
    return found


def _worst(library: Library) -> list[tuple[Images, Item, str, float]]:
    rows = []
    for images in library.used():
        scored = library.native(images)
        if scored is None:
            continue
        for label, name, sign in ((0, "real", -1), (1, "synthetic", 1)):
            members = np.flatnonzero(scored.labels == label)
            order = members[np.argsort(sign * scored.scores[members], kind="stable")][:WORST]
            rows += [(images, scored.items[i], name, float(scored.scores[i])) for i in order]
    return rows


def _path(images: Images, item: Item) -> str:
    return f"{images.name}/{item.name}"
