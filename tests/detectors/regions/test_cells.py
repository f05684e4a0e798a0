"""Cells: tiles that cover a picture within bounds, and a head that compares cells with their own picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from countermark.core.errors import WeightsError
from countermark.detectors.regions import cells
from countermark.detectors.regions.cells import (
    DEPTH,
    HEAD_SHAPES,
    JOINED,
    MOST_TILES,
    OWN,
    SHAPES,
    SPREAD,
    TAKEN,
    CellEngine,
    cell_means,
    head_name,
    joined,
    tiles,
)
from countermark.detectors.regions.engine import RegionEngine
from countermark.detectors.towers.shape import GRID, TOKENS, WIDTH

Arrays = dict[str, np.ndarray]
Noise = Callable[..., np.ndarray]


class Tower:
    """Stands for a tower: a token is the mean colour of its patch, repeated."""

    def __init__(self) -> None:
        self.views = 0

    def tokens(self, views: np.ndarray, blocks: list[int]) -> list[np.ndarray]:
        assert views.shape[1:] == (224, 224, 3) and blocks == [6, 8]
        self.views += len(views)
        means = (
            views.reshape(-1, GRID, 16, GRID, 16, 3).mean(axis=(2, 4)).reshape(-1, GRID * GRID, 3) / 64 - 2
        )
        found = np.zeros((len(views), TOKENS, WIDTH), np.float32)
        found[:, 1:] = np.repeat(means, WIDTH // 3, axis=2)
        return [found, 0.5 * found]


def looked(arrays: Arrays, head: Arrays, picture: np.ndarray) -> tuple[np.ndarray, Tower]:
    tower, regions = Tower(), RegionEngine(arrays)
    embedded = regions.embeddings(picture)
    engine = CellEngine(head, tower)  # type: ignore[arg-type]
    return engine.logits(picture, embedded, regions.compared(embedded)), tower


@pytest.mark.parametrize("size", [(128, 150), (224, 224), (250, 700), (333, 129)])
def test_every_cell_gets_a_logit(arrays: Arrays, head: Arrays, noise: Noise, size: tuple[int, int]) -> None:
    found, _ = looked(arrays, head, noise(*size))
    assert found.shape == (size[0] // 16, size[1] // 16) and np.isfinite(found).all()


def test_of_a_large_picture_some_tiles_are_asked(
    arrays: Arrays, head: Arrays, noise: Noise, monkeypatch
) -> None:
    monkeypatch.setattr(cells.tiles, "__defaults__", (4,))
    found, tower = looked(arrays, head, noise(700, 900))
    assert tower.views == 4
    assert np.isneginf(found).any() and np.isfinite(found).sum() >= 4 * GRID * GRID / 2


def test_a_part_in_another_colour_stands_out_from_its_picture(
    arrays: Arrays, head: Arrays, noise: Noise
) -> None:
    picture = (noise(448, 448) // 8 + 100).astype(np.uint8)
    moved = picture.copy()
    moved[128:256, 128:256] += 60
    before, _ = looked(arrays, head, picture)
    after, _ = looked(arrays, head, moved)
    change = np.abs(after - before)
    inside = np.zeros(change.shape, bool)
    inside[8:16, 8:16] = True
    assert change[inside].mean() > 2 * change[~inside].mean()


def test_tiles_cover_everything_that_they_can() -> None:
    for high, wide in ((8, 9), (14, 14), (15, 40), (64, 64)):
        seen = np.zeros((high, wide), bool)
        places = tiles(high, wide, np.zeros((high, wide)))
        for top, left in places:
            seen[top : top + GRID, left : left + GRID] = True
            assert top >= 0 and left >= 0 and (top + GRID <= high or high < GRID)
        assert seen.all() and len(places) == len(set(places))


def test_where_not_all_fit_the_suspected_ones_are_among_them() -> None:
    suspicion = np.zeros((400, 400))
    suspicion[333, 77] = 5
    places = tiles(400, 400, suspicion)
    assert len(places) == MOST_TILES == len(set(places))
    assert any(top <= 333 < top + GRID and left <= 77 < left + GRID for top, left in places)


@pytest.mark.parametrize("size", [(400, 400), (187, 250), (90, 700), (700, 60)])
def test_half_of_the_tiles_are_spread_over_the_whole_picture(size: tuple[int, int]) -> None:
    suspicion = np.zeros(size)
    suspicion[:20, :20] = 5
    places = tiles(*size, suspicion)
    assert len(places) == MOST_TILES
    for axis, length in enumerate(size):
        tenths = {10 * place[axis] // length for place in places}
        assert len(tenths) >= (3 if 2 * length > max(size) else 1), "along a side that is no narrow one"
    if 2 * min(size) > max(size):
        assert len({(2 * top // size[0], 2 * left // size[1]) for top, left in places}) == 4


def test_a_cell_is_the_mean_of_its_blocks() -> None:
    blocks = np.arange(5 * 4 * 2, dtype=np.float32).reshape(5, 4, 2)
    found = cell_means(blocks)
    assert found.shape == (2, 2, 2) and found[0, 0, 0] == blocks[:2, :2, 0].mean()


def test_cells_that_nobody_saw_count_for_nothing() -> None:
    own = np.random.default_rng(0).normal(size=(6, 7, OWN)).astype(np.float32)
    seen = np.ones((6, 7), bool)
    seen[2] = False
    wild = own.copy()
    wild[2] = 1e6
    found = joined(wild, seen)
    assert found.shape == (6, 7, JOINED) and not found[2].any()
    assert np.allclose(found, joined(own, seen))
    rows = own[seen]
    apart = (rows - rows.mean(axis=0)) / (rows.std(axis=0, ddof=1) + SPREAD)
    assert np.allclose(found[seen][:, OWN : 2 * OWN], apart, atol=1e-4)


@pytest.mark.parametrize("name", ["cells.0.project.weight", "cells.2.out.bias"])
def test_arrays_that_do_not_fit_are_refused(head: Arrays, name: str) -> None:
    with pytest.raises(WeightsError):
        CellEngine({**head, name: np.zeros(3)}, Tower())  # type: ignore[arg-type]
    with pytest.raises(WeightsError):
        CellEngine({key: value for key, value in head.items() if key != name}, Tower())  # type: ignore[arg-type]


def test_the_shapes_are_those_of_the_shipped_tower() -> None:
    assert SHAPES["cells.0.project.weight"][1] == WIDTH and SHAPES["cells.0.place"][0] == GRID * GRID
    assert len(SHAPES) == len(TAKEN) * len(HEAD_SHAPES) and max(TAKEN) <= DEPTH


def test_it_computes_what_the_heads_in_pytorch_compute(arrays: Arrays, noise: Noise) -> None:
    torch = pytest.importorskip("torch")
    from region_training.cells import CellNetwork, state_of

    picture, regions, tower = noise(224, 224), RegionEngine(arrays), Tower()
    embedded = regions.embeddings(picture)
    logits = regions.compared(embedded)
    tokens = dict(zip((6, 8), (found[:, 1:] for found in tower.tokens(picture[None], [6, 8])), strict=True))
    blocks = cell_means(np.concatenate([embedded, logits[..., None]], axis=2)).reshape(1, GRID * GRID, -1)
    state, expected = {}, []
    for head, block in enumerate(TAKEN):
        torch.manual_seed(head)
        network = CellNetwork(np.repeat(tokens[block], 9, axis=0), np.repeat(blocks, 9, axis=0)).eval()
        with torch.inference_mode():
            network.place.normal_()
            given = torch.from_numpy(tokens[block]), torch.from_numpy(blocks.astype(np.float32))
            expected.append(network(*given)[0].numpy())
        state |= {head_name(head, name): value for name, value in state_of(network).items()}
    found = CellEngine(state, tower).logits(picture, embedded, logits)  # type: ignore[arg-type]
    mean = np.mean(expected, axis=0)
    assert np.abs(found - mean).max() < 1e-4 * max(1.0, float(np.abs(mean).max()))
    assert np.abs(expected[0] - mean).max() > 1e-3, "the heads differ, or this shows nothing"
