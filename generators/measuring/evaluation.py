"""Evaluation of a generator against real images: closeness, variety and copying in one record.

>>> report = evaluate_generator("digits-32", "digits", count=200, extractor="dct")
>>> report.extractor, report.kid.n, report.copying.count
('dct', 200, 200)

The data are read as the recipe on the generator's card says, with its seed, so that the held-out
images are those that it was not trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from countermark.core.errors import CountermarkError
from countermark.core.features import Extractor, load_extractor
from countermark.core.images import write_image
from countermark.core.results import Interval
from countermark.core.weights import WeightsCard
from countermark.generators.base import LoadedGenerator
from countermark.generators.data.pictures import DataConfig, Pictures, load_pictures
from countermark.generators.grids import sheet
from countermark.generators.library import load_generator
from countermark.generators.measuring.copying import CopyingReport, copying
from countermark.generators.measuring.quality import frechet, half_sampled, kid, neighbourhood
from countermark.generators.recipes.schema import parse_recipe

MINIMUM_HELDOUT = 50
#: Images between two reports of how far it is.
PART = 128
#: Told what is done, how many images of it are, and of how many.
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class GeneratorReport:
    """Figures of one generator on one data set; all made with ``extractor``.

    Attributes:
        reference: ``held-out``, or ``training`` when fewer than 50 images are held out.
        kid, frechet, precision, recall, density, coverage: See ``measuring.quality``.
        copying: See ``measuring.copying``; None when too few images are held out to tell.
        gallery: Path of the picture of generated images beside their nearest training images.
        frechet_interval: The same Frechet distance with its spread over random halves.
        pairs: The picture itself, uint8 RGB; None where ``copying`` is None.
    """

    name: str
    sha256: str
    data: str
    extractor: str
    reference: str
    count_real: int
    count_generated: int
    count_train: int
    seed: int
    kid: Interval
    frechet: float
    precision: Interval
    recall: Interval
    density: float
    coverage: float
    copying: CopyingReport | None
    gallery: str | None = None
    frechet_interval: Interval | None = None
    pairs: np.ndarray | None = field(default=None, repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready figures, without the picture and the per-image distances."""
        record = asdict(replace(self, pairs=None))
        record.pop("pairs")
        record["schema"] = "countermark.generator-report/1"
        if self.copying is not None:
            record["copying"].pop("nearest")
            record["copying"].pop("distances")
            record["copying"]["sentence"] = self.copying.sentence
        return record


def evaluate_generator(
    generator: str | Path | LoadedGenerator,
    data: Path | str,
    *,
    count: int = 1000,
    seed: int = 1_000_000,
    extractor: str | Extractor = "auto",
    options: DataConfig | None = None,
    gallery: Path | str | None = None,
    max_train: int = 3000,
    report: Tell | None = None,
) -> GeneratorReport:
    """Measures a generator against the images in ``data``.

    Args:
        count: Images to generate; as many real ones are used where there are.
        options: How images become pictures; by default what the card's recipe says.
        gallery: Where to write the picture of the closest pairs (it shows training images).
        max_train: Most training images that copies are looked for among.
        report: Told what is done, how many images of it are, and of how many.

    Raises:
        CorpusError, UnknownNameError, MissingExtraError, OutputError.
    """
    tell = report or _silent
    loaded = load_generator(generator) if isinstance(generator, str | Path) else generator
    pictures = load_pictures(
        data,
        size=loaded.size,
        channels=int(loaded.card.config["channels"]),
        options=options or card_options(loaded.card),
        seed=int(loaded.card.trained.get("seed", 0)),
    )
    parts = []
    for start in range(0, count, PART):
        parts.append(loaded.sample(min(PART, count - start), seed=seed + start))
        tell("Generating", min(start + PART, count), count)
    images = np.concatenate(parts)
    return evaluate_images(
        images,
        pictures,
        extractor=extractor,
        name=loaded.name,
        sha256=loaded.sha256,
        seed=seed,
        gallery=gallery,
        max_train=max_train,
        report=report,
    )


