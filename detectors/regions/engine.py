"""The region network without PyTorch: a trunk in onnxruntime, a head in NumPy.

    engine = RegionEngine(arrays)
    logits = engine.logits(picture)          # float32 [H / 8, W / 8]: does this block not fit the rest?

The trunk describes every block of 8 x 8 pixels by what is fine in it: residuals of high-pass filters, and
the cosines of the block on JPEG's grid. The head compares a block with the mean and the spread of its own
picture: what matters is not how fine detail looks, but whether it looks alike everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from countermark.core.errors import WeightsError
from countermark.core.images import Pixels
from countermark.detectors.regions.shape import (
    BANDS,
    BLOCK,
    DILATIONS,
    EMBEDDED,
    HIDDEN,
    LIMIT,
    LUMA,
    REACH,
    SPREAD,
    WIDTHS,
    dct_filters,
)
from countermark.detectors.towers.graph import Graph

#: Longest side, in blocks, of the pieces that the trunk is given, without the ``REACH`` around them: bounds
#: its memory (about 200 bytes for each pixel).
PIECE = 128

_FIRST, _SECOND, _THIRD, _LAST = WIDTHS
_WIDE = tuple(f"wide.{place}" for place in range(len(DILATIONS)))
#: Shapes of the arrays that make a network; convolutions have their norms folded in.
SHAPES: dict[str, tuple[int, ...]] = {
    "residual.weight": (_FIRST, 3, 5, 5),
    "down1.weight": (_SECOND, _FIRST, 3, 3),
    "down2.weight": (_THIRD, _SECOND, 3, 3),
    "same2.weight": (_THIRD, _THIRD, 3, 3),
    "down3.weight": (_LAST, _THIRD, 3, 3),
    "bands.weight": (_LAST, 2 * BANDS, 1, 1),
    "join.weight": (_LAST, 2 * _LAST, 1, 1),
    **{f"{name}.weight": (_LAST, _LAST, 3, 3) for name in _WIDE},
    "embed.weight": (EMBEDDED, _LAST, 1, 1),
    "hidden.weight": (HIDDEN, 3 * EMBEDDED),
    "out.weight": (1, HIDDEN),
    "down1.bias": (_SECOND,),
    "down2.bias": (_THIRD,),
    "same2.bias": (_THIRD,),
    "down3.bias": (_LAST,),
    "bands.bias": (_LAST,),
    "join.bias": (_LAST,),
    **{f"{name}.bias": (_LAST,) for name in _WIDE},
    "embed.bias": (EMBEDDED,),
    "hidden.bias": (HIDDEN,),
    "out.bias": (1,),
}


class RegionEngine:
    """The network, for inference on the CPU. Safe to use from several threads.

    Args:
        arrays: By the names of ``SHAPES``, of any float type.

    Raises:
        WeightsError: an array is missing or has another shape.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        for name, shape in SHAPES.items():
            if name not in arrays or np.shape(arrays[name]) != shape:
                raise WeightsError(f"The region network's {name} is missing or not of the shape {shape}.")
        state = {name: np.asarray(arrays[name], np.float32) for name in SHAPES}
        self._head = {name: state[name] for name in state if name.startswith(("hidden", "out"))}
        self._trunk = _session(_trunk_model(state))

    def logits(self, picture: Pixels) -> np.ndarray:
        """float32 [H // 8, W // 8] of uint8 RGB [H, W, 3], sides from 8 on; rests at the edge are cut."""
        return self.compared(self.embeddings(picture))

    def compared(self, rows: np.ndarray) -> np.ndarray:
        """float32 [h, w] of a picture's ``embeddings`` [h, w, EMBEDDED]: each block beside all of them."""
        flat = rows.reshape(-1, EMBEDDED)
        mean = flat.mean(axis=0)
        # One block alone has no spread; as in training, the spread is that of a sample.
        spread = (flat.std(axis=0, ddof=1) if len(flat) > 1 else np.zeros(EMBEDDED, np.float32)) + SPREAD
        joined = np.concatenate([flat, (flat - mean) / spread, np.broadcast_to(mean, flat.shape)], axis=1)
        hidden = np.maximum(joined @ self._head["hidden.weight"].T + self._head["hidden.bias"], 0)
        found: np.ndarray = hidden @ self._head["out.weight"][0] + self._head["out.bias"]
        return found.reshape(rows.shape[:2]).astype(np.float32, copy=False)

    def embeddings(self, picture: Pixels) -> np.ndarray:
        """float32 [H // 8, W // 8, EMBEDDED]; computed in pieces, which give the same as the whole."""
        high, wide = (n // BLOCK for n in picture.shape[:2])
        picture = np.ascontiguousarray(picture[: high * BLOCK, : wide * BLOCK])
        found = np.empty((high, wide, EMBEDDED), np.float32)
        for top, bottom in _pieces(high):
            for left, right in _pieces(wide):
                rows = slice(max(0, top - REACH), min(high, bottom + REACH))
                columns = slice(max(0, left - REACH), min(wide, right + REACH))
                piece = picture[
                    rows.start * BLOCK : rows.stop * BLOCK, columns.start * BLOCK : columns.stop * BLOCK
                ]
                seen = self._trunk.run(None, {"x": np.ascontiguousarray(piece)[None]})[0][0]
                inside = seen[
                    :, top - rows.start : bottom - rows.start, left - columns.start : right - columns.start
                ]
                found[top:bottom, left:right] = inside.transpose(1, 2, 0)
        return found


def _pieces(length: int) -> list[tuple[int, int]]:
    """Begin and end of as few equal pieces of ``range(length)`` as ``PIECE`` allows."""
    count = max(1, -(-length // PIECE))
    bounds = [number * length // count for number in range(count + 1)]
    return list(pairwise(bounds))


def _session(model: bytes) -> Any:
    import onnxruntime

    from countermark.core.threads import worker_threads

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = worker_threads(), 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _trunk_model(state: Mapping[str, np.ndarray]) -> bytes:
    source = ("x", np.uint8, (1, "high", "wide", 3))
    graph = Graph("regions", source, [("y", np.float32, (1, EMBEDDED, "rows", "columns"))])
    graph.node("Transpose", ["x"], ["planes"], perm=[0, 3, 1, 2])
    graph.node("Cast", ["planes"], ["pixels"], to=1)
    weight = state["residual.weight"]
    weight = (weight - weight.mean(axis=(2, 3), keepdims=True)) / LIMIT
    graph.constant("residual", weight)
    graph.node("Conv", ["pixels", "residual"], ["fine"], pads=[2, 2, 2, 2], kernel_shape=[5, 5])
    graph.constant("low", np.array(-1, np.float32))
    graph.constant("top", np.array(1, np.float32))
    graph.node("Clip", ["fine", "low", "top"], ["r0"])
    _layer(graph, state, "down1", "r0", "r1", strides=[2, 2])
    _layer(graph, state, "down2", "r1", "r2", strides=[2, 2])
    _layer(graph, state, "same2", "r2", "r3")
    _layer(graph, state, "down3", "r3", "r4", strides=[2, 2])
    # Luma is part of the cosine filters; the mean that it lacks would fall out anyway.
    graph.constant("cosines", dct_filters() * np.array(LUMA, np.float32)[None, :, None, None])
    graph.node("Conv", ["pixels", "cosines"], ["bands"], strides=[BLOCK, BLOCK], kernel_shape=[BLOCK, BLOCK])
    graph.constant("one", np.array(1, np.float32))
    graph.node("Abs", ["bands"], ["size"])
    graph.node("Add", ["size", "one"], ["size1"])
    graph.node("Log", ["size1"], ["logs"])
    graph.node("Mul", ["bands", "bands"], ["squares"])
    graph.node("Neg", ["squares"], ["minus"])
    graph.node("Exp", ["minus"], ["zeros"])
    graph.node("Concat", ["logs", "zeros"], ["both"], axis=1)
    _layer(graph, state, "bands", "both", "b0", side=1)
    graph.node("Concat", ["r4", "b0"], ["joined"], axis=1)
    _layer(graph, state, "join", "joined", "y0", side=1)
    for place, spacing in enumerate(DILATIONS):
        _layer(graph, state, _WIDE[place], f"y{place}", f"w{place}", spacing=spacing)
        graph.node("Add", [f"y{place}", f"w{place}"], [f"y{place + 1}"])
    inputs = [f"y{len(DILATIONS)}", *_constants(graph, state, "embed")]
    graph.node("Conv", inputs, ["y"], kernel_shape=[1, 1])
    return graph.model()


def _constants(graph: Graph, state: Mapping[str, np.ndarray], name: str) -> list[str]:
    return [graph.constant(f"{name}.{part}", state[f"{name}.{part}"]) for part in ("weight", "bias")]


def _layer(
    graph: Graph,
    state: Mapping[str, np.ndarray],
    name: str,
    source: str,
    result: str,
    *,
    side: int = 3,
    spacing: int = 1,
    strides: list[int] | None = None,
) -> None:
    """A convolution and ReLU; the picture is continued by zeros."""
    edge = side // 2 * spacing
    graph.node(
        "Conv",
        [source, *_constants(graph, state, name)],
        [f"{result}.sum"],
        kernel_shape=[side, side],
        dilations=[spacing, spacing],
        pads=[edge] * 4,
        strides=strides or [1, 1],
    )
    graph.node("Relu", [f"{result}.sum"], [result])
