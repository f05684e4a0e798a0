"""``audit blind-spots``: which everyday edits hide a corpus's synthetic images from a detector?

>>> document = spot("default", "corpus/")             # doctest: +SKIP
>>> document["figures"][0]["slice"]                   # doctest: +SKIP
'random: noise:6+resize:0.5'

Both searches of ``blindspot`` spend the same number of scores. Their best sequences are compared on
the held-out half by a paired bootstrap over the same pictures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from countermark.app.adversaries.search import BlindSpot, blind_spots
from countermark.app.rooms import Rooms
from countermark.core.corpus import read_corpus
from countermark.core.errors import ConfigError
from countermark.core.images import Pixels, read_image
from countermark.core.intervals import bootstrap
from countermark.core.results import Interval
from countermark.core.seeds import derive
from countermark.core.stats import weighted_mean
from countermark.reports import evaluation_document

LOG = logging.getLogger(__name__)

LEAST = 8


def spot(
    detector: str,
    corpus: Path | str,
    *,
    images: int = 120,
    budget: int = 60,
    length: int = 2,
    per_trial: int = 4,
    keep: int = 5,
    max_fpr: float = 0.01,
    confidence: float = 0.95,
    seed: int = 0,
    rooms: Rooms | None = None,
    report: Callable[[int], None] = lambda scored: None,
) -> dict[str, Any]:
    """A ``countermark.evaluation/1`` document: the ranked table of edits and the two searches compared.

    Args:
        corpus: A labelled corpus; its synthetic images are used.
        images: At most so many, drawn by seed; half are searched on, half are measured on.
        budget: Edit sequences that each search tries, ``per_trial`` pictures each.
        length: Edits in a sequence.
        keep: Best sequences of each search that are measured.
        max_fpr: Sets the detector's threshold.
        report: Called with the number of pictures after each batch of scores.

    Raises:
        ConfigError: fewer than eight synthetic images, or none of them is found without edits.
    """
    model = (rooms or Rooms()).load_detector(detector)
    rows = [(path, row) for path, row in read_corpus(corpus) if row.is_synthetic]
    rows = sorted(rows, key=lambda r: derive(seed, "blind-spots", r[1].file_name))[:images]
    rows.sort(key=lambda r: r[1].file_name)
    if len(rows) < LEAST:
        raise ConfigError(
            f"{corpus} holds {len(rows)} synthetic images; {LEAST} are the least.", code="audit.blind-spots"
        )
    likely = float(model.thresholds(max_fpr).likely)

    def score(pictures: Sequence[Pixels]) -> np.ndarray:
        values = np.asarray(model.score(pictures))
        report(len(values))
        return values

    spots = blind_spots(
        [read_image(path).pixels for path, _ in rows],
        score,
        likely,
        budget=budget,
        length=length,
        per_trial=per_trial,
        keep=keep,
        confidence=confidence,
        seed=seed,
    )
    for one in spots:
        LOG.info("%s: %s: %.1f %% stay found", one.search, one.edits, 100 * one.interval.value)
    if not spots or spots[0].before == 0:
        raise ConfigError(
            "The detector finds none of these images even without edits: there is nothing to hide.",
            code="audit.blind-spots",
        )
    figures = [
        {
            "name": "still found",
            "slice": f"{one.search}: {one.edits}",
            "unit": "share",
            "interval": asdict(one.interval),
        }
        for one in spots
    ]
    difference = compared(spots, confidence=confidence, seed=seed)
    if difference is not None:
        figures.append(
            {
                "name": "random less learned",
                "slice": "paired",
                "unit": "share",
                "interval": asdict(difference),
            }
        )
    best = spots[0]
    return evaluation_document(
        f"Blind spots of {model.name}",
        figures,
        subject={"kind": "detector", "name": model.name, "sha256": str(model.card.sha256)},
        headline=(
            f"After {best.edits} the detector still finds {100 * best.interval.value:.0f} % of the synthetic "
            f"images ({100 * best.interval.low:.0f} to {100 * best.interval.high:.0f} %); without edits "
            f"{100 * best.before:.0f} %."
        ),
        notes=[
            f"{len(rows)} synthetic images: searched on {len(rows) // 2}, measured on the other "
            f"{len(rows) - len(rows) // 2}. Threshold {likely:.3f}, for {100 * max_fpr:g} % of photographs.",
            f"Each search tried {budget} sequences of at most {length} edits on {per_trial} pictures each: "
            f"{budget * per_trial} scores. Intervals at {100 * confidence:g} %, exact, "
            "each for its own line, and for images of the same generators in the same mixture.",
            "The last line compares the best sequence of each search on the same images: above zero, the "
            f"learned one hides more. Seed {seed}.",
        ],
    )


def compared(
    spots: list[BlindSpot], *, confidence: float, seed: int, resamples: int = 2000
) -> Interval | None:
    """How much more stays found after the best random sequence than after the best learned one.

    A paired bootstrap over the held-out images; None if one of the searches has no sequence of its own.
    """
    best = {
        kind: next((s for s in spots if s.search in (kind, "both")), None) for kind in ("random", "learned")
    }
    random, learned = best["random"], best["learned"]
    if random is None or learned is None:
        return None
    gap = np.array(random.detected, np.float64) - np.array(learned.detected, np.float64)
    return bootstrap(
        partial(weighted_mean, gap),
        np.ones(len(gap)),
        resamples=resamples,
        confidence=confidence,
        seed=seed,
        bounds=(-1.0, 1.0),
    )
