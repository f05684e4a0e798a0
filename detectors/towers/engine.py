"""The towers without PyTorch: every block as one onnxruntime session, in float32 or with 8-bit products.

    engine = load_engine("clip-vit-b16", depth=10)      # detectors.towers.library
    tokens = engine.tokens(views, blocks=[6, 8, 10])    # float32 [n, 197, 768] after each of them

``ClipTrunk`` is the reference: the same network in PyTorch, for training, gradients and GPUs.

What is exact and what is rounded:

- ``float32`` computes what ``ClipTrunk`` computes in float32, up to the order of sums (1e-5 of a token).
- ``int8`` rounds both sides of the four matrix products of a block to 8 bits: weights with one scale for
  every output, inputs with one for every view (of the last product: for every token). Before that,
  inputs are centred and evened out by what was measured of them when the tower was made (its *ranges*),
  which loses nothing: means go into biases, factors into the weights around. What rounding shifts on
  average is taken back after each block. Sums of products are exact integers; everything else (residual
  stream, norms, attention, activation, first embedding) stays float32.

Views are computed one by one, so that a view's tokens do not depend on the views beside it.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

from countermark.core.errors import ConfigError
from countermark.core.memory import keep_memory
from countermark.core.threads import worker_threads
from countermark.detectors.towers.graph import CONTRIB, Graph, Value
from countermark.detectors.towers.shape import (
    ALL_POOLS,
    EPSILON,
    GRID,
    HEAD_DIM,
    HEADS,
    MEAN,
    PATCH,
    QUICK,
    STD,
    TOKENS,
    WIDTH,
)

PRECISIONS = ("auto", "float32", "int8")
#: Names of a block's four matrices, as in the state.
MATRICES = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
#: Those of them whose inputs are centred and evened out for int8 (as by Xiao et al. 2023).
CENTRED = ("attn.qkv", "attn.proj", "mlp.fc1")


class TowerEngine:
    """The first ``depth`` blocks of a tower, for inference on the CPU. Safe to use from several threads.

    Args:
        state: Tensors by ``ClipTrunk``'s names, float32; each is asked for once, block after block.
        depth: Number of blocks.
        head_dim: Dimensions of each of the twelve heads.
        precision: ``float32``, ``int8``, or ``auto``: int8 where the state has ranges and this
            processor's 8-bit products are exact (``exact_products``), else float32.

    Raises:
        ConfigError: unknown precision, or int8 for a state without ranges.
    """

    def __init__(
        self,
        state: Mapping[str, np.ndarray],
        *,
        depth: int,
        head_dim: int = HEAD_DIM,
        precision: str = "auto",
    ) -> None:
        if precision not in PRECISIONS:
            raise ConfigError(f"{precision!r} is no precision.", hint=f"Use one of {', '.join(PRECISIONS)}.")
        known = range_name(0, "shift") in state
        if precision == "int8" and not known:
            raise ConfigError("This tower has no ranges, which 8-bit products need.")
        if precision == "auto":
            precision = "int8" if known and exact_products() else "float32"
        self.depth, self.head_dim, self.precision = depth, head_dim, precision
        self._embed = _session(_embedding(state))
        make = _int8_block if precision == "int8" else _float_block
        self._blocks = [_session(make(state, number, head_dim)) for number in range(depth)]

    def tokens(self, views: np.ndarray, blocks: Sequence[int]) -> list[np.ndarray]:
        """The residual stream after each of ``blocks`` (counted from 1).

        Args:
            views: uint8 [n, 224, 224, 3], RGB.
            blocks: In any order, within 1 and ``depth``.

        Returns:
            float32 [n, 197, 768] each, the class token first.
        """
        kept = self._run(views, blocks, lambda tokens: tokens)
        return [np.stack([view[place] for view in kept]) for place in range(len(blocks))]

    def pooled(
        self, views: np.ndarray, blocks: Sequence[int], pools: Sequence[int] = ALL_POOLS
    ) -> np.ndarray:
        """float32 [n, blocks, pools, 768]; ``pools`` are places in ``POOLS``."""
        kept = self._run(views, blocks, lambda tokens: pool_tokens(tokens, pools))
        return np.stack([np.stack(view) for view in kept])

    def _run(
        self, views: np.ndarray, blocks: Sequence[int], keep: Callable[[np.ndarray], np.ndarray]
    ) -> list[list[np.ndarray]]:
        if not blocks or not all(1 <= block <= self.depth for block in blocks):
            raise ConfigError(f"The blocks {list(blocks)} are not among 1-{self.depth}.")
        patches = cut_patches(views)
        keep_memory()

        def one(view: np.ndarray) -> list[np.ndarray]:
            x = self._embed.run(None, {"x": view[None]})[0]
            found: dict[int, np.ndarray] = {}
            for number, block in enumerate(self._blocks[: max(blocks)], 1):
                x = block.run(None, {"x": x})[0]
                if number in blocks:
                    found[number] = keep(x[0])
            return [found[block] for block in blocks]

        threads = min(worker_threads(), len(patches))
        if threads < 2:
            return [one(view) for view in patches]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(one, patches))


def cut_patches(views: np.ndarray) -> np.ndarray:
    """uint8 [n, 224, 224, 3] as rows of 16 x 16 patches: uint8 [n, 196, 768], channels last."""
    side = GRID * PATCH
    if views.dtype != np.uint8 or views.ndim != 4 or views.shape[1:] != (side, side, 3):
        raise ConfigError(f"A tower takes uint8 views of {side} x {side} pixels, RGB.")
    split = views.reshape(-1, GRID, PATCH, GRID, PATCH, 3).transpose(0, 1, 3, 2, 4, 5)
    return np.ascontiguousarray(split).reshape(-1, GRID * GRID, PATCH * PATCH * 3)


def pool_tokens(tokens: np.ndarray, pools: Sequence[int] = ALL_POOLS) -> np.ndarray:
    """[..., 197, 768] to float32 [..., pools, 768]: class token, mean, standard deviation of the patches."""
    patches = tokens[..., 1:, :]
    found = (
        lambda: tokens[..., 0, :],
        lambda: patches.mean(axis=-2),
        lambda: patches.std(axis=-2, ddof=1),
    )
    return np.stack([found[pool]() for pool in pools], axis=-2)


@lru_cache(maxsize=1)
def exact_products() -> bool:
    """Whether products of 8-bit numbers are summed without saturation here, tried on a small example.

    Without VNNI instructions x86 processors add pairs of them up in 16 bits: they get float32.
    """
    graph = Graph("probe", ("x", np.float32, (1, 2, WIDTH)), [("y", np.float32, (1, 2, 64))])
    graph.constant("w", np.full((WIDTH, 64), 127, np.int8))
    graph.constant("w_scale", np.ones(64, np.float32))
    graph.node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"])
    graph.node("MatMulIntegerToFloat", ["q", "w", "scale", "w_scale", "zero"], ["y"], CONTRIB)
    found = _session(graph.model()).run(None, {"x": np.full((1, 2, WIDTH), 255, np.float32)})[0]
    return bool(np.all(found == 255.0 * 127 * WIDTH))


def range_name(block: int, what: str) -> str:
    """Name of the tensor with a block's (counted from 0) ``attn.qkv.mean``, ``….peak`` or ``shift``."""
    return f"ranges.{block}.{what}"


