"""Augment: fill up the small classes of a labelled folder, and measure whether that helps.

>>> done = augment("flowers", "more", images=30_000)          # doctest: +SKIP
>>> done.report.helped, done.sentence                         # doctest: +SKIP

``out`` receives ``CLASS/*.png`` with ``metadata.csv``, the generator (``model/``) if one was trained,
``augmentation.json`` and ``augmentation.md``; until it is done also ``comparison.json``, by which a call
that was stopped goes on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from countermark.core.corpus import METADATA
from countermark.core.errors import ConfigError, OutputError
from countermark.core.files import atomic_write

LOG = logging.getLogger(__name__)

if TYPE_CHECKING:
    from countermark.core.results import Interval
    from countermark.generators.augmentation import AugmentationReport
    from countermark.generators.recipes.schema import Recipe


@dataclass(frozen=True)
class Augmented:
    """What ``augment`` made: images by class before and added, and the report if one was asked for."""

    folder: str
    counts: dict[str, int]
    added: dict[str, int]
    report: AugmentationReport | None

    @property
    def sentence(self) -> str:
        """The outcome for people."""
        made = f"Added {sum(self.added.values())} images to {sum(self.counts.values())} in {self.folder}."
        if not sum(self.added.values()):
            made = "All classes are equally large, so none was filled up; --add SHARE adds to all."
        return f"{made} {self.report.sentence if self.report else 'Whether they help was not measured.'}"

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        report = None if self.report is None else self.report.as_dict()
        return {
            "folder": self.folder,
            "counts": self.counts,
            "added": self.added,
            "sentence": self.sentence,
            "report": report,
        }


def augment(
    data: Path | str,
    out: Path | str,
    *,
    model: str | Path | None = None,
    recipe: str | Path = "augment-32",
    size: int | None = None,
    channels: int | None = None,
    images: int | None = None,
    add: float | None = None,
    measured: bool = True,
    seeds: int = 5,
    shares: Sequence[float] = (0.5, 2.0),
    per_class: int | None = None,
    classifier_steps: int = 300,
    seed: int = 0,
    minutes: float | None = None,
    resume: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Augmented:
    """Makes class-conditional images for the small classes of ``data``.

    Args:
        data: Folder with a folder for each class, or another source with classes.
        model: A class-conditional generator that knows the classes; otherwise one is trained.
        size, channels, images: Replace those of the recipe.
        add: Add so many times the number of real images, smallest classes first; by default every
            class is brought to the size of the largest.
        measured: Compare classifiers with and without generated images, over ``seeds`` splits and
            ``shares`` of generated to real images. Trains a generator for every split.
        per_class: Use so many images of each class only; the others test.
        classifier_steps: Of every classifier, those that compare and the one that sorts.
        minutes: The longest that each generator is trained.
        resume: Go on with a call that was stopped: splits that it compared, the training of its generator
            and pictures that it wrote are kept.
        progress: Told what is done, how many of it are, and of how many.

    Raises:
        CorpusError, ConfigError, OutputError, TrainingError, UnknownNameError.
    """
    from countermark.generators import load_generator
    from countermark.generators.augmentation import MeasureSettings, allot, fill_classes, fill_up, measure
    from countermark.generators.augmentation.benefit import split
    from countermark.generators.augmentation.filling import load_labelled
    from countermark.generators.measuring.classifier import train_classifier

    root = Path(out)
    kept = root / "comparison.json"
    if (root / METADATA).exists() or (root / "augmentation.json").exists():
        raise OutputError(
            f"{root} already holds an augmentation.", code="output.exists", hint="Choose another folder."
        )
    if kept.exists() and not resume:
        raise OutputError(
            f"{root} holds an augmentation that was stopped.",
            code="output.exists",
            hint="Go on with --resume, or choose another folder.",
        )
    if add is not None and not 0 < add <= 100:
        raise ConfigError(f"The share {add:g} is not above 0 and at most 100.", code="augment.settings")
    generator = None if model is None else load_generator(model)
    if generator is not None:
        size, channels = generator.size, int(generator.card.config["channels"])
    chosen = _recipe(recipe, size, channels, images, minutes)
    pictures = load_labelled(data, chosen, seed)
    settings = MeasureSettings(
        tuple(shares), seeds, per_class=per_class, classifier_steps=classifier_steps, seed=seed
    )
    report = None
    if measured:
        root.mkdir(parents=True, exist_ok=True)
        compared = _counted(progress, "Comparing", seeds)
        report = measure(pictures, chosen, settings, generator=generator, progress=compared, kept=kept)
    if per_class is not None:
        pictures, _ = split(pictures, settings, seed)
    assert pictures.labels is not None
    sizes = np.bincount(pictures.labels, minlength=len(pictures.classes)).tolist()
    LOG.info("%d images in %d classes", len(pictures), len(pictures.classes))
    extra = fill_up(sizes) if add is None else allot(sizes, round(add * len(pictures)))
    counts, added = (dict(zip(pictures.classes, n, strict=True)) for n in (sizes, extra))
    if generator is None and any(extra):
        generator = load_generator(
            _trained(pictures, root / "model", chosen, seed, resume, progress is not None)
        )
    if generator is not None:
        teacher = train_classifier(
            pictures.images,
            pictures.labels,
            len(sizes),
            steps=classifier_steps,
            seed=seed,
            augment=True,
            mirror=chosen.data.mirror,
        )
        written = _counted(progress, "Writing", sum(extra))
        fill_classes(
            generator, counts, added, root, seed=seed, teacher=teacher, resume=resume, progress=written
        )
    done = Augmented(str(root), counts, added, report)
    atomic_write(root / "augmentation.json", json.dumps(done.as_dict(), indent=2, ensure_ascii=False) + "\n")
    atomic_write(root / "augmentation.md", as_markdown(done), overwrite=resume)
    kept.unlink(missing_ok=True)
    return done


def _counted(
    progress: Callable[[str, int, int], None] | None, what: str, total: int
) -> Callable[[int], None] | None:
    """Counts steps of one part of the work."""
    if progress is None:
        return None
    tell, done = progress, 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        tell(what, done, total)

    return step


def _trained(pictures: Any, folder: Path, recipe: Recipe, seed: int, resume: bool, progress: bool) -> Path:
    """Weights of the generator: those of a call before, if they are done, else trained now."""
    from countermark.generators.gan.training import train_pictures

    done = next(iter(sorted(folder.glob("*.safetensors"))), None) if resume else None
    begun = (folder / "checkpoint.safetensors").exists()
    if done is not None and done.name != "checkpoint.safetensors" and not begun:
        return done
    return train_pictures(
        pictures, folder, recipe=recipe, name="augment", seed=seed, resume=resume and begun, progress=progress
    )


def as_markdown(done: Augmented) -> str:
    """The outcome, the classes and the comparison as Markdown."""
    parts = [f"# Augmentation\n\n{done.sentence}"]
    lines = [f"| {_cell(name)} | {n} | {done.added[name]} |" for name, n in done.counts.items()]
    parts.append("| class | real | added |\n|---|---|---|\n" + "\n".join(lines))
    if done.report is not None:
        parts.append(comparison_table(done.report))
        parts.extend(done.report.notes)
    return "\n\n".join(parts) + "\n"


def comparison_table(report: AugmentationReport) -> str:
    """Accuracy with its difference from training without generated images, in points, as Markdown."""
    head = (
        f"{report.data}: {report.train} training and {report.test} test images a seed, {report.classes} "
        f"classes at {report.size} px, {report.settings.seeds} seeds. Accuracy within each class, averaged, "
        "in per cent; differences are paired, intervals are 95 % over all shares tried.\n\n"
        "| generated / real | classical augmentation | accuracy | difference |\n|---|---|---|---|\n"
    )
    rows = [
        f"| {row.share:.0%} | {'yes' if row.classical else 'no'} | {100 * row.accuracy.value:.1f} | "
        f"{_points(row.difference)} |"
        for row in report.rows
    ]
    return head + "\n".join(rows)


def _points(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    value, low, high = (100 * v for v in (interval.value, interval.low, interval.high))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def _cell(text: str) -> str:
    """A class's name as a Markdown cell: names of folders are not to be trusted with markup."""
    return "".join(f"&#{ord(c)};" if c in "|<>&`[]*_\n\r\\" else c for c in text)


def _recipe(
    recipe: str | Path, size: int | None, channels: int | None, images: int | None, minutes: float | None
) -> Recipe:
    from countermark.generators.recipes.schema import load_recipe, parse_recipe

    values = load_recipe(recipe).model_dump()
    given = {"size": size, "channels": channels}
    values["network"] = {**values["network"], **{k: v for k, v in given.items() if v is not None}}
    if images is not None:
        values["images"] = images
    if minutes is not None:
        values["minutes"] = minutes
    return parse_recipe(values)
