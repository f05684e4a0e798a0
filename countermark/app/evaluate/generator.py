"""A generator against its data, as a report document and the picture that belongs to it.

>>> document, images = evaluate_generator("digits-32", "digits", count=60, extractor="dct")
>>> document["figures"][0]["name"], list(images)
('KID', ['closest-pairs'])
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from countermark.app.evaluate.rows import Row, point
from countermark.core.errors import ConfigError
from countermark.core.images import Pixels
from countermark.core.intervals import rate
from countermark.core.results import Interval

LOG = logging.getLogger(__name__)

if TYPE_CHECKING:
    from countermark.generators.base import LoadedGenerator
    from countermark.generators.measuring.evaluation import GeneratorReport
    from countermark.generators.sketch.generator import SketchToImage
    from countermark.generators.sketch.measure import SketchReport
    from countermark.reports import Thumbnail

    Measured = tuple[dict[str, Any], dict[str, Thumbnail]]


def evaluate_generator(
    name: str,
    data: str,
    *,
    count: int = 1000,
    extractor: str = "auto",
    seed: int = 1_000_000,
    gallery: Path | None = None,
    report: Callable[[str, int, int], None] | None = None,
) -> Measured:
    """A generator against the images that it was trained on: quality and copying; of one that draws
    doodles, how well lines are kept, quality and variety.

    Args:
        count: Images to generate, from ``seed`` on.
        extractor: Makes the features of every figure; see ``countermark.core.features``.
        gallery: Where to write the picture of the closest pairs.
        report: Told what is done, how many of it are, and of how many.

    Returns:
        The document, and the picture that its HTML form shows: generated images beside the training
        images nearest to them, or doodles and what was drawn.

    Raises:
        ConfigError: ``generator.no-evaluation``: a generator that this command does not measure.
        CorpusError, UnknownNameError, MissingExtraError, OutputError, WeightsError.
    """
    from countermark.generators.base import ConditionalGenerator
    from countermark.generators.library import load_generator
    from countermark.generators.sketch.generator import SketchToImage

    loaded = load_generator(name)
    LOG.info("Measuring %s with %d images in %s features", loaded.name, count, extractor)
    if isinstance(loaded, SketchToImage):
        return _sketch(
            loaded, data, count=count, extractor=extractor, seed=seed, gallery=gallery, report=report
        )
    if isinstance(loaded, ConditionalGenerator):
        raise ConfigError(
            f"{loaded.name} starts from an image; there is no evaluation of its kind.",
            code="generator.no-evaluation",
        )
    return _samples(loaded, data, count=count, extractor=extractor, seed=seed, gallery=gallery, report=report)


def _samples(loaded: LoadedGenerator, data: str, *, gallery: Path | None, **options: Any) -> Measured:
    from countermark.generators.measuring.evaluation import evaluate_generator as run

    found = run(loaded, data, gallery=gallery, **options)

    def once(value: float) -> Row:
        return point(value, found.count_generated)

    def share(value: float, count: int) -> Interval:
        return rate(round(value * count), count)

    rows: list[Row] = [
        {"name": "KID", "interval": found.kid},
        {"name": "Fréchet distance", "interval": found.frechet_interval or once(found.frechet)},
        {"name": "precision", "interval": found.precision},
        {"name": "recall", "interval": found.recall},
        {"name": "density", "interval": once(found.density)},
        {"name": "coverage", "interval": share(found.coverage, found.count_real)},
    ]
    notes = [
        f"Features: {found.extractor}. Reference: {found.reference} images ({found.count_real}). Figures in "
        "other features, or of other numbers of images, are not comparable.",
        "Intervals: 95 %, from random halves of both sets; of coverage and of shares of images: exact. "
        "Figures without one were measured once.",
    ]
    headline = ""
    if found.copying is None:
        notes.append("Too few images are held out of training to look for copies.")
    else:
        headline = found.copying.sentence
        copying, made = found.copying, found.count_generated
        rows += [
            {"name": "C_T (copying score)", "interval": once(copying.c_t)},
            {"name": "authentic share", "interval": share(copying.authentic, made)},
            {
                "name": "authentic share of held-out reals",
                "interval": share(copying.authentic_heldout, found.count_real),
            },
            {"name": "near-duplicates of training images", "interval": share(copying.near_duplicates, made)},
        ]
    if found.gallery:
        notes.append(f"Closest pairs: {found.gallery}")
    caption = (
        "Closest pairs: each generated image with the training image nearest to it on its right, "
        "mirrored if it fits better so; the closest first."
    )
    picture = None if found.pairs is None else ("closest-pairs", caption, found.pairs)
    return _document(found, rows, notes, headline, picture)


def _sketch(loaded: SketchToImage, data: str, *, gallery: Path | None, **options: Any) -> Measured:
    from countermark.core.images import write_image
    from countermark.generators.sketch.measure import evaluate_sketch

    found = evaluate_sketch(loaded, data, **options)
    rows: list[Row] = [
        {"name": "edge-F1, 2 px", "interval": found.edge_f1},
        {"name": "edge-F1 of another doodle's image", "interval": found.edge_f1_other},
        {"name": "KID", "interval": found.kid},
        {"name": "KID of training photographs", "interval": found.kid_training},
        {"name": "distance of two seeds of a doodle", "interval": point(found.seeds, found.count)},
        {"name": "distance of two doodles", "interval": point(found.doodles, found.count)},
        {"name": "distance of two photographs", "interval": point(found.photographs, found.count)},
    ]
    notes = [
        f"Doodles: undisturbed edges of {found.count} photographs that were held out of training.",
        f"KID and distances (mean cosine) in the features of {found.extractor}.",
    ]
    if gallery is not None:
        write_image(gallery, found.examples)
        notes.append(f"Examples: {gallery}")
    caption = "Doodles, two seeds of each, and the photographs whose edges they are."
    return _document(found, rows, notes, "", ("examples", caption, found.examples))


def _document(
    found: GeneratorReport | SketchReport,
    rows: list[Row],
    notes: list[str],
    headline: str,
    picture: tuple[str, str, Pixels] | None,
) -> Measured:
    from countermark.reports import evaluation_document, make_thumbnail

    document = evaluation_document(
        f"Generator {found.name}",
        rows,
        subject={"name": found.name, "sha256": found.sha256, "data": found.data, "seed": found.seed},
        notes=notes,
        headline=headline,
        pictures=[{"name": picture[0], "caption": picture[1]}] if picture else [],
    )
    if picture is None:
        return document, {}
    return document, {picture[0]: make_thumbnail(picture[2], side=1100, quality=92)}
