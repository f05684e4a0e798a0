"""How well doodles become images: the lines kept, closeness, variety, on photographs held out of training.

>>> report = evaluate_sketch("sketch-clothing-128", "photos")                       # doctest: +SKIP
>>> report.edge_f1.value > report.edge_f1_other.value                        # doctest: +SKIP
True
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch

from countermark.core.errors import CorpusError, WeightsError
from countermark.core.features import Extractor, load_extractor
from countermark.core.images import Pixels
from countermark.core.intervals import bootstrap
from countermark.core.results import Interval
from countermark.core.seeds import rng, torch_rng
from countermark.core.stats import weighted_mean
from countermark.generators.base import to_pixels
from countermark.generators.data.pictures import DataConfig, load_pictures
from countermark.generators.grids import sheet
from countermark.generators.library import load_generator
from countermark.generators.measuring.quality import kid
from countermark.generators.sketch.edges import canny_edges, doodle
from countermark.generators.sketch.generator import SketchToImage

LEAST_HELDOUT = 8
#: Held out where a card does not say how much was.
HOLDOUT = 0.15
BATCH = 32


@dataclass(frozen=True)
class SketchReport:
    """Figures on ``count`` held-out photographs, of whose outlines the doodles are made.

    Attributes:
        edge_f1: Agreement of the photograph's edges with the drawn image's, within 2 px, in [0, 1].
        edge_f1_other: The same with the image of another doodle: what chance would give.
        kid: Of one image a doodle to the held-out photographs; ``kid_training`` is that of as many
            training photographs, the least that could be asked for.
        seeds, doodles, photographs: Mean cosine distance between two images of one doodle (0: z is
            ignored), of two doodles, and between two photographs.
        examples: Doodles, two seeds and the photographs in four rows; uint8 RGB.
    """

    name: str
    sha256: str
    data: str
    extractor: str
    count: int
    count_train: int
    seed: int
    edge_f1: Interval
    edge_f1_other: Interval
    kid: Interval
    kid_training: Interval
    seeds: float
    doodles: float
    photographs: float
    examples: np.ndarray = field(repr=False, compare=False)


def evaluate_sketch(
    generator: str | Path | SketchToImage,
    data: Path | str,
    *,
    count: int = 1000,
    extractor: str | Extractor = "auto",
    seed: int = 0,
    report: Callable[[str, int, int], None] | None = None,
) -> SketchReport:
    """Measures doodle to image on what its training held out of ``data``.

    Args:
        data: The folder or archive that it was trained on.
        count: Most photographs used.
        extractor: Of the features in which closeness and variety are measured.
        report: Told what is done, how many parts of it are, and of how many.

    Raises:
        CorpusError: ``corpus.too-small``: fewer than 8 photographs are held out.
        WeightsError: ``weights.family``: not doodle to image.
    """
    loaded = load_generator(generator) if isinstance(generator, str | Path) else generator
    if not isinstance(loaded, SketchToImage):
        raise WeightsError(f"{loaded.name} does not draw doodles.", code="weights.family")
    trained = loaded.card.trained
    options = DataConfig(holdout=float(trained.get("holdout", HOLDOUT)))
    pictures = load_pictures(data, size=loaded.size, options=options, seed=int(trained.get("seed", 0)))
    real = pictures.heldout[:count]
    if len(real) < LEAST_HELDOUT:
        raise CorpusError(
            f"{len(real)} photographs of {data} are held out; that is too few to measure on.",
            code="corpus.too-small",
            hint=f"At least {LEAST_HELDOUT} are needed.",
        )
    draw = rng(seed, "doodles")
    conditions = np.stack([doodle(image, draw, plain=True) for image in real])
    one, two = (_draw(loaded, conditions, seed + number) for number in range(2))
    edges = [canny_edges(image) for image in real]
    kept, other = (
        np.array([edge_f1(strokes, image) for strokes, image in zip(edges, made, strict=True)])
        for made in (one, np.roll(one, 1, axis=0))
    )
    extract = load_extractor(extractor) if isinstance(extractor, str) else extractor
    train = pictures.images[draw.permutation(len(pictures))[: len(real)]]
    found = {}
    for name, images in {"real": real, "one": one, "two": two, "train": train}.items():
        found[name] = extract(images)
        if report is not None:
            report("Features", len(found), 4)
    shown = np.linspace(0, len(real) - 1, 8).astype(int)
    ink = np.repeat(255 * (1 - conditions[shown, :, :, :1]), 3, axis=3).astype(np.uint8)
    return SketchReport(
        name=loaded.name,
        sha256=loaded.sha256,
        data=pictures.name,
        extractor=extract.name,
        count=len(real),
        count_train=len(pictures),
        seed=seed,
        edge_f1=_mean(kept, seed),
        edge_f1_other=_mean(other, seed),
        kid=kid(found["real"], found["one"], seed=seed),
        kid_training=kid(found["real"], found["train"], seed=seed),
        seeds=distance(found["one"], found["two"]),
        doodles=distance(found["one"], np.roll(found["one"], 1, axis=0)),
        photographs=distance(found["real"], np.roll(found["real"], 1, axis=0)),
        examples=sheet(np.concatenate([ink, one[shown], two[shown], real[shown]]), columns=len(shown)),
    )


def _draw(loaded: SketchToImage, conditions: np.ndarray, seed: int) -> np.ndarray:
    """One image a condition, float32 [N, S, S, 5]: uint8 [N, S, S, 3]."""
    made = []
    with torch.no_grad():
        for start in range(0, len(conditions), BATCH):
            part = torch.from_numpy(conditions[start : start + BATCH]).permute(0, 3, 1, 2).to(loaded.device)
            z = torch.randn(len(part), loaded.latent, generator=torch_rng(seed, "measured", start))
            made.append(to_pixels(loaded.network(z.to(loaded.device), part)))
    return np.concatenate(made)


def _mean(values: np.ndarray, seed: int) -> Interval:
    """Of values in [0, 1], over images."""
    return bootstrap(lambda w: weighted_mean(values, w), np.ones(len(values)), seed=seed, bounds=(0.0, 1.0))


def edge_f1(strokes: np.ndarray, image: Pixels, *, reach: int = 2) -> float:
    """How well the edges of ``image`` agree with the strokes, in [0, 1].

    Precision is the share of the image's Canny edges within ``reach`` pixels of a stroke, recall
    the share of strokes within ``reach`` pixels of an edge; F1 is their harmonic mean.

    Args:
        strokes: Float [H, W] in [0, 1]; ink where above 0.5.
        image: uint8 [H, W, 3] RGB.
    """
    wanted, found = strokes > 0.5, canny_edges(image) > 0
    if not wanted.any() or not found.any():
        return float(not wanted.any() and not found.any())
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    near_wanted = cv2.dilate(wanted.astype(np.uint8), kernel) > 0
    near_found = cv2.dilate(found.astype(np.uint8), kernel) > 0
    precision, recall = float(near_wanted[found].mean()), float(near_found[wanted].mean())
    return 2 * precision * recall / max(precision + recall, 1e-12)


def distance(one: np.ndarray, two: np.ndarray) -> float:
    """Mean cosine distance of features [N, D], row by row; equal rows count 0."""
    a, b = one.astype(np.float64), two.astype(np.float64)
    same = (a == b).all(axis=1)
    cosine = (a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)
    return float(np.where(same, 0.0, 1 - cosine).mean())
