"""Cells of 16 x 16 pixels, judged by two witnesses together: the region network, and a tower's patch tokens.

What the region network looks at is mostly gone once a picture was saved again as JPEG. The patch tokens of
middle blocks of the tower see structure that lasts longer. A small head compares both, cell by cell, with the
mean and the spread of the picture's own cells, and looks at a cell's neighbours. Several heads, on different
blocks or trained on different crops, are averaged.

    engine = CellEngine(arrays, tower.engine)
    logits = engine.logits(picture, regions.embeddings(picture))     # float32 [H // 16, W // 16]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from countermark.core.errors import WeightsError
from countermark.core.images import Pixels
from countermark.detectors.regions.shape import EMBEDDED
from countermark.detectors.towers.engine import TowerEngine
from countermark.detectors.towers.graph import Graph
from countermark.detectors.towers.library import load_tower
from countermark.detectors.towers.shape import GRID, PATCH, WIDTH

#: Which tower, and after which of its blocks each head takes its tokens.
TOWER, TAKEN = "clip-vit-b16", (6, 6, 8)
#: Blocks that are loaded: as many as the default detector asks for, so that both share them.
DEPTH = 10
#: Side of a cell in pixels, and of a cell in the region network's blocks.
CELL = PATCH
BLOCKS = CELL // 8
#: Side in pixels of what the tower sees at a time.
TILE = GRID * PATCH
#: Most tiles of a picture that the tower is asked about. Of a larger picture half of these are spread evenly,
#: half stand where the region network sees most.
MOST_TILES = 25
#: Numbers that tokens are brought down to, that describe a cell by itself, and that the head is given.
PROJECTED = 64
OWN = PROJECTED + EMBEDDED + 1
JOINED = 3 * OWN
#: As ``finder.WINDOWS`` and ``finder.FEWEST``, in cells.
CELL_WINDOWS, FEWEST_CELLS = (3, 5), 4
#: Neurons of a cell, and channels of the two convolutions over cells.
HIDDEN, CHANNELS = 96, 64
#: Added to the spread of cells, so that a flat picture divides by something.
SPREAD = 0.05

#: Shapes of the arrays that make one head.
HEAD_SHAPES: dict[str, tuple[int, ...]] = {
    "token.mean": (WIDTH,),
    "token.spread": (WIDTH,),
    "project.weight": (PROJECTED, WIDTH),
    "place": (GRID * GRID, PROJECTED),
    "block.mean": (EMBEDDED + 1,),
    "block.spread": (EMBEDDED + 1,),
    "hidden.weight": (HIDDEN, JOINED, 1, 1),
    "hidden.bias": (HIDDEN,),
    "near.weight": (CHANNELS, HIDDEN, 3, 3),
    "near.bias": (CHANNELS,),
    "wide.weight": (CHANNELS, CHANNELS, 3, 3),
    "wide.bias": (CHANNELS,),
    "out.weight": (1, CHANNELS, 1, 1),
    "out.bias": (1,),
}


def head_name(head: int, name: str) -> str:
    """What an array of a head (its place in ``TAKEN``) is called in the file of weights."""
    return f"cells.{head}.{name}"


SHAPES = {head_name(head, name): shape for head in range(len(TAKEN)) for name, shape in HEAD_SHAPES.items()}


class CellHead:
    """One head.

    Args:
        state: By the names of ``HEAD_SHAPES``, float32.
    """

    def __init__(self, state: Mapping[str, np.ndarray]) -> None:
        self._state, self._session = state, _session(_head_model(state))

    def projected(self, tokens: np.ndarray) -> np.ndarray:
        """float32 [14, 14, PROJECTED] of one tile's tokens [196, WIDTH]."""
        tokens = (tokens - self._state["token.mean"]) / self._state["token.spread"]
        found: np.ndarray = tokens @ self._state["project.weight"].T + self._state["place"]
        return found.reshape(GRID, GRID, PROJECTED)

    def logits(self, projected: np.ndarray, own: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """float32 [h, w] of cells: projected tokens, means of blocks, and whether the tower saw them."""
        block = (own - self._state["block.mean"]) / self._state["block.spread"]
        rows = joined(np.concatenate([projected, block], axis=2), seen)
        found: np.ndarray = self._session.run(None, {"x": rows.transpose(2, 0, 1)[None]})[0][0, 0]
        return found


class CellEngine:
    """The heads, and the tower that they listen to. Safe to use from several threads.

    Args:
        arrays: By the names of ``SHAPES``, of any float type.
        tower: As many of its first blocks as ``TAKEN`` asks for.

    Raises:
        WeightsError: an array is missing or has another shape.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], tower: TowerEngine) -> None:
        for name, shape in SHAPES.items():
            if name not in arrays or np.shape(arrays[name]) != shape:
                raise WeightsError(f"The region finder's {name} is missing or not of the shape {shape}.")
        self._tower = tower
        self._heads = [
            CellHead({name: np.asarray(arrays[head_name(head, name)], np.float32) for name in HEAD_SHAPES})
            for head in range(len(TAKEN))
        ]

    def logits(self, picture: Pixels, embedded: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """float32 [H // 16, W // 16]: does this cell not fit the rest? -inf where nobody looked.

        Args:
            picture: uint8 RGB [H, W, 3], both sides of at least 128.
            embedded, logits: What the region network says of the same picture's blocks, [H // 8, W // 8, …].
        """
        high, wide = (n // CELL for n in picture.shape[:2])
        own = cell_means(np.concatenate([embedded, logits[..., None]], axis=2))[:high, :wide]
        sums = np.zeros((len(TAKEN), high, wide, PROJECTED), np.float32)
        count = np.zeros((high, wide, 1), np.float32)
        for top, left in tiles(high, wide, own[..., -1]):
            rows, columns = min(GRID, high - top), min(GRID, wide - left)
            place = np.s_[top : top + rows, left : left + columns]
            tokens = self._tokens(picture, top, left)
            for head, block, total in zip(self._heads, TAKEN, sums, strict=True):
                total[place] += head.projected(tokens[block])[:rows, :columns]
            count[place] += 1
        seen = count[..., 0] > 0
        means = sums / np.maximum(count, 1)
        found = [head.logits(mean, own, seen) for head, mean in zip(self._heads, means, strict=True)]
        return np.where(seen, np.mean(found, axis=0), -np.inf).astype(np.float32)

    def _tokens(self, picture: Pixels, top: int, left: int) -> dict[int, np.ndarray]:
        """float32 [196, WIDTH] by block, of the tile at a cell; what lies beyond the picture mirrors it."""
        part = picture[top * CELL : top * CELL + TILE, left * CELL : left * CELL + TILE]
        missing = (TILE - part.shape[0], TILE - part.shape[1])
        if any(missing):
            part = cv2.copyMakeBorder(part, 0, missing[0], 0, missing[1], cv2.BORDER_REFLECT)
        blocks = sorted(set(TAKEN))
        tokens = self._tower.tokens(np.ascontiguousarray(part)[None], blocks)
        return {block: found[0, 1:] for block, found in zip(blocks, tokens, strict=True)}


def load_cell_tower() -> TowerEngine:
    """The tower that ships with the package; WeightsError if its files are missing or damaged."""
    return load_tower(TOWER, DEPTH).engine


def cell_means(blocks: np.ndarray) -> np.ndarray:
    """Means of [h, w, n] over cells: [h // 2, w // 2, n]."""
    high, wide = blocks.shape[0] // BLOCKS, blocks.shape[1] // BLOCKS
    cut = blocks[: high * BLOCKS, : wide * BLOCKS]
    found: np.ndarray = cut.reshape(high, BLOCKS, wide, BLOCKS, -1).mean(axis=(1, 3))
    return found


def joined(own: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """float32 [h, w, JOINED]: each cell as it is, beside the picture's mean and spread, and the mean.

    Cells that nobody looked at are zero, and count for neither mean nor spread.
    """
    rows = own[seen]
    mean = rows.mean(axis=0)
    spread = (rows.std(axis=0, ddof=1) if len(rows) > 1 else np.zeros(own.shape[2])) + SPREAD
    found = np.zeros((*own.shape[:2], JOINED), np.float32)
    found[seen] = np.concatenate([rows, (rows - mean) / spread, np.broadcast_to(mean, rows.shape)], axis=1)
    return found


def tiles(high: int, wide: int, suspicion: np.ndarray, most: int = MOST_TILES) -> list[tuple[int, int]]:
    """Upper left cells of the tiles that are looked at, in a picture of ``high`` x ``wide`` cells.

    Args:
        suspicion: float [high, wide]: where to look rather than elsewhere, if not everywhere.
    """
    tops, lefts = _steps(high), _steps(wide)
    every = [(top, left) for top in tops for left in lefts]
    if len(every) <= most:
        return every
    across = max(1, min(most // 2, round(np.sqrt(most / 2 * len(lefts) / len(tops)))))
    down = most // 2 // across
    even = {
        row * len(lefts) + column
        for row in _middles(len(tops), down)
        for column in _middles(len(lefts), across)
    }
    height = [float(suspicion[top : top + GRID, left : left + GRID].max()) for top, left in every]
    ranked = sorted((n for n in range(len(every)) if n not in even), key=lambda n: -height[n])
    return [every[n] for n in sorted(even | set(ranked[: most - len(even)]))]


def _middles(length: int, count: int) -> set[int]:
    """The middle of each of ``count`` equal parts of ``range(length)``."""
    return {int((number + 0.5) * length / count) for number in range(count)}


def _steps(length: int) -> list[int]:
    last = max(0, length - GRID)
    return [*range(0, last, GRID), last]


def _session(model: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _head_model(state: Mapping[str, np.ndarray]) -> bytes:
    source = ("x", np.float32, (1, JOINED, "high", "wide"))
    graph = Graph("cells", source, [("y", np.float32, (1, 1, "high", "wide"))])

    def layer(name: str, inside: str, result: str, *, spacing: int = 0, relu: bool = True) -> None:
        names = [graph.constant(f"{name}.{part}", state[f"{name}.{part}"]) for part in ("weight", "bias")]
        side = 3 if spacing else 1
        made = f"{result}.sum" if relu else result
        graph.node(
            "Conv",
            [inside, *names],
            [made],
            kernel_shape=[side, side],
            pads=[spacing] * 4,
            dilations=[max(1, spacing)] * 2,
        )
        if relu:
            graph.node("Relu", [made], [result])

    layer("hidden", "x", "h")
    layer("near", "h", "n", spacing=1)
    layer("wide", "n", "w", spacing=2)
    graph.node("Add", ["n", "w"], ["both"])
    layer("out", "both", "y", relu=False)
    return graph.model()
