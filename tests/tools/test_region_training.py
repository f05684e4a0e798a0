"""What the region network is trained on: parts are exchanged, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest
from region_training import pictures
from region_training.edits import difference
from region_training.masks import LARGEST, SMALLEST, draw_mask
from region_training.pairs import PARTS, cutting, part_of
from region_training.pictures import Composer, Cutting, blend
from region_training.ship import above_sources, highest_share

from countermark.core.seeds import rng
from countermark.detectors.recipes.twins import simulate_upsampler


def photograph(side: int = 128, seed: int = 0) -> np.ndarray:
    small = rng(seed, "photograph").integers(0, 256, (side // 8, side // 8, 3)).astype(np.uint8)
    return np.kron(small, np.ones((8, 8, 1), np.uint8)) // 2 + rng(seed).integers(
        0, 30, (side, side, 3), dtype=np.uint8
    )


def test_masks_cover_a_part_of_the_picture() -> None:
    shares = [draw_mask(photograph(), rng(seed)) for seed in range(25)]
    for mask in shares:
        assert mask.shape == (128, 128) and mask.min() >= 0 and mask.max() <= 1
        assert SMALLEST / 3 < mask.mean() < LARGEST * 1.5
    assert len({round(float(mask.mean()), 3) for mask in shares}) > 15


def test_outside_of_the_mask_not_a_value_changes() -> None:
    photo = photograph()
    mask = np.zeros((128, 128), np.float32)
    mask[32:64, 40:90] = 1
    edited = blend(photo, simulate_upsampler(photo, rng(1)), mask)
    assert np.array_equal(edited[mask == 0], photo[mask == 0])
    assert not np.array_equal(edited[mask == 1], photo[mask == 1])


@pytest.mark.parametrize("untouched", [0.0, 1.0])
def test_pictures_are_drawn_alike_from_alike_seeds(untouched: float) -> None:
    cuttings = [Cutting("a", photograph(seed=n), {"copy": photograph(seed=n + 9)}) for n in range(2)]
    composer = Composer(cuttings, [photograph(160, 3)], side=96, untouched=untouched)
    for seed in range(6):
        picture, mask = composer.draw(rng(seed))
        again, _ = composer.draw(rng(seed))
        assert picture.shape == (96, 96, 3) and picture.dtype == np.uint8 and np.array_equal(picture, again)
        assert mask.shape == (96, 96)
        if untouched:
            assert not mask.any()


def test_a_pair_differs_only_where_something_was_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    cuttings = [Cutting("a", photograph(seed=n), {"copy": photograph(seed=n + 9)}) for n in range(2)]
    composer = Composer(cuttings, [photograph(160, 3)], side=96)
    for seed in range(6):
        (edited, share), (untouched, nothing) = composer.pair(rng(seed))
        assert edited.shape == untouched.shape == (96, 96, 3) and share.shape == (96, 96)
        assert not nothing.any() and not np.array_equal(edited, untouched)
        assert np.array_equal(edited, composer.pair(rng(seed))[0][0])
    monkeypatch.setattr(pictures, "later", lambda picture, share, generator: (picture, share))
    for seed in range(6):
        (edited, share), (untouched, _) = composer.pair(rng(seed))
        assert share.max() > 0.5 and np.array_equal(edited[share == 0], untouched[share == 0])


def test_a_source_belongs_to_one_part_whatever_else_is_there() -> None:
    parts = [part_of(f"source-{n}") for n in range(300)]
    assert parts == [part_of(f"source-{n}") for n in range(300)]
    assert {name: round(parts.count(name) / 300, 1) for name in PARTS} == {
        name: round(share, 1) for name, share in PARTS.items()
    }


def test_small_photographs_give_no_cutting() -> None:
    assert cutting(photograph(128), 256, rng(0)) is None
    found = cutting(photograph(320), 256, rng(0))
    assert found is not None and found.shape == (256, 256, 3)


def test_the_threshold_counts_every_source_alike() -> None:
    scores = np.concatenate([np.linspace(0, 0.5, 99), [0.9]])
    sources = np.array(["many"] * 99 + ["one"])
    assert highest_share(scores, sources, 0.02) > 0.9
    assert 0.4 < highest_share(scores, np.array(["many"] * 100), 0.02) < 0.9


def test_the_threshold_leaves_room_for_sources_that_lie_higher() -> None:
    scores = np.array([0.2, 0.5, 0.3, 0.7, 0.1, 0.6])
    sources = np.array(["a", "a", "b", "b", "c", "c"])
    assert 0.7 < above_sources(scores, sources) < 0.9
    alike = above_sources(np.array([0.2, 0.5, 0.3, 0.5]), np.array(["a", "a", "b", "b"]))
    assert alike == pytest.approx(0.5)


def test_a_difference_is_a_closed_mask_without_specks() -> None:
    one = photograph()
    other = one.copy()
    other[40:80, 40:80] = 255 - other[40:80, 40:80]
    other[5, 5] = 255 - other[5, 5]
    found = difference(one, other)
    assert found[45:75, 45:75].mean() > 0.95 and not found[:20, :20].any()
