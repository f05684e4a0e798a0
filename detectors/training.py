"""Trains a detector of any family on any labelled corpus.

Whole sources of photographs and whole generators are kept apart for calibration, so that the
probability and the thresholds are set on images of a kind that was not trained on. Rows whose split
is ``test`` are never touched; rows of the split ``calibration`` are kept apart as they say.

    from countermark.core.corpus import read_corpus
    path = train_detector(read_corpus("folder"), "out", name="mine", family="timm")
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from countermark.core.corpus import Corpus, CorpusRow
from countermark.core.errors import ImageError, TrainingError
from countermark.core.images import Pixels, read_image
from countermark.core.perturb import DELIVERIES, perturb
from countermark.core.seeds import rng
from countermark.detectors.base import DETECTORS, DetectorNetwork, FitSettings, Sample
from countermark.detectors.families import register_families
from countermark.detectors.fitting.histories import random_crop
from countermark.detectors.library import save_detector
from countermark.detectors.scoring.calibration import balanced_weights, fit_calibrator
from countermark.detectors.scoring.thresholds import ThresholdTable

CALIBRATION_SHARE = 0.25
MAX_CALIBRATION_IMAGES = 2000


def group_of(row: CorpusRow) -> str:
    """What is held out as a whole: the source of a real image, the generator of a synthetic one."""
    return (row.generator or row.source or "unnamed") if row.is_synthetic else (row.source or "unnamed")


def split_corpus(corpus: Corpus, seed: int, share: float = CALIBRATION_SHARE) -> tuple[Corpus, Corpus]:
    """Training and calibration parts: by the split column, else by whole groups, else by image.

    Whole groups are held out where a class has four or more; otherwise its images are drawn at
    random, and the calibration is then no evidence for other sources.
    """
    rows = [row for row in corpus.rows if row.split != "test"]
    held = {row.file_name for row in rows if row.split in ("calibration", "validation", "val")}
    if not held:
        for label in ("real", "synthetic"):
            mine = [row for row in rows if row.label == label]
            counts = Counter(map(group_of, mine))
            generator = rng(seed, "split", label)
            if len(counts) >= 4:
                names, total = sorted(counts), 0
                for name in generator.permutation(names):
                    if total + counts[name] / 2 <= share * len(mine) or not total:
                        held |= {row.file_name for row in mine if group_of(row) == name}
                        total += counts[name]
            else:
                order = generator.permutation(len(mine))[: max(1, round(share * len(mine)))]
                held |= {mine[i].file_name for i in order} if len(mine) > 1 else set()
    keep = tuple(row for row in rows if row.file_name not in held)
    apart = tuple(row for row in rows if row.file_name in held)
    return replace(corpus, rows=keep), replace(corpus, rows=apart)


def train_detector(
    corpus: Corpus,
    out: Path | str,
    *,
    name: str,
    family: str = "timm",
    config: dict[str, Any] | None = None,
    settings: FitSettings | None = None,
    calibrator: str = "platt",
    **card: Any,
) -> Path:
    """Trains, calibrates and saves a detector.

    Args:
        corpus: From ``read_corpus``.
        out: Folder for ``NAME.safetensors`` and ``NAME.card.json``.
        name: The detector's name.
        family: A name in the registry of families: ``clip-probe``, ``critic``, ``timm``.
        config: The family's options.
        settings: Seed, length and reporting.
        calibrator: ``platt``, ``beta`` or ``isotonic``.
        card: Further fields of the card, such as ``summary`` or ``training_data``.

    Returns:
        The path of the weights, to be given to ``load_detector``.

    Raises:
        TrainingError: one class only, no readable image, or a loss that is not a number.
    """
    settings = settings or FitSettings()
    register_families()
    started = time.monotonic()
    training, apart = split_corpus(corpus, settings.seed)
    samples, skipped = corpus_samples(training)
    network = DETECTORS.get(family).create(dict(config or {}), settings.seed)
    figures = network.fit(samples, settings)
    logits, labels, groups = deliver_and_score(network, apart, settings.seed)
    real = labels == 0
    if real.all() or not real.any():
        raise TrainingError(
            "No image of one of the classes is left to calibrate on.", code="training.one-class"
        )
    fitted = fit_calibrator(calibrator, logits, labels, balanced_weights(labels, groups))
    table = ThresholdTable.fit(fitted(logits[real]), [g for g, r in zip(groups, real, strict=True) if r])
    card.setdefault("training_data", _describe(training))
    card["trained"] = {
        "seed": settings.seed,
        "minutes": round((time.monotonic() - started) / 60, 2),
        "unreadable": len(skipped),
        "calibrated_on": _describe(apart),
        **figures,
        **card.get("trained", {}),
    }
    return save_detector(out, name, network, fitted, table, **card)


def train_one_class(
    corpus: Corpus,
    out: Path | str,
    *,
    name: str,
    config: dict[str, Any] | None = None,
    settings: FitSettings | None = None,
    **card: Any,
) -> Path:
    """Trains on the real rows of ``corpus``; a quarter of the sources is kept for the threshold.

    Args:
        out: Folder for ``NAME.safetensors`` and its card.
        card: Further fields of the card.

    Raises:
        TrainingError: too few photographs.
    """
    from countermark.detectors.families.oneclass import OneClassDetector, conformal_calibrator

    settings = settings or FitSettings(views=3)
    training, apart = split_corpus(corpus.select(label="real"), settings.seed)
    samples, skipped = corpus_samples(training)
    network = OneClassDetector.create(dict(config or {}), settings.seed)
    figures = network.fit(samples, settings)
    logits, _, groups = deliver_and_score(network, apart, settings.seed)
    if len(logits) < 10:
        raise TrainingError("Fewer than ten photographs are left for the threshold.", code="training.too-few")
    calibrator = conformal_calibrator(logits)
    table = ThresholdTable.fit(calibrator(logits), groups)
    card.setdefault("summary", "Knows photographs only: how unusual a picture's finest detail is.")
    card["trained"] = {
        "seed": settings.seed,
        "unreadable": len(skipped),
        "held_apart": sorted(set(groups)),
        **figures,
        **card.get("trained", {}),
    }
    return save_detector(out, name, network, calibrator, table, **card)


def corpus_samples(corpus: Corpus) -> tuple[list[Sample], list[str]]:
    """Samples of a corpus, and the names of the files that cannot be read."""
    samples, skipped = [], []
    for path, row in corpus:
        try:
            read_image(path)
        except ImageError:
            skipped.append(row.file_name)
        else:
            load = partial(_load, path)
            samples.append(Sample(load, int(row.is_synthetic), group_of(row), row.file_name))
    return samples, skipped


def deliver_and_score(
    network: DetectorNetwork, corpus: Corpus, seed: int, largest: int = MAX_CALIBRATION_IMAGES
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Logits, labels and groups of randomly cropped images, each under one of the four deliveries."""
    import torch

    order = rng(seed, "calibration").permutation(len(corpus))[:largest]
    specs = list(DELIVERIES.values())
    logits, labels, groups = [], [], []
    for count, index in enumerate(sorted(order)):
        row = corpus.rows[index]
        try:
            pixels = _load(corpus.paths[index])
        except ImageError:
            continue
        cropped = random_crop(pixels, rng(seed, "crop", row.file_name))
        with torch.inference_mode():
            logits.append(float(network.logits([perturb(specs[count % len(specs)], cropped)])[0]))
        labels.append(int(row.is_synthetic))
        groups.append(group_of(row))
    return np.array(logits), np.array(labels, dtype=int), groups


def _load(path: Path) -> Pixels:
    return read_image(path).pixels


def _describe(corpus: Corpus) -> list[str]:
    counts = Counter((row.label, group_of(row)) for row in corpus.rows)
    return [f"{label}: {group}, {count} images" for (label, group), count in sorted(counts.items())]
