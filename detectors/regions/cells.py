"""Cells of 16 x 16 pixels, judged by two witnesses together: the region network, and a tower's patch tokens.

What the region network looks at is mostly gone once a picture was saved again as JPEG. The patch tokens of an
early block of the tower see structure that lasts longer. A small head compares both, cell by cell, with the
mean and the spread of the picture's own cells, and looks at a cell's neighbours.

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

#: Which tower, and after which of its blocks tokens are taken.
TOWER, TAKEN = "clip-vit-b16", 6
#: Blocks that are loaded: as many as the default detector asks for, so that both share them.
DEPTH = 10
#: Side of a cell in pixels, and of a cell in the region network's blocks.
CELL = PATCH
BLOCKS = CELL // 8
#: Side in pixels of what the tower sees at a time.
TILE = GRID * PATCH
#: Tiles of a picture that the tower is asked about. Of a larger picture half of these are spread evenly, half
#: stand where the region network sees most.
MOST_TILES = 36
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

SHAPES: dict[str, tuple[int, ...]] = {
    "cells.token.mean": (WIDTH,),
    "cells.token.spread": (WIDTH,),
    "cells.project.weight": (PROJECTED, WIDTH),
    "cells.place": (GRID * GRID, PROJECTED),
    "cells.block.mean": (EMBEDDED + 1,),
    "cells.block.spread": (EMBEDDED + 1,),
    "cells.hidden.weight": (HIDDEN, JOINED, 1, 1),
    "cells.hidden.bias": (HIDDEN,),
    "cells.near.weight": (CHANNELS, HIDDEN, 3, 3),
    "cells.near.bias": (CHANNELS,),
    "cells.wide.weight": (CHANNELS, CHANNELS, 3, 3),
    "cells.wide.bias": (CHANNELS,),
    "cells.out.weight": (1, CHANNELS, 1, 1),
    "cells.out.bias": (1,),
}


class CellEngine:
    """The head, and the tower that it listens to. Safe to use from several threads.

    Args:
        arrays: By the names of ``SHAPES``, of any float type.
        tower: Its first ``TAKEN`` blocks at least.

    Raises:
        WeightsError: an array is missing or has another shape.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], tower: TowerEngine) -> None:
        for name, shape in SHAPES.items():
            if name not in arrays or np.shape(arrays[name]) != shape:
                raise WeightsError(f"The region finder's {name} is missing or not of the shape {shape}.")
        state = {name: np.asarray(arrays[name], np.float32) for name in SHAPES}
        self._state, self._tower = state, tower
        self._head = _session(_head_model(state))

    def logits(self, picture: Pixels, embedded: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """float32 [H // 16, W // 16]: does this cell not fit the rest? -inf where nobody looked.

        Args:
            picture: uint8 RGB [H, W, 3], both sides of at least 128.
            embedded, logits: What the region network says of the same picture's blocks, [H // 8, W // 8, …].
        """
        high, wide = (n // CELL for n in picture.shape[:2])
        own = cell_means(np.concatenate([embedded, logits[..., None]], axis=2))[:high, :wide]
        places = tiles(high, wide, own[..., -1])
        sums = np.zeros((high, wide, PROJECTED), np.float32)
        count = np.zeros((high, wide, 1), np.float32)
        for top, left in places:
            tokens = self._tokens(picture, top, left)
            rows, columns = min(GRID, high - top), min(GRID, wide - left)
            sums[top : top + rows, left : left + columns] += tokens[:rows, :columns]
            count[top : top + rows, left : left + columns] += 1
        seen = count[..., 0] > 0
        block = (own - self._state["cells.block.mean"]) / self._state["cells.block.spread"]
        rows_ = joined(np.concatenate([sums / np.maximum(count, 1), block], axis=2), seen)
        found: np.ndarray = self._head.run(None, {"x": rows_.transpose(2, 0, 1)[None]})[0][0, 0]
        return np.where(seen, found, -np.inf).astype(np.float32)

    def _tokens(self, picture: Pixels, top: int, left: int) -> np.ndarray:
        """float32 [14, 14, PROJECTED] of the tile at a cell; what lies beyond the picture mirrors it."""
        part = picture[top * CELL : top * CELL + TILE, left * CELL : left * CELL + TILE]
        missing = (TILE - part.shape[0], TILE - part.shape[1])
        if any(missing):
            part = cv2.copyMakeBorder(part, 0, missing[0], 0, missing[1], cv2.BORDER_REFLECT)
        tokens = self._tower.tokens(np.ascontiguousarray(part)[None], [TAKEN])[0][0, 1:]
        state = self._state
        tokens = (tokens - state["cells.token.mean"]) / state["cells.token.spread"]
        return (tokens @ state["cells.project.weight"].T + state["cells.place"]).reshape(
            GRID, GRID, PROJECTED
        )


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
    every = [(top, left) for top in _steps(high) for left in _steps(wide)]
    if len(every) <= most:
        return every
    even = {round(number * (len(every) - 1) / (most // 2 - 1)) for number in range(most // 2)}
    height = [float(suspicion[top : top + GRID, left : left + GRID].max()) for top, left in every]
    ranked = sorted((n for n in range(len(every)) if n not in even), key=lambda n: -height[n])
    return [every[n] for n in sorted(even | set(ranked[: most - len(even)]))]


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
        names = [
            graph.constant(f"{name}.{part}", state[f"cells.{name}.{part}"]) for part in ("weight", "bias")
        ]
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
