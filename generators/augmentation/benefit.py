"""Did generated images help? A classifier with and without them, over seeds, as paired differences.

Every seed has its own split into training and test images, its own generator, trained on that
seed's training images only, and its own classifiers. Generated images that a classifier of the same
training images takes for another class are left out, as ``fill_classes`` does. Each classifier
takes the same number of steps, whatever it is trained on, once without and once with classical
augmentation; the same split, so differences are paired.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from countermark.core.errors import ConfigError, CorpusError
from countermark.core.results import Interval
from countermark.core.seeds import derive, rng
from countermark.generators.augmentation.filling import check_classes, pick
from countermark.generators.augmentation.kept import Kept, Split
from countermark.generators.augmentation.plan import allot
from countermark.generators.base import LoadedGenerator
from countermark.generators.data.pictures import Pictures
from countermark.generators.gan.training import train_pictures
from countermark.generators.library import load_generator
from countermark.generators.measuring.classifier import Classifier, train_classifier
from countermark.generators.recipes.schema import Recipe


@dataclass(frozen=True)
class MeasureSettings:
    """How to measure.

    Attributes:
        shares: Generated images over real training images; 0 is always measured.
        seeds: Number of splits.
        test_share: Of each class, at least one image.
        per_class: Training images kept of each class, the rest being test images; None keeps all.
        classifier_steps: Of every classifier.
    """

    shares: tuple[float, ...] = (0.5, 2.0)
    seeds: int = 5
    test_share: float = 0.25
    per_class: int | None = None
    classifier_steps: int = 300
    seed: int = 0


@dataclass(frozen=True)
class Row:
    """One way of training: accuracy, and its difference from the same without generated images."""

    share: float
    classical: bool
    accuracy: Interval
    difference: Interval | None
    values: tuple[float, ...]


@dataclass(frozen=True)
class AugmentationReport:
    """What was measured.

    Attributes:
        train, test: Images of the first seed's split.
        rows: Ways of training; those with classical augmentation last.
        notes: Reservations, for people.
    """

    data: str
    classes: int
    train: int
    test: int
    size: int
    rows: tuple[Row, ...]
    settings: MeasureSettings
    generator: str
    notes: tuple[str, ...] = ()

    @property
    def helped(self) -> bool:
        """Whether a share helped, with classical augmentation: its interval lies above zero.

        The intervals are widened for the number of shares tried (Bonferroni).
        """
        return any(r.difference is not None and r.difference.low > 0 for r in self.rows if r.classical)

    @property
    def sentence(self) -> str:
        """The outcome in a sentence."""
        rows = [r for r in self.rows if r.classical and r.difference is not None]
        best = max(rows, key=lambda r: r.difference.value if r.difference else 0.0)
        assert best.difference is not None
        gain, low, high = (
            100 * v for v in (best.difference.value, best.difference.low, best.difference.high)
        )
        found = (
            f"{best.share:.0%} generated images changed accuracy by {gain:+.1f} points "
            f"({low:+.1f} to {high:+.1f})"
        )
        if self.helped:
            return f"Generated images helped: with classical augmentation, {found}."
        plain = any(r.difference is not None and r.difference.low > 0 for r in self.rows if not r.classical)
        also = " They helped only where classical augmentation was left out." if plain else ""
        return f"Generated images did not help: with classical augmentation, at best {found}.{also}"

    def as_dict(self) -> dict[str, Any]:
        record = asdict(self)
        record.update(schema="countermark.augmentation/1", helped=self.helped, sentence=self.sentence)
        return record


def measure(
    pictures: Pictures,
    recipe: Recipe,
    settings: MeasureSettings | None = None,
    *,
    generator: LoadedGenerator | None = None,
    progress: Callable[[int], None] | None = None,
    kept: Path | None = None,
) -> AugmentationReport:
    """Trains and compares; see the module's docstring.

    Args:
        recipe: Of the generators that are trained, one for each seed.
        generator: Use this one for all seeds instead. If it saw the test images in its training, the
            figures are too good; the report says so.
        kept: A file that receives every split when it is measured; splits that it holds already, of the
            same images and settings, are not measured again.

    Raises:
        ConfigError: shares or seeds that make no comparison.
        CorpusError: too few classes or images.
    """
    settings = settings or MeasureSettings()
    if settings.seeds < 2 or not settings.shares or min(settings.shares) <= 0:
        raise ConfigError("A comparison needs two seeds and a share above zero.", code="augment.settings")
    check_classes(pictures)
    ways = [(share, classical) for share in (0.0, *settings.shares) for classical in (False, True)]
    splits = Kept(kept, _fingerprint(pictures, recipe, settings, generator), len(ways))
    for number in range(settings.seeds):
        if number >= len(splits.done):
            splits.add(_one_split(number, pictures, recipe, settings, generator, ways))
        if progress is not None:
            progress(1)
    accuracy = {way: [each.accuracy[at] for each in splits.done] for at, way in enumerate(ways)}
    sizes = [(each.train, each.test) for each in splits.done]
    rows = tuple(
        _row(share, classical, accuracy, len(settings.shares))
        for classical in (False, True)
        for share in (0.0, *settings.shares)
    )
    notes = []
    if generator is not None:
        notes.append(
            f"{generator.name} was trained before the splits were made; if it saw the test images, "
            "these figures are too good."
        )
    if sizes[0][1] < 100:
        notes.append(f"Only {sizes[0][1]} test images a seed: intervals are wide.")
    return AugmentationReport(
        pictures.name, len(pictures.classes), *sizes[0], pictures.images.shape[1], rows, settings,
        generator.name if generator else f"{recipe.name}, trained for each seed", tuple(notes),
    )  # fmt: skip


def _one_split(
    number: int,
    pictures: Pictures,
    recipe: Recipe,
    settings: MeasureSettings,
    generator: LoadedGenerator | None,
    ways: list[tuple[float, bool]],
) -> Split:
    """Trains on one split, once for each way: share of generated images, and whether augmented."""
    seed = derive(settings.seed, "augment", number) % 2**31
    train, test = split(pictures, settings, seed)
    made = generator or _trained(train, recipe, seed)
    assert train.labels is not None and test.labels is not None
    teacher = train_classifier(
        train.images, train.labels, len(train.classes), steps=settings.classifier_steps,
        seed=derive(seed, "teacher"), augment=True, mirror=recipe.data.mirror,
    )  # fmt: skip
    pool = _pool(made, train, max(settings.shares), seed, teacher)
    found = []
    for share, classical in ways:
        images, labels = _mixed(train, pool, share)
        judge = train_classifier(
            images, labels, len(pictures.classes), steps=settings.classifier_steps,
            seed=seed, augment=classical, mirror=recipe.data.mirror,
        )  # fmt: skip
        found.append(judge.accuracy(test.images, test.labels))
    return Split(len(train), len(test), tuple(found))


def _fingerprint(
    pictures: Pictures, recipe: Recipe, settings: MeasureSettings, generator: LoadedGenerator | None
) -> str:
    """Names all that a split's figures follow from."""
    digest = hashlib.sha256(np.ascontiguousarray(pictures.images).tobytes())
    digest.update(b"" if pictures.labels is None else np.asarray(pictures.labels, np.int64).tobytes())
    facts = [recipe.model_dump(mode="json"), asdict(settings), generator.sha256 if generator else ""]
    digest.update(json.dumps(facts, sort_keys=True).encode())
    return digest.hexdigest()


