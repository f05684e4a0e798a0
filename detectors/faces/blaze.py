"""BlazeFace (Bazarevsky et al. 2019), the short-range network of MediaPipe, as one onnxruntime session.

A square view of 128 pixels gives 896 anchored guesses, each a box, six landmarks and a score. Weights
come through ``core.weights`` like all others; ``tools/face_finder.py`` makes them from the published file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from countermark.core.errors import WeightsError
from countermark.core.weights import load_arrays
from countermark.detectors.towers.graph import Graph

WEIGHTS = Path(__file__).resolve().parent / "finder.safetensors"
FAMILY = "blazeface"
SIDE = 128
LANDMARKS = 6
#: Channels and stride of the stem and of the sixteen blocks after it.
STEM = 24
BLOCKS = (
    *((24, 1), (28, 1), (32, 2), (36, 1), (42, 1), (48, 2), (56, 1), (64, 1), (72, 1), (80, 1), (88, 1)),
    *((96, 2), (96, 1), (96, 1), (96, 1), (96, 1)),
)
#: After how many blocks guesses are made, their grid, and guesses a cell.
HEADS = ((11, 16, 2), (16, 8, 6))
NUMBERS = 4 + 2 * LANDMARKS
#: Views computed at a time.
BATCH = 8


@dataclass(frozen=True)
class Guesses:
    """What the network makes of views.

    Attributes:
        scores: float32 [n, 896], in [0, 1].
        points: float32 [n, 896, 8, 2], x and y as shares of the view's side: the box's left top and
            right bottom corner, then the landmarks in the order of ``find.Face``.
    """

    scores: np.ndarray
    points: np.ndarray


class BlazeFace:
    """The network. Safe to use from several threads.

    Args:
        state: float32 arrays by name: ``stem``, ``blocks.N.depth``, ``blocks.N.point``,
            ``heads.N.scores``, ``heads.N.points``, each ``.weight`` (ONNX order) and ``.bias``.

    Raises:
        WeightsError: an array is missing or has another shape.
    """

    def __init__(self, state: Mapping[str, np.ndarray]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        model = _model(state)
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._anchors = _anchors()

    def __call__(self, views: np.ndarray) -> Guesses:
        """Guesses for uint8 RGB views [n, 128, 128, 3]."""
        parts = [self._run(views[start : start + BATCH]) for start in range(0, len(views), BATCH)]
        scores, raw = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        numbers = raw.reshape(*raw.shape[:2], 2 + LANDMARKS, 2) / SIDE
        middle = numbers[:, :, 0] + self._anchors
        half = numbers[:, :, 1] / 2
        marks = numbers[:, :, 2:] + self._anchors[:, None]
        points = np.concatenate([(middle - half)[:, :, None], (middle + half)[:, :, None], marks], axis=2)
        return Guesses(_sigmoid(scores[..., 0]), points.astype(np.float32))

    def _run(self, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = views.astype(np.float32).transpose(0, 3, 1, 2) / 127.5 - 1
        scores, points = self._session.run(None, {"x": x})
        return scores, points


@lru_cache(maxsize=1)
def load_blazeface() -> BlazeFace:
    """The network with the weights that ship with the package; WeightsError if they are damaged."""
    tensors, _ = load_arrays(WEIGHTS, family=FAMILY)
    return BlazeFace({name: value.astype(np.float32) for name, value in tensors.items()})


def shapes() -> dict[str, tuple[int, ...]]:
    """The arrays of a state and their shapes."""
    found: dict[str, tuple[int, ...]] = {"stem": (STEM, 3, 5, 5)}
    width = STEM
    for number, (wider, _) in enumerate(BLOCKS):
        found[f"blocks.{number}.depth"] = (width, 1, 3, 3)
        found[f"blocks.{number}.point"] = (wider, width, 1, 1)
        width = wider
    for number, (after, _, each) in enumerate(HEADS):
        found[f"heads.{number}.scores"] = (each, BLOCKS[after - 1][0], 1, 1)
        found[f"heads.{number}.points"] = (each * NUMBERS, BLOCKS[after - 1][0], 1, 1)
    weights = {f"{name}.weight": shape for name, shape in found.items()}
    return weights | {f"{name}.bias": shape[:1] for name, shape in found.items()}


def _model(state: Mapping[str, np.ndarray]) -> bytes:
    for name, shape in shapes().items():
        if name not in state or state[name].shape != shape:
            raise WeightsError(f"The face finder's weights lack {name} of shape {shape}.")
    guesses = sum(grid * grid * each for _, grid, each in HEADS)
    results = [("scores", np.float32, ("n", guesses, 1)), ("points", np.float32, ("n", guesses, NUMBERS))]
    graph = Graph("blazeface", ("x", np.float32, ("n", 3, SIDE, SIDE)), results)

    def convolve(
        name: str, source: str, result: str, pads: list[int], stride: int = 1, group: int = 1
    ) -> None:
        kernel = graph.constant(f"{name}.weight", state[f"{name}.weight"].astype(np.float32))
        bias = graph.constant(f"{name}.bias", state[f"{name}.bias"].astype(np.float32))
        steps = [stride, stride]
        graph.node("Conv", [source, kernel, bias], [result], pads=pads, strides=steps, group=group)

    # Padding is TensorFlow's: with a stride of two, the odd row and column are at the end.
    convolve("stem", "x", "stem_sum", [1, 1, 2, 2], 2)
    graph.node("Relu", ["stem_sum"], ["y0"])
    width = STEM
    for number, (wider, stride) in enumerate(BLOCKS):
        name, source, skip = f"blocks.{number}", f"y{number}", f"y{number}"
        start = 1 if stride == 1 else 0
        convolve(f"{name}.depth", source, f"{name}.d", [start, start, 1, 1], stride, width)
        convolve(f"{name}.point", f"{name}.d", f"{name}.p", [0, 0, 0, 0])
        if stride == 2:
            skip = f"{name}.pooled"
            graph.node("MaxPool", [source], [skip], kernel_shape=[2, 2], strides=[2, 2])
        if wider > width:
            pads = graph.constant(f"{name}.pads", np.array([0, 0, 0, 0, 0, wider - width, 0, 0]))
            graph.node("Pad", [skip, pads], [f"{name}.padded"])
            skip = f"{name}.padded"
        graph.node("Add", [skip, f"{name}.p"], [f"{name}.sum"])
        graph.node("Relu", [f"{name}.sum"], [f"y{number + 1}"])
        width = wider
    for what, numbers in (("scores", 1), ("points", NUMBERS)):
        order = graph.constant(f"{what}.shape", np.array([0, -1, numbers]))
        for number, (after, _, _) in enumerate(HEADS):
            name = f"heads.{number}.{what}"
            convolve(name, f"y{after}", f"{name}.map", [0, 0, 0, 0])
            graph.node("Transpose", [f"{name}.map"], [f"{name}.last"], perm=[0, 2, 3, 1])
            graph.node("Reshape", [f"{name}.last", order], [f"{name}.list"])
        lists = [f"heads.{number}.{what}.list" for number in range(len(HEADS))]
        graph.node("Concat", lists, [what], axis=1)
    return graph.model()


def _anchors() -> np.ndarray:
    """float32 [896, 2]: x and y of the middle of every guess's cell."""
    parts = []
    for _, grid, each in HEADS:
        y, x = np.mgrid[:grid, :grid]
        cells = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / grid
        parts.append(np.repeat(cells, each, axis=0))
    return np.concatenate(parts).astype(np.float32)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return (0.5 * (1 + np.tanh(0.5 * x))).astype(np.float32)
