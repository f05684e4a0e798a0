"""The data engine: what a detector learns from, made of labelled corpora by a stated plan.

Every picture of a corpus gives several *items*: cropped only, delivered through the web, with
random histories, edited, made into a hard picture (screenshot, collage, edit, scan) and, for real ones, a
pair of the picture and its synthetic twin under one and the same history. Both classes pass through
the same draws; the only difference between them is the class.

    plan = plan_items(corpora, Draws(), seed=7)
    for place, pixels in draw_row(plan, 0, simulate_upsampler, plan.places()[0]): ...

Everything is drawn from the seed, the name of the file and the name of the draw, so that a plan can
be worked through in any order and taken up again after a break.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from countermark.core.corpus import Corpus, CorpusRow
from countermark.core.errors import CorpusError
from countermark.core.images import Pixels, read_image
from countermark.core.perturb import DELIVERIES, perturb
from countermark.core.seeds import derive, rng
from countermark.detectors.fitting.histories import random_crop, random_edits, random_history
from countermark.detectors.recipes.hardphotos import HARD, make_hard
from countermark.detectors.recipes.twins import Reconstruct, cut_to_multiple, make_twin
from countermark.detectors.scoring.kinds import kind_of
from countermark.detectors.scoring.views import resize_short

#: A delivery that shrinks is drawn only from pictures larger than this.
WEB_SHORT_SIDE = 400
LARGEST_SHORT_SIDE = 1600
TWIN_SIDE = 384


@dataclass(frozen=True)
class Draws:
    """What is drawn from every picture.

    Attributes:
        deliveries: Names of ``core.perturb.DELIVERIES``, each after a random crop.
        histories: Random histories.
        edited: Share of the pictures that are also drawn with everyday edits (``random_edits``).
        hard: Share of the pictures that are also made into a hard picture.
        twins: Share of the real pictures that also give a pair with a synthetic twin.
        masked: Share of the twins that are masked blends.
        alpha: Range of the twin's share in a blend.
        measured: Deliveries, or ``history``, drawn from a few pictures of each source, for measuring.
            Deliveries are drawn from large pictures only.
        measured_per_source: Pictures of a source that are drawn so, 0 for all.
        per_source: Pictures of a source that are drawn at all, 0 for all: a large source teaches little
            more than a small one and costs as much as many.
    """

    deliveries: tuple[str, ...] = ("native", "320q90")
    histories: int = 1
    edited: float = 0.0
    hard: float = 0.1
    twins: float = 0.5
    masked: float = 0.3
    alpha: tuple[float, float] = (0.5, 1.0)
    measured: tuple[str, ...] = ("q96", "q75")
    measured_per_source: int = 0
    per_source: int = 0


@dataclass(frozen=True)
class Item:
    """One picture to learn from or to measure on, not yet drawn.

    Attributes:
        row: Index of the picture among all rows of the plan.
        draw: Such as ``native``, ``history-0``, ``hard-scan``, ``pair-real``, ``pair-twin``.
        label: 1 for synthetic.
        group: What counts alike: the source, or generator and source.
        source: What is held out as a whole.
        kind: Of picture, see ``countermark.detectors.scoring.kinds``; empty where it is not known.
    """

    row: int
    draw: str
    label: int
    group: str
    source: str
    kind: str = ""


@dataclass(frozen=True)
class Plan:
    """Corpora, their rows in order, and the items that each row gives."""

    corpora: tuple[Corpus, ...]
    draws: Draws
    seed: int
    rows: tuple[tuple[Corpus, CorpusRow], ...]
    items: tuple[Item, ...]

    def places(self) -> list[list[int]]:
        """For every row, the positions in ``items`` of its items."""
        found: list[list[int]] = [[] for _ in self.rows]
        for position, item in enumerate(self.items):
            found[item.row].append(position)
        return found


def plan_items(corpora: Sequence[Corpus], draws: Draws, seed: int) -> Plan:
    """Lists every item. Rows of the split ``test`` are left out.

    Raises:
        CorpusError: no row is left.
    """
    ranks = [_ranks(corpus, seed) for corpus in corpora]
    most = draws.per_source or len(max(ranks, key=len, default={}))
    rows = tuple(
        (c, row)
        for c, rank in zip(corpora, ranks, strict=True)
        for row in c.rows
        if row.split != "test" and rank[row.file_name] < most
    )
    if not rows:
        raise CorpusError("The corpora hold no images to train on.", code="corpus.empty")
    items = []
    rank_of = {id(corpus): rank for corpus, rank in zip(corpora, ranks, strict=True)}
    for number, (corpus, row) in enumerate(rows):
        source = row.source or "unnamed"
        group = f"{row.generator or 'generated'}@{source}" if row.is_synthetic else source
        names = [*draws.deliveries, *(f"history-{i}" for i in range(draws.histories))]
        chance = rng(seed, "plan", row.file_name)
        if chance.random() < draws.hard:
            kinds = HARD.names()
            names.append(f"hard-{kinds[int(chance.integers(len(kinds)))]}")
        paired = chance.random() < draws.twins and not row.is_synthetic
        names += ["pair-real", "pair-twin"] if paired else []
        names += ["edited"] if rng(seed, "edited", row.file_name).random() < draws.edited else []
        if not draws.measured_per_source or rank_of[id(corpus)][row.file_name] < draws.measured_per_source:
            names += [f"measured-{name}" for name in draws.measured]
        for name in names:
            twin = name == "pair-twin"
            counted = f"twin@{source}" if twin else group
            label = int(row.is_synthetic or twin)
            items.append(Item(number, name, label, counted, source, kind_of(row.extra.get("kind", ""))))
    return Plan(tuple(corpora), draws, seed, rows, tuple(items))


def _ranks(corpus: Corpus, seed: int) -> dict[str, int]:
    """For every file its place in the lot by which pictures of its class and source are drawn."""
    by_source: dict[tuple[str, str], list[str]] = {}
    for row in corpus.rows:
        if row.split != "test":
            by_source.setdefault((row.label, row.source), []).append(row.file_name)
    lots = (sorted(names, key=lambda name: derive(seed, "lot", name)) for names in by_source.values())
    return {name: place for lot in lots for place, name in enumerate(lot)}


def draw_row(
    plan: Plan, row: int, reconstruct: Reconstruct, positions: Sequence[int]
) -> Iterator[tuple[int, Pixels]]:
    """Draws items of one row: (position in ``plan.items``, pixels). Left out: what cannot be drawn.

    Raises:
        ImageError: the picture cannot be read.
    """
    corpus, entry = plan.rows[row]
    picture = _load(corpus, entry)
    short = min(picture.shape[:2])
    for position in positions:
        name = plan.items[position].draw
        delivery = name.removeprefix("measured-")
        key = (entry.file_name, delivery)
        if delivery in DELIVERIES:
            if delivery == "native" or short > WEB_SHORT_SIDE:
                cropped = random_crop(picture, rng(plan.seed, "crop", entry.file_name))
                yield position, perturb(DELIVERIES[delivery], cropped)
        elif delivery.startswith("history"):
            yield position, random_history(picture, rng(plan.seed, *key))
        elif name == "edited":
            yield position, random_edits(picture, rng(plan.seed, *key))
        elif name.startswith("hard-"):
            generator = rng(plan.seed, *key)
            pictures = _companions(plan, row, picture, generator)
            made = make_hard(name.removeprefix("hard-"), pictures, generator)
            yield position, random_history(made, generator)
        else:
            yield position, _pair(plan, entry, picture, name, reconstruct)


def _pair(plan: Plan, entry: CorpusRow, picture: Pixels, name: str, reconstruct: Reconstruct) -> Pixels:
    """One of a pair: the same crop and the same history, with or without the generator's trace."""
    generator = rng(plan.seed, "pair", entry.file_name)
    short = min(picture.shape[:2])
    if short > 2 * TWIN_SIDE and generator.random() < 0.5:
        picture = resize_short(picture, int(generator.integers(TWIN_SIDE, 2 * TWIN_SIDE)))
    high, wide = (min(n, TWIN_SIDE) for n in picture.shape[:2])
    top = int(generator.integers(picture.shape[0] - high + 1))
    left = int(generator.integers(picture.shape[1] - wide + 1))
    cropped = cut_to_multiple(picture[top : top + high, left : left + wide])
    if name == "pair-twin":
        cropped, _ = make_twin(
            cropped, generator, reconstruct, alpha=plan.draws.alpha, masked=plan.draws.masked
        )
    return random_history(cropped, rng(plan.seed, "pair-history", entry.file_name), crop=False)


def _companions(plan: Plan, row: int, picture: Pixels, generator: np.random.Generator) -> list[Pixels]:
    """The picture and three of its class and source, for collages: corpora can be split and joined."""
    corpus, entry = plan.rows[row]
    own = (entry.label, entry.source)
    others = [r for r in corpus.rows if (r.label, r.source) == own and r.split != "test"]
    chosen = [others[int(i)] for i in generator.integers(len(others), size=3)]
    return [picture, *(_load(corpus, other) for other in chosen)]


def _load(corpus: Corpus, row: CorpusRow) -> Pixels:
    pixels = read_image(corpus.root / row.file_name).pixels
    return resize_short(pixels, LARGEST_SHORT_SIDE) if min(pixels.shape[:2]) > LARGEST_SHORT_SIDE else pixels
