"""Class-conditional samples for the small classes of a labelled folder, as a corpus.

``fill_classes`` writes ``CLASS/NAME-SEED.png`` and ``metadata.csv`` whose rows say ``synthetic``, the
class (``condition``), the generator with its digest, and the seed: put beside the real folder, the
two are a larger training set whose generated part can be told apart and taken out again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from countermark.core.corpus import METADATA, Corpus, CorpusRow, write_metadata
from countermark.core.errors import CorpusError, OutputError
from countermark.core.files import atomic_write, sha256_bytes, sha256_file
from countermark.core.images import encode_image
from countermark.generators.base import LoadedGenerator
from countermark.generators.data.pictures import DataConfig, Pictures, load_pictures
from countermark.generators.measuring.classifier import Classifier
from countermark.generators.recipes.schema import Recipe

#: Generated images of one class have seeds of their own, so that classes can be filled up separately.
SEEDS_EACH = 1_000_000


@dataclass(frozen=True)
class Filled:
    """A corpus of generated images, and how many each class had and got."""

    corpus: Corpus
    counts: dict[str, int]
    added: dict[str, int]


def load_labelled(data: Path | str, recipe: Recipe, seed: int = 0) -> Pictures:
    """All labelled images of a folder, none held out.

    Raises:
        CorpusError: ``corpus.one-class``, or ``corpus.too-small`` if a class has a single image.
    """
    network = recipe.network
    options = DataConfig.model_validate({**recipe.data.model_dump(), "holdout": 0.0})
    if not options.class_pattern:
        options = options.model_copy(update={"classes": True})
    pictures = load_pictures(
        data, size=network.get("size", 64), channels=network.get("channels", 3), options=options, seed=seed
    )
    check_classes(pictures)
    return pictures


def check_classes(pictures: Pictures) -> None:
    """Raises CorpusError unless there are two classes with two images each."""
    if len(pictures.classes) < 2 or pictures.labels is None:
        raise CorpusError(
            f"{pictures.name} has images of one class only.",
            code="corpus.one-class",
            hint="Sort the images into one folder for each class, or train with --self-labels.",
        )
    counts = np.bincount(pictures.labels, minlength=len(pictures.classes))
    if counts.min() < 2:
        name = pictures.classes[int(counts.argmin())]
        raise CorpusError(
            f"The class {name!r} has {counts.min()} readable image.",
            code="corpus.too-small",
            hint="From one image nothing can be learnt but that image: add some, or leave the class out.",
        )


def fill_classes(
    generator: LoadedGenerator,
    counts: dict[str, int],
    added: dict[str, int],
    out: Path | str,
    *,
    seed: int = 0,
    teacher: Classifier | None = None,
    resume: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Filled:
    """Writes ``added[class]`` images of each class under ``out`` and returns the corpus.

    Args:
        counts: Real images of each class, in the order of the teacher's classes.
        teacher: Classifier of the real images; what it takes for another class is passed over.
        resume: Files that a call which was stopped has written stay, where they hold the same image.
        progress: Called after every image that was written.

    Raises:
        OutputError: ``output.exists``.
        ConfigError: ``generator.condition``: a class that the generator does not know.
        CorpusError: two classes whose names make the same folder.
    """
    root = Path(out)
    if (root / METADATA).exists():
        raise OutputError(
            f"{root} already holds a corpus.", code="output.exists", hint="Choose another folder."
        )
    folders = {name: folder_name(name) for name in added}
    if len(set(folders.values())) < len(folders):
        raise CorpusError("Two classes differ only in characters that folder names cannot hold.")
    for name in added:
        generator.class_index(name)
    rows = []
    for order, (name, count) in enumerate(added.items()):
        first = seed + order * SEEDS_EACH
        seeds, images = pick(generator, name, list(counts).index(name), count, first, teacher)
        for number, pixels in zip(seeds, images, strict=True):
            data = encode_image(pixels, "png")
            file_name = f"{folders[name]}/{folder_name(generator.name)}-{number:09d}.png"
            if not (resume and _holds(root / file_name, data)):
                atomic_write(root / file_name, data)
            if progress is not None:
                progress(1)
            extra = {
                "weights_sha256": generator.sha256,
                "family": generator.card.family,
                "condition": name,
            }
            rows.append(
                CorpusRow(
                    file_name=file_name,
                    label="synthetic",
                    generator=generator.name,
                    source="countermark",
                    split="train",
                    seed=str(number),
                    sha256=sha256_bytes(data),
                    extra=extra,
                )
            )
    return Filled(write_metadata(root, rows), counts, added)


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(data) and sha256_file(path) == sha256_bytes(data)


def pick(
    generator: LoadedGenerator, name: str, number: int, count: int, first: int, teacher: Classifier | None
) -> tuple[list[int], np.ndarray]:
    """Seeds and images (uint8 [count, H, W, 3]) of a class, made from the seeds after ``first``.

    With a teacher, up to three times as many are made; those that it takes for class ``number`` come
    first, in the order of their seeds, then the likeliest of the others.
    """
    tries = max(count * (3 if teacher is not None else 1), 1)
    images = generator.sample(tries, first, name)
    order = np.arange(tries)
    if teacher is not None:
        chances = teacher.probabilities(images)
        agrees = chances.argmax(axis=1) == number
        order = np.lexsort((np.where(agrees, 0, -chances[:, number]), ~agrees))
    chosen = np.sort(order[:count])
    return [first + int(index) for index in chosen], images[chosen]


def folder_name(name: str) -> str:
    """A class's name as a folder that stays inside its parent on every system."""
    return re.sub(r"[^\w.-]|^[.]+", "_", name)[:80] or "_"