def evaluate_images(
    images: np.ndarray,
    pictures: Pictures,
    *,
    extractor: str | Extractor = "auto",
    name: str = "images",
    sha256: str = "",
    seed: int = 0,
    gallery: Path | str | None = None,
    max_train: int = 3000,
    report: Tell | None = None,
) -> GeneratorReport:
    """Measures uint8 [N, H, W, 3] images, wherever they are from, against ``pictures``.

    ``max_train`` bounds the training images that copies are looked for among.
    """
    extract = load_extractor(extractor) if isinstance(extractor, str) else extractor
    rng = np.random.default_rng(seed)
    train = pictures.images[np.sort(rng.permutation(len(pictures))[:max_train])]
    heldout = pictures.heldout[rng.permutation(len(pictures.heldout))[: max(len(images), MINIMUM_HELDOUT)]]
    enough = len(heldout) >= MINIMUM_HELDOUT
    total = len(images) + len(train) * (2 if enough else 1) + len(heldout) * enough
    told = _Told(extract, total, report or _silent)
    features, features_train = told(images), told(train)
    features_held = told(heldout) if enough else None
    real = features_held if features_held is not None else features_train[: len(images)]
    shown = neighbourhood(real, features)
    copied = None
    if features_held is not None:
        mirrored = told(np.ascontiguousarray(train[:, :, ::-1]))
        copied = copying(features_train, features_held, features, mirrored=mirrored, seed=seed)
    pairs = pairs_sheet(images, train, copied) if copied is not None else None
    if gallery is not None and pairs is not None:
        write_image(gallery, pairs)
    distance = half_sampled(frechet, real, features, seed=seed)
    return GeneratorReport(
        name=name,
        sha256=sha256,
        data=pictures.name,
        extractor=extract.name,
        reference="held-out" if enough else "training",
        count_real=len(real),
        count_generated=len(images),
        count_train=len(train),
        seed=seed,
        kid=kid(real, features, seed=seed),
        frechet=distance.value,
        precision=_share("precision", real, features, seed),
        recall=_share("recall", real, features, seed),
        density=shown["density"],
        coverage=shown["coverage"],
        copying=copied,
        gallery=str(gallery) if gallery is not None and copied is not None else None,
        frechet_interval=distance,
        pairs=pairs,
    )


class _Told:
    """An extractor that tells how many images it has seen."""

    def __init__(self, extract: Extractor, total: int, tell: Tell) -> None:
        self._extract, self._total, self._tell, self._done = extract, total, tell, 0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(images), PART):
            parts.append(self._extract(images[start : start + PART]))
            self._done += len(parts[-1])
            self._tell("Features", self._done, self._total)
        return np.concatenate(parts)


def _silent(what: str, done: int, total: int) -> None:
    """Tells nobody."""


def _share(name: str, real: np.ndarray, fake: np.ndarray, seed: int) -> Interval:
    return half_sampled(lambda r, f: neighbourhood(r, f)[name], real, fake, seed=seed, limits=(0.0, 1.0))


def pairs_sheet(images: np.ndarray, train: np.ndarray, copied: CopyingReport, rows: int = 8) -> np.ndarray:
    """The generated images closest to training images, each with that image on its right.

    A training image is shown mirrored if it fits better so. uint8 RGB; four pairs in a row.
    """
    tiles = []
    for index in np.argsort(copied.distances)[: rows * 4]:
        made = images[index]
        real = np.broadcast_to(train[copied.nearest[index]], made.shape)
        as_is, flipped = (np.abs(made.astype(int) - r).mean() for r in (real, real[:, ::-1]))
        tiles += [made, real if as_is <= flipped else real[:, ::-1]]
    return sheet(np.stack(tiles), columns=8)


def card_figures(report: GeneratorReport) -> dict[str, Any]:
    """The figures as a card's ``metrics`` hold them, with extractor and numbers of images."""
    figures: dict[str, Any] = {
        "extractor": report.extractor,
        "reference": f"{report.count_real} {report.reference} images",
        "generated": report.count_generated,
        "first_seed": report.seed,
        "kid": _rounded(report.kid),
        "frechet": round(report.frechet, 2),
        "precision": _rounded(report.precision),
        "recall": _rounded(report.recall),
        "density": round(report.density, 3),
        "coverage": round(report.coverage, 3),
    }
    if report.copying is not None:
        c = report.copying
        figures["copying"] = {
            "c_t": round(c.c_t, 2),
            "authentic": round(c.authentic, 3),
            "authentic_heldout": round(c.authentic_heldout, 3),
            "near_duplicates": round(c.near_duplicates, 4),
            "copies": c.copies,
            "among": f"{report.count_train} training images",
        }
    return figures


def _rounded(interval: Interval) -> dict[str, float]:
    return {key: round(getattr(interval, key), 5) for key in ("value", "low", "high")}


def card_options(card: WeightsCard) -> DataConfig:
    """How the recipe on a card reads its data; the default if there is none."""
    try:
        return parse_recipe(card.trained["recipe"]).data
    except (KeyError, CountermarkError):
        return DataConfig()
