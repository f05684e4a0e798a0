"""Adversaries: what stays found of a detector's synthetic images when somebody tries to hide them.

    document, record = measure_adversaries("default", "corpus/", images=100)

Three adversaries with growing distance from the detector: PGD knows its gradients, the square attack
asks for scores, and laundering asks for scores and uses nothing but everyday edits. Laundering is
searched with equal queries at random and by a policy trained by REINFORCE (``hiding``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from countermark.app.adversaries.attacks import differentiable, pgd, square_attack, square_view
from countermark.app.adversaries.hiding import KINDS, Comparison, measure_laundering
from countermark.app.adversaries.search import EDITS
from countermark.app.rooms import Detector
from countermark.core.corpus import Corpus, CorpusRow, read_corpus
from countermark.core.errors import CorpusError, ImageError
from countermark.core.images import Pixels, read_image
from countermark.core.intervals import proportion
from countermark.core.perturb import perturb
from countermark.core.results import Interval
from countermark.core.seeds import rng

LOG = logging.getLogger(__name__)

#: Larger pictures are reduced to this short side: what the attacks change is then what is looked at.
SHORT_SIDE = 512


@dataclass(frozen=True)
class Attack:
    """One row of the table: what was tried, and which share of the found images stays found."""

    name: str
    setting: str
    queries: int
    interval: Interval
    mean_score: float


@dataclass(frozen=True)
class Record:
    """All rows, and what laundering found by each search."""

    attacks: tuple[Attack, ...]
    laundered: Comparison


def measure_adversaries(
    detector: str | Detector,
    corpus: Path | str | Corpus,
    *,
    images: int = 100,
    max_fpr: float = 0.01,
    epsilons: Sequence[float] = (1, 2, 4),
    steps: int = 10,
    square_queries: int = 60,
    budget: int = 24,
    length: int = 3,
    per_trial: int = 8,
    repeats: int = 5,
    seed: int = 0,
    report: Callable[[str], None] = lambda what: None,
) -> tuple[dict[str, Any], Record]:
    """Attacks synthetic images of ``corpus`` that the detector finds; an evaluation document and record.

    Args:
        images: Found images that are attacked; fewer if the corpus holds fewer.
        epsilons: Bounds of PGD in grey levels, growing: an image that is hidden within one bound is
            within the next. The square attack uses the largest.
        steps: Gradient steps of PGD.
        square_queries: Scores an image that the square attack may ask for.
        budget: Times ``per_trial``: scores that each search of laundering asks for.
        length: Edits in a sequence, at most.
        repeats: Searches of each kind, on different halves; all their best edits are measured.

    Raises:
        CorpusError: ``corpus.nothing-found``: fewer than ten synthetic images are found.
    """
    from countermark.detectors import load_detector
    from countermark.reports import evaluation_document

    model: Detector = load_detector(detector) if isinstance(detector, str) else detector
    likely = float(model.thresholds(max_fpr).likely)
    corpus = corpus if isinstance(corpus, Corpus) else read_corpus(corpus)
    rows, pictures = found_images(model, corpus, likely, images, seed)
    if len(pictures) < 10:
        raise CorpusError(
            f"{model.name} finds {len(pictures)} synthetic images of this corpus; ten are needed.",
            code="corpus.nothing-found",
            hint="Raise --max-fpr, or give more synthetic images.",
        )
    clusters = np.array([row.source or row.generator or "unnamed" for row in rows])
    attacks = []

    def note(name: str, setting: str, queries: int, scores: np.ndarray, own: np.ndarray) -> None:
        kept = proportion(scores >= likely, own, confidence=0.95).interval
        LOG.info("%s (%s): %.1f %% stay found", name, setting, 100 * kept.value)
        attacks.append(Attack(name, setting, queries, kept, float(scores.mean())))

    side, logits = differentiable(model)
    squares = [square_view(picture, side) for picture in pictures]
    before = np.asarray(model.score(squares))
    hit = before >= likely
    kept = [square for square, ok in zip(squares, hit, strict=True) if ok]
    note("none", f"centre square at {side} px", 0, before, clusters)
    after = before[hit].copy()
    for epsilon in sorted(epsilons):
        report(f"PGD, {epsilon:g} grey levels")
        left = np.flatnonzero(after >= likely)
        if len(left):
            after[left] = model.score(pgd([kept[i] for i in left], logits, epsilon, steps))
        note("PGD", f"{epsilon:g} grey levels, {steps} steps", steps, after.copy(), clusters[hit])
    report("square attack")
    bound = max(epsilons)
    changed = square_attack(kept, model.score, bound, square_queries, seed, until=likely)
    setting = f"{bound:g} grey levels, {square_queries} queries an image"
    note("square attack", setting, square_queries, np.asarray(model.score(changed)), clusters[hit])
    laundered = measure_laundering(
        model.score, pictures, clusters, likely, budget=budget, length=length, per_trial=per_trial,
        searches=repeats, seed=seed, report=report,
    )  # fmt: skip
    for kind in KINDS:
        found, best = laundered.found[kind], laundered.best(kind)
        name, queries = f"laundering, {kind} search", laundered.queries
        scores = np.concatenate([one.scores for one in found])
        own = np.concatenate([one.held for one in found])
        note(f"{name}, mean of {repeats}", f"{queries} queries", queries, scores, clusters[own])
        note(f"{name}, best of {repeats}", best.edits, queries, best.scores, clusters[best.held])
    document = evaluation_document(
        f"Adversaries of the detector {model.name}",
        [
            {
                "name": f"stays found: {attack.name}",
                "slice": attack.setting,
                "interval": attack.interval,
                "unit": "share",
            }
            for attack in attacks
        ]
        + _details(laundered, likely),
        subject={
            "name": model.name,
            "sha256": str(getattr(model.card, "sha256", "")),
            "images": len(pictures),
            "seed": seed,
            "max_fpr": max_fpr,
        },
        headline=_headline(model.name, attacks),
        notes=[
            f"Attacked: synthetic images with a score of at least {likely:.3f} (the threshold for "
            f"{max_fpr:g}). Laundering is searched on one half of them and measured on the other, halves "
            "drawn anew for each pair of searches.",
            f"Laundering: {repeats} searches of each kind, {budget * per_trial} scores each, sequences of "
            f"at most {length} of {len(EDITS)} edits. Both searches end with the same race of their best.",
            "Learned less random: on the same images; below zero, the policy hides more. Its interval draws "
            "pairs of searches and whole sources.",
        ],
    )
    return document, Record(tuple(attacks), laundered)


def _details(laundered: Comparison, likely: float) -> list[dict[str, Any]]:
    """The paired difference, and what stays found under the edits of every single search."""
    rows: list[dict[str, Any]] = [
        {
            "name": "learned less random",
            "slice": "paired, stays found",
            "interval": laundered.difference,
            "unit": "share",
        }
    ]
    for kind in KINDS:
        for number, one in enumerate(laundered.found[kind], 1):
            share = float(np.mean(one.scores >= likely))
            rows.append(
                {
                    "name": f"{kind} search {number}",
                    "slice": one.edits,
                    "interval": {"value": share, "n": len(one.scores)},
                    "unit": "share",
                }
            )
            if np.isfinite(one.likeness):
                rows.append(
                    {
                        "name": f"{kind} search {number}: likeness",
                        "slice": one.edits,
                        "interval": {"value": one.likeness, "n": len(one.scores)},
                        "unit": "dB",
                    }
                )
    return rows


def found_images(
    model: Detector, corpus: Corpus, likely: float, wanted: int, seed: int
) -> tuple[list[CorpusRow], list[Pixels]]:
    """Synthetic images that are found as they are, drawn in turn from the sources."""
    by_source: dict[str, list[CorpusRow]] = {}
    for row in corpus.rows:
        if row.is_synthetic:
            by_source.setdefault(row.source or row.generator, []).append(row)
    queues = [
        [rows[i] for i in rng(seed, "attack", name).permutation(len(rows))]
        for name, rows in sorted(by_source.items())
    ]
    found: list[CorpusRow] = []
    pictures: list[Pixels] = []
    while any(queues) and len(found) < wanted:
        for queue in queues:
            if not queue or len(found) >= wanted:
                continue
            row = queue.pop()
            try:
                pixels = read_image(corpus.root / row.file_name).pixels
            except ImageError:
                continue
            if min(pixels.shape[:2]) > SHORT_SIDE:
                pixels = perturb(f"shortside:{SHORT_SIDE}", pixels)
            if model.score([pixels])[0] >= likely:
                found.append(row)
                pictures.append(pixels)
    return found, pictures


def _headline(name: str, attacks: Sequence[Attack]) -> str:
    tried = [attack for attack in attacks if attack.name != "none"]
    worst = min(tried, key=lambda attack: attack.interval.value)
    edited = min(
        (attack for attack in tried if attack.name.startswith("laundering")),
        key=lambda attack: attack.interval.value,
    )
    return (
        f"{name}: {100 * worst.interval.value:.0f} % of the images stay found under {worst.name} "
        f"({worst.setting}); {100 * edited.interval.value:.0f} % under the everyday edits {edited.setting}."
    )