def measure_ranges(
    state: Mapping[str, np.ndarray], views: np.ndarray, *, depth: int, head_dim: int = HEAD_DIM
) -> dict[str, np.ndarray]:
    """What int8 needs to know of a tower, from some views; to be put into its state.

    Args:
        state: As of ``TowerEngine``, without ranges.
        views: uint8 [n, 224, 224, 3]; fifty of varied pictures are plenty.

    Returns:
        float32 tensors by ``range_name``. ``mean`` and ``peak`` [inputs] of the matrices in
        ``CENTRED``: every channel's mean and its largest distance from it. ``shift`` [2, 768]: what
        rounding does to the class token and to the others after a block on average, taken back there.
    """
    embed = _session(_embedding(state))
    exact = [embed.run(None, {"x": view[None]})[0] for view in cut_patches(views)]
    rounded = [x.copy() for x in exact]
    found: dict[str, np.ndarray] = {}
    for number in range(depth):
        block = _session(_float_block(state, number, head_dim, watched=True))
        outputs = [block.run(None, {"x": x}) for x in exact]
        exact = [output[0] for output in outputs]
        for place, matrix in enumerate(CENTRED, 1):
            rows = np.concatenate([output[place][0] for output in outputs])
            mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
            found[range_name(number, f"{matrix}.mean")] = mean
            found[range_name(number, f"{matrix}.peak")] = np.abs(rows - mean).max(axis=0)
        found[range_name(number, "shift")] = np.zeros((2, WIDTH), np.float32)
        block = _session(_int8_block(ChainMap(found, state), number, head_dim))  # type: ignore[arg-type]
        rounded = [block.run(None, {"x": x})[0] for x in rounded]
        left = np.zeros((TOKENS, WIDTH))
        for x, y in zip(exact, rounded, strict=True):
            left += (x[0] - y[0]) / len(exact)
        shift = np.stack([left[0], left[1:].mean(axis=0)]).astype(np.float32)
        found[range_name(number, "shift")] = shift
        rounded = [x + _by_token(shift) for x in rounded]
    return found


