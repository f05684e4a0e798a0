"""Scores and what follows from them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from countermark.core.errors import ImageError, WeightsError
from countermark.core.weights import WeightsCard
from countermark.detectors.regions.finder import (
    FEATURES,
    MAP_FEATURES,
    MIN_SIDE,
    SCORE_NAMES,
    TOP,
    WINDOWS,
    RegionFinder,
    chance,
    chance_of_cells,
    described,
    features,
    load_finder,
)
from countermark.detectors.towers.shape import TOKENS, WIDTH

Arrays = dict[str, np.ndarray]
Noise = Callable[..., np.ndarray]
CARD = WeightsCard(name="test", kind="detector", family="region-network")


class Tower:
    """Stands for a tower: tokens of random numbers."""

    def tokens(self, views: np.ndarray, blocks: list[int]) -> list[np.ndarray]:
        generator = np.random.default_rng(int(views.sum()))
        size = (len(blocks), len(views), TOKENS, WIDTH)
        return list(generator.normal(size=size).astype(np.float32))


def finder(arrays: Arrays, head: Arrays, threshold: float = 0.5, mask: float = 0.5) -> RegionFinder:
    numbers = (np.full(FEATURES, 0.2), 0.0, threshold, mask)
    score = dict(zip(SCORE_NAMES, map(np.asarray, numbers), strict=True))
    return RegionFinder({**arrays, **head, **score}, CARD, Tower())  # type: ignore[arg-type]


def planted(shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    logits = np.full(shape, -3, np.float32)
    logits[10:20, 20:32] = 4
    return logits


def test_a_part_raises_the_strongest_blocks_and_not_the_middle_one() -> None:
    without, within = features(np.full((40, 60), -3, np.float32)), features(planted())
    assert (within[: len(TOP)] > without[: len(TOP)] + 3).all()
    assert (within[len(TOP) : len(TOP) + len(WINDOWS)] > without[len(TOP)] + 3).all()
    assert within[-2] == pytest.approx(without[-2])


def test_a_single_wild_block_is_no_part() -> None:
    speck = np.full((40, 60), -3, np.float32)
    speck[20, 30] = 40
    assert chance(planted()).max() > 0.95
    assert features(speck)[1] < features(planted())[1] - 2


def test_cells_that_nobody_looked_at_count_for_nothing() -> None:
    cells = np.full((20, 30), -3, np.float32)
    cells[5:10, 10:16] = 4
    hidden = cells.copy()
    hidden[15:] = -np.inf
    whole, part = described(planted(), cells), described(planted(), hidden)
    assert np.isfinite(part).all() and part[MAP_FEATURES] == pytest.approx(whole[MAP_FEATURES])
    assert part[-2] == pytest.approx(-3) and part.max() == pytest.approx(whole.max())
    chances = chance_of_cells(hidden, (41, 61))
    assert chances.shape == (41, 61) and chances[32:].max() < 0.01 and chances[14, 26] > 0.95


def test_below_the_threshold_the_mask_is_empty(arrays: Arrays, head: Arrays, noise: Noise) -> None:
    found = finder(arrays, head, threshold=1.1).find(noise(160, 200))
    assert found is not None and not found.likely
    assert not found.mask.any() and found.parts == ()


def test_a_finding_has_a_place(arrays: Arrays, head: Arrays, noise: Noise) -> None:
    found = finder(arrays, head, threshold=0.0, mask=0.999999).find(noise(160, 200))
    assert found is not None and found.likely
    assert found.mask.any() and len(found.parts) >= 1
    left, top, width, height = found.parts[0].box
    assert left >= 0 and left + width <= 200 and top >= 0 and top + height <= 160


def test_small_pictures_are_not_searched(arrays: Arrays, head: Arrays, noise: Noise) -> None:
    assert finder(arrays, head).find(noise(MIN_SIDE - 1, 400)) is None


def test_only_rgb_arrays_are_taken(arrays: Arrays, head: Arrays) -> None:
    with pytest.raises(ImageError):
        finder(arrays, head).find(np.zeros((200, 200), np.uint8))


def test_scores_that_do_not_fit_are_refused(arrays: Arrays, head: Arrays) -> None:
    with pytest.raises(WeightsError):
        RegionFinder({**arrays, **head}, CARD, Tower())  # type: ignore[arg-type]
    arrays = {**arrays, **head, "score.weight": np.zeros(2), "score.bias": np.zeros(())}
    with pytest.raises(WeightsError):
        numbers = {"score.threshold": np.zeros(()), "score.mask": np.zeros(())}
        RegionFinder({**arrays, **numbers}, CARD, Tower())  # type: ignore[arg-type]


def test_the_shipped_finder_loads_once_and_says_what_it_is() -> None:
    found = load_finder()
    assert found is load_finder()
    assert found.card.kind == "detector" and found.card.limits and found.card.metrics
    assert 0 < found.threshold < 1 and 0 < found.mask_threshold < 1
