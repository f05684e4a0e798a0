"""Finding a part that does not fit the rest of its picture.

finder = load_finder()
found = finder.find(picture)             # uint8 RGB
found.score, found.likely, found.mask, found.parts
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from countermark.core.errors import WeightsError
from countermark.core.images import Pixels
from countermark.core.weights import WeightsCard, load_arrays
from countermark.detectors.regions.cells import CELL_WINDOWS, FEWEST_CELLS, CellEngine, load_cell_tower
from countermark.detectors.regions.engine import RegionEngine
from countermark.detectors.regions.masks import Part, mask_of, parts_of, refined
from countermark.detectors.scoring.views import check_pixels
from countermark.detectors.towers.engine import TowerEngine

WEIGHTS = Path(__file__).resolve().parent / "regions.safetensors"
#: Pictures with a shorter side than this are not searched: too few blocks to compare with each other.
MIN_SIDE = 128
#: Shares of the strongest blocks whose mean logit makes the score, and the blocks that they are at least.
TOP = (0.005, 0.02, 0.06)
FEWEST = 6
#: Sides, in blocks, of the windows whose highest mean logit is asked for as well: a part hangs together.
WINDOWS = (5, 9)
#: Numbers that describe a map, and that make the score: the blocks' and the cells'.
MAP_FEATURES = len(TOP) + len(WINDOWS) + 2
FEATURES = 2 * MAP_FEATURES
SCORE_NAMES = ("score.weight", "score.bias", "score.threshold", "score.mask")


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        score: Calibrated share in [0, 1]: among as many pictures with an exchanged part as untouched ones,
            how many of this height have one.
        threshold: ``likely`` from here on.
        likely: Whether the score reaches the threshold.
        chances: float32 [H // 8, W // 8] in [0, 1]: each block by itself.
        field: float32 in [0, 1]: the same bent to the picture's edges (see ``masks.refined``).
        mask: bool, the shape of ``field``; empty below the threshold.
        parts: Its connected parts, the largest first; boxes in pixels of the picture.
    """

    score: float
    threshold: float
    likely: bool
    chances: np.ndarray
    field: np.ndarray
    mask: np.ndarray
    parts: tuple[Part, ...]


class RegionFinder:
    """The network, the score of a picture, and the two thresholds.

    Args:
        arrays: Those of ``RegionEngine``; ``score.weight`` [features], ``score.bias`` and
            ``score.threshold`` (of the picture's score) and ``score.mask`` (of a block's chance), numbers.
        card: What they were made of.
        tower: Its first blocks, for the cells.

    Raises:
        WeightsError: arrays are missing or do not fit.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], card: WeightsCard, tower: TowerEngine) -> None:
        self.engine, self.card = RegionEngine(arrays), card
        self.cells = CellEngine(arrays, tower)
        try:
            weight, bias, threshold, mask = (np.asarray(arrays[name], np.float64) for name in SCORE_NAMES)
        except KeyError as error:
            raise WeightsError(f"The region finder lacks {error}.") from error
        if weight.shape != (FEATURES,) or bias.size + threshold.size + mask.size != 3:
            raise WeightsError("The region finder's score does not fit its features.")
        self._weight, self._bias = weight, float(bias.reshape(-1)[0])
        self.threshold, self.mask_threshold = float(threshold.reshape(-1)[0]), float(mask.reshape(-1)[0])

    def find(self, picture: Pixels) -> Found | None:
        """None for a picture with a side under ``MIN_SIDE``; uint8 RGB [H, W, 3] otherwise."""
        picture = check_pixels(picture)
        if min(picture.shape[:2]) < MIN_SIDE:
            return None
        logits, cells = self.maps(picture)
        score = self.score(logits, cells)
        chances = chance_of_cells(cells, logits.shape)
        field = refined(chances, picture)
        likely = score >= self.threshold
        mask = mask_of(field, self.mask_threshold) if likely else np.zeros(field.shape, bool)
        if likely and not mask.any():  # a finding has a place, or it is none
            mask = mask_of(field, float(np.quantile(field, 0.98)))
            likely = bool(mask.any())
        parts = parts_of(mask, chances, (picture.shape[0], picture.shape[1]))
        return Found(score, self.threshold, likely, chances, field, mask, tuple(parts))

    def maps(self, picture: Pixels) -> tuple[np.ndarray, np.ndarray]:
        """Logits of blocks, float32 [H // 8, W // 8], and of cells, [H // 16, W // 16]: -inf where the tower
        was not asked."""
        embedded = self.engine.embeddings(picture)
        logits = self.engine.compared(embedded)
        return logits, self.cells.logits(picture, embedded, logits)

    def score(self, logits: np.ndarray, cells: np.ndarray) -> float:
        """The picture's score of its maps."""
        found = described(logits, cells) @ self._weight + self._bias
        return float(0.5 * (1 + np.tanh(0.5 * found)))


def described(logits: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """float64 [FEATURES] of the maps of blocks and cells."""
    seen = np.isfinite(cells)
    filled = np.where(seen, cells, cells[seen].min())
    of_cells = features(filled, CELL_WINDOWS, FEWEST_CELLS, seen=seen)
    return np.concatenate([features(logits), of_cells])


def features(
    logits: np.ndarray,
    windows: tuple[int, ...] = WINDOWS,
    fewest: int = FEWEST,
    *,
    seen: np.ndarray | None = None,
) -> np.ndarray:
    """float64 [MAP_FEATURES]: mean logits of the strongest blocks at three sizes, the highest means of two
    sizes of windows, the middle logit, and the spread.

    Logits are smoothed over 3 x 3 blocks first: a part is larger than a block, a speck is not.
    """
    smooth = cv2.blur(logits, (3, 3), borderType=cv2.BORDER_REFLECT)
    values = np.sort(smooth.ravel() if seen is None else smooth[seen])[::-1].astype(np.float64)
    tops = [values[: max(fewest, round(len(values) * share))].mean() for share in TOP]
    highest = [cv2.blur(logits, (side, side), borderType=cv2.BORDER_REFLECT).max() for side in windows]
    return np.array([*tops, *highest, np.median(values), values.std()])


def chance(logits: np.ndarray) -> np.ndarray:
    """float32 in (0, 1), smoothed as the score is."""
    smooth = cv2.blur(logits, (3, 3), borderType=cv2.BORDER_REFLECT)
    found: np.ndarray = (0.5 * (1 + np.tanh(0.5 * smooth))).astype(np.float32)
    return found


def chance_of_cells(cells: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """float32 [h, w] in [0, 1], one for each block, of the cells' logits; 0 where the tower was not asked."""
    found = chance(np.where(np.isfinite(cells), cells, -20).astype(np.float32))
    grown = cv2.resize(found, (cells.shape[1] * 2, cells.shape[0] * 2), interpolation=cv2.INTER_LINEAR)
    edge = (0, max(0, shape[0] - grown.shape[0]), 0, max(0, shape[1] - grown.shape[1]))
    whole: np.ndarray = cv2.copyMakeBorder(grown, *edge, cv2.BORDER_REPLICATE)[: shape[0], : shape[1]]
    return whole


@lru_cache(maxsize=1)
def load_finder() -> RegionFinder:
    """The finder that ships with the package; kept, so that a process loads it once.

    Raises:
        WeightsError: its file is missing or damaged.
    """
    arrays, card = load_arrays(WEIGHTS, family="region-network")
    return RegionFinder(arrays, card, load_cell_tower())