def _session(model: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # The graphs are written as they are to be run; looking for better ones would only take time.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _stream(name: str) -> Value:
    return (name, np.float32, (1, TOKENS, WIDTH))


def _embedding(state: Mapping[str, np.ndarray]) -> bytes:
    """uint8 patches [1, 196, 768] to the first block's input: normalising is part of the weights."""
    graph = Graph("embedding", ("x", np.uint8, (1, GRID * GRID, WIDTH)), [_stream("y")])
    weight = state["patch_embed.proj.weight"].transpose(2, 3, 1, 0).reshape(-1, 3, WIDTH).astype(np.float64)
    mean, std = np.array(MEAN)[None, :, None] * 255, np.array(STD)[None, :, None] * 255
    added = state["pos_embed"].reshape(TOKENS, WIDTH).astype(np.float64)
    added[0] += state["cls_token"].reshape(WIDTH)
    added[1:] -= (weight * mean / std).sum(axis=(0, 1))
    if "patch_embed.proj.bias" in state:
        added[1:] += state["patch_embed.proj.bias"]
    graph.constant("w", (weight / std).reshape(-1, WIDTH).astype(np.float32))
    graph.constant("added", added.astype(np.float32))
    graph.constant("pads", np.array([0, 1, 0, 0, 0, 0]))
    graph.node("Cast", ["x"], ["floats"], to=1)
    graph.node("MatMul", ["floats", "w"], ["patches"])
    graph.node("Pad", ["patches", "pads"], ["padded"])
    graph.node("Add", ["padded", "added"], ["sum"])
    _norm(graph, "sum", "y", state["norm_pre.weight"], state["norm_pre.bias"])
    return graph.model()


def _norm(graph: Graph, source: str, result: str, weight: np.ndarray, bias: np.ndarray) -> None:
    inputs = [source, graph.constant(f"{result}_gain", weight), graph.constant(f"{result}_bias", bias)]
    graph.node("LayerNormalization", inputs, [result], axis=-1, epsilon=EPSILON)


#: Multiplies (graph, matrix, input, output).
Product = Callable[[Graph, str, str, str], None]


def _block(
    name: str, norms: Sequence[tuple[np.ndarray, np.ndarray]], product: Product, watched: Sequence[int] = ()
) -> bytes:
    """A block from float32 [1, 197, 768] to the same; ``watched``: inputs' widths, made outputs too."""
    widths = dict(zip(("normed", "mixed", "normed2"), watched, strict=False))
    results = [_stream("y"), *((n, np.float32, (1, TOKENS, width)) for n, width in widths.items())]
    graph = Graph(name, _stream("x"), results)
    _norm(graph, "x", "normed", *norms[0])
    for part in "qkv":
        product(graph, f"attn.{part}", "normed", part)
    graph.node("MultiHeadAttention", ["q", "k", "v"], ["mixed"], CONTRIB, num_heads=HEADS)
    product(graph, "attn.proj", "mixed", "projected")
    graph.node("Add", ["x", "projected"], ["middle"])
    _norm(graph, "middle", "normed2", *norms[1])
    product(graph, "mlp.fc1", "normed2", "hidden")
    graph.node("QuickGelu", ["hidden"], ["active"], CONTRIB, alpha=QUICK)
    product(graph, "mlp.fc2", "active", "out")
    graph.node("Add", ["middle", "out"], ["y"])
    return graph.model()


def _layers(state: Mapping[str, np.ndarray], number: int) -> dict[str, tuple[np.ndarray, ...]]:
    """Weights [in, out] and biases [out] of a block's four matrices."""
    names = {matrix: f"blocks.{number}.{matrix}" for matrix in MATRICES}
    return {matrix: (state[f"{name}.weight"].T, state[f"{name}.bias"]) for matrix, name in names.items()}


def _norms(state: Mapping[str, np.ndarray], number: int) -> list[tuple[np.ndarray, np.ndarray]]:
    names = [f"blocks.{number}.{norm}" for norm in ("norm1", "norm2")]
    return [(state[f"{name}.weight"], state[f"{name}.bias"]) for name in names]


def _parted(layers: Mapping[str, tuple[np.ndarray, ...]], head_dim: int) -> dict[str, tuple[np.ndarray, ...]]:
    """The same with queries, keys and values apart: the last axis of every array is cut."""
    found = dict(layers)
    for place, part in enumerate("qkv"):
        own = slice(place * HEADS * head_dim, (place + 1) * HEADS * head_dim)
        found[f"attn.{part}"] = tuple(array[..., own] for array in layers["attn.qkv"])
    return found


def _float_block(
    state: Mapping[str, np.ndarray], number: int, head_dim: int, *, watched: bool = False
) -> bytes:
    """In float32; ``watched``: what the matrices in ``CENTRED`` are multiplied with is given out, too."""
    layers = _parted(_layers(state, number), head_dim)

    def product(graph: Graph, matrix: str, source: str, result: str) -> None:
        weight, bias = layers[matrix]
        graph.node("MatMul", [source, graph.constant(f"{result}_weight", weight)], [f"{result}_product"])
        graph.node("Add", [f"{result}_product", graph.constant(f"{result}_bias", bias)], [result])

    widths = [len(layers[matrix][0]) for matrix in CENTRED] if watched else []
    return _block(f"block{number}", _norms(state, number), product, widths)


def _int8_block(state: Mapping[str, np.ndarray], number: int, head_dim: int) -> bytes:
    """With the products in 8 bits."""
    layers, norms = _layers(state, number), _norms(state, number)
    centres = {m: state[range_name(number, f"{m}.mean")] for m in CENTRED}
    factors = {m: _factors(state[range_name(number, f"{m}.peak")], layers[m][0]) for m in CENTRED}
    rounded: dict[str, tuple[np.ndarray, ...]] = {}
    for matrix, (weight, bias) in layers.items():
        if matrix in CENTRED:
            bias = bias + centres[matrix] @ weight
            weight = weight * factors[matrix][:, None]
        steps = np.maximum(np.abs(weight).max(axis=0), np.float32(1e-12)) / np.float32(127)
        rounded[matrix] = (np.rint(weight / steps).astype(np.int8), steps, bias)
    # Whoever makes a matrix's input makes it centred and evened out: (x - centre) / factor.
    for place, matrix in enumerate(("attn.qkv", "mlp.fc1")):
        gain, bias = norms[place]
        norms[place] = (gain / factors[matrix], (bias - centres[matrix]) / factors[matrix])
    # Shares of attention add up to 1: values that are centred and evened out come out of it so.
    values, matrix = slice(2 * HEADS * head_dim, None), "attn.proj"
    steps, bias = rounded["attn.qkv"][1:]
    steps[values] /= factors[matrix]
    bias[values] = (bias[values] - centres[matrix]) / factors[matrix]
    last = rounded["mlp.fc2"][2] + _by_token(state[range_name(number, "shift")])
    parts = _parted(rounded, head_dim)
    made: set[str] = set()

    def product(graph: Graph, matrix: str, source: str, result: str) -> None:
        codes, steps, bias = parts[matrix]
        inputs = [f"{source}_{what}" for what in ("codes", "step", "zero")]
        if matrix == "mlp.fc2":
            # Single tokens stand out here: all are brought to the same height, and back afterwards.
            graph.node("ReduceMax", [source], ["top"], axes=[-1], keepdims=1)
            graph.node("Max", ["top", graph.constant("least", np.full(1, 1e-3, np.float32))], ["height"])
            graph.node("Reciprocal", ["height"], ["inverse"])
            graph.node("Mul", [source, "inverse"], ["level"])
        if source not in made:
            made.add(source)
            graph.node("DynamicQuantizeLinear", ["level" if matrix == "mlp.fc2" else source], inputs)
        weight, scale = graph.constant(f"{result}_weight", codes), graph.constant(f"{result}_steps", steps)
        operands = [inputs[0], weight, inputs[1], scale, inputs[2]]
        if matrix == "mlp.fc2":
            graph.node("MatMulIntegerToFloat", operands, ["low"], CONTRIB)
            graph.node("Mul", ["low", "height"], ["high"])
            graph.node("Add", ["high", graph.constant("last", last)], [result])
        else:
            operands += ["", graph.constant(f"{result}_bias", bias)]
            graph.node("MatMulIntegerToFloat", operands, [result], CONTRIB)

    return _block(f"block{number}", norms, product)


def _by_token(shift: np.ndarray) -> np.ndarray:
    """[2, 768], of the class token and of the others, as [197, 768]."""
    return np.concatenate([shift[:1], np.repeat(shift[1:], TOKENS - 1, axis=0)])


def _factors(peak: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """By what each input is divided and its weights [in, out] are multiplied: both get alike uneven."""
    least = np.float32(1e-6)
    return np.sqrt(np.maximum(peak, least) / np.maximum(np.abs(weight).max(axis=1), least))