def split(pictures: Pictures, settings: MeasureSettings, seed: int) -> tuple[Pictures, Pictures]:
    """Training and test pictures, drawn within each class.

    Raises:
        CorpusError: ``per_class`` leaves no test image of a class.
    """
    assert pictures.labels is not None
    draws, train = rng(seed, "split"), []
    for number, name in enumerate(pictures.classes):
        mine = draws.permutation(np.flatnonzero(pictures.labels == number))
        keep = len(mine) - max(round(len(mine) * settings.test_share), 1)
        keep = keep if settings.per_class is None else settings.per_class
        if not 0 < keep < len(mine):
            raise CorpusError(
                f"The class {name!r} has {len(mine)} images; {keep} for training leave none to test on.",
                code="corpus.too-small",
            )
        train.append(mine[:keep])
    inside = np.sort(np.concatenate(train))
    outside = np.setdiff1d(np.arange(len(pictures)), inside)
    first, second = (
        replace(pictures, images=pictures.images[part], labels=pictures.labels[part])
        for part in (inside, outside)
    )
    return first, second


def paired(differences: np.ndarray, comparisons: int = 1) -> Interval:
    """Mean of paired differences with Student's t interval, 95 % over all ``comparisons``."""
    count = len(differences)
    reach = stats.t.ppf(1 - 0.025 / comparisons, count - 1) * differences.std(ddof=1) / count**0.5
    mean = float(differences.mean())
    return Interval(mean, mean - float(reach), mean + float(reach), count)


def _row(share: float, classical: bool, accuracy: dict[tuple[float, bool], list[float]], tried: int) -> Row:
    values = np.array(accuracy[share, classical])
    difference = paired(values - np.array(accuracy[0.0, classical]), tried) if share else None
    return Row(share, classical, paired(values), difference, tuple(float(v) for v in values))


def _trained(train: Pictures, recipe: Recipe, seed: int) -> LoadedGenerator:
    with tempfile.TemporaryDirectory(prefix="countermark-") as folder:
        out = Path(folder) / "run"
        path = train_pictures(train, out, recipe=recipe, name="augment", seed=seed, progress=False)
        return load_generator(path)


def _pool(
    made: LoadedGenerator, train: Pictures, share: float, seed: int, teacher: Classifier
) -> list[np.ndarray]:
    """Generated images of each class, enough for the largest share."""
    assert train.labels is not None
    counts = np.bincount(train.labels, minlength=len(train.classes)).tolist()
    wanted = allot(counts, round(share * len(train)))
    channels = train.images.shape[3]
    return [
        pick(made, c, i, n, derive(seed, "pool", c) % 2**31, teacher)[1][..., :channels]
        for i, (n, c) in enumerate(zip(wanted, train.classes, strict=True))
    ]


def _mixed(train: Pictures, pool: list[np.ndarray], share: float) -> tuple[np.ndarray, np.ndarray]:
    assert train.labels is not None
    counts = np.bincount(train.labels, minlength=len(train.classes)).tolist()
    extra = allot(counts, round(share * len(train)))
    images = [train.images, *(made[:n] for made, n in zip(pool, extra, strict=True))]
    return np.concatenate(images), np.concatenate([train.labels, np.repeat(np.arange(len(extra)), extra)])
