"""How well doodles become images, on photographs held out of training: lines kept, closeness, variety.

>>> report = evaluate_sketch("sketch2image", "photos")                       # doctest: +SKIP
>>> report.edge_f1.value > report.edge_f1_other.value                        # doctest: +SKIP
True
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from countermark.core.errors import CorpusError, WeightsError
from countermark.core.features import Extractor, load_extractor
from countermark.core.results import Interval
from countermark.core.seeds import rng, torch_rng
from countermark.core.stats import bootstrap
from countermark.generators.conditional import SketchToImage
from countermark.generators.data.pictures import load_pictures
from countermark.generators.gan.recipe import DataConfig
from countermark.generators.grids import sheet
from countermark.generators.library import load_generator, to_pixels
from countermark.generators.measuring.quality import kid
from countermark.generators.sketch.edges import canny_edges, doodle
from countermark.generators.sketch.measure import distance, edge_f1

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
) -> SketchReport:
    """Measures doodle to image on what its training held out of ``data``.

    Args:
        data: The folder or archive that it was trained on.
        count: Most photographs used.
        extractor: Of the features in which closeness and variety are measured.

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
    found = {"real": extract(real), "one": extract(one), "two": extract(two), "train": extract(train)}
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
        edge_f1=bootstrap(lambda v: float(np.mean(v)), kept, seed=seed),
        edge_f1_other=bootstrap(lambda v: float(np.mean(v)), other, seed=seed),
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
