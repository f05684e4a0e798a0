"""Weights in a few bits: group-wise symmetric quantisation for shipping, undone when loaded.

A matrix ``[out, in]`` is stored the other way round, ``[in, out]``, as matrix products want it. Every
``group`` consecutive inputs of one output share one fp16 scale. Codes of 2-8 bits are packed without
gaps in *planes*, which NumPy takes apart in a few passes: the low four bits of the first half of all
codes share bytes with those of the second half, and every higher bit has a plane of its own, eight
codes a byte. Only storage is rounded: what is restored is float32.

>>> weight = np.random.default_rng(0).standard_normal((8, 128)).astype(np.float32)
>>> restored = unpack(pack(weight, bits=8, group=64), (8, 128), bits=8, group=64)
>>> bool(np.abs(weight - restored).max() < 0.02)
True
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from countermark.core.errors import WeightsError

CODES, SCALES = "codes", "scales"
LAYOUT = "planes"
#: Bits of a code that are kept together.
LOW = 4


def pack(weight: np.ndarray, *, bits: int, group: int) -> dict[str, np.ndarray]:
    """Rounds a matrix [out, in] (``in`` divisible by ``group``).

    The scale of a group is the one of 12 candidates with the least squared error, not the largest
    weight's: at 4-6 bits a clipped outlier costs less than a coarse step for all the others.

    Returns:
        ``codes``, uint8, 1-D, and ``scales``, fp16 [in / group, out].
    """
    if not 2 <= bits <= 8 or weight.ndim != 2 or weight.shape[1] % group:
        raise WeightsError(f"Cannot pack {tuple(weight.shape)} into {bits} bits in groups of {group}.")
    top = 2 ** (bits - 1) - 1
    rows = np.ascontiguousarray(weight.T, dtype=np.float32).reshape(-1, group, len(weight))
    peak = np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.float32(1e-8))
    best = np.full_like(peak, np.inf)
    scales = peak / top
    for share in np.linspace(1.0, 0.72, 12 if bits < 8 else 1):
        trial = np.maximum((peak * np.float32(share) / top).astype(np.float16).astype(np.float32), 6e-8)
        error = np.square(_round(rows, trial, top) * trial - rows).sum(axis=1, keepdims=True)
        scales = np.where(error < best, trial, scales)
        best = np.minimum(error, best)
    codes = (_round(rows, scales, top) + top).astype(np.uint8)
    return {CODES: to_planes(codes.ravel(), bits), SCALES: scales[:, 0].astype(np.float16)}


def unpack(packed: Mapping[str, np.ndarray], shape: tuple[int, ...], *, bits: int, group: int) -> np.ndarray:
    """The float32 matrix of ``shape`` [out, in] that ``pack`` stored; its transpose is contiguous.

    Raises:
        WeightsError: the codes or scales do not fit ``shape``.
    """
    outputs, inputs = shape
    codes, scales = packed[CODES], packed[SCALES]
    fits = codes.dtype == np.uint8 and codes.shape == (plane_bytes(outputs * inputs, bits),)
    if not fits or inputs % group or scales.shape != (inputs // group, outputs):
        raise WeightsError(f"Packed weights do not fit the shape {shape} at {bits} bits.")
    values = from_planes(codes, outputs * inputs, bits).reshape(-1, group, outputs).astype(np.float32)
    values -= np.float32(2 ** (bits - 1) - 1)
    values *= scales.astype(np.float32)[:, None, :]
    return values.reshape(inputs, outputs).T


def pack_state(
    state: Mapping[str, np.ndarray], *, bits: int, group: int
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Packs every matrix whose last axis fits ``group``; the rest is stored as fp16.

    Returns:
        The tensors, and the shapes and settings that ``unpack_state`` needs (JSON types).
    """
    tensors: dict[str, np.ndarray] = {}
    shapes: dict[str, list[int]] = {}
    for name, value in state.items():
        if value.ndim == 2 and value.shape[-1] % group == 0 and value.size >= 4096:
            shapes[name] = list(value.shape)
            tensors |= {f"{name}.{part}": t for part, t in pack(value, bits=bits, group=group).items()}
        else:
            tensors[name] = value.astype(np.float16)
    return tensors, {"layout": LAYOUT, "bits": bits, "group": group, "shapes": shapes}


class PackedState(Mapping[str, np.ndarray]):
    """A state by name, float32; a packed matrix is restored each time that it is asked for.

    Args:
        tensors: What ``pack_state`` made, as it was read.
        plan: The settings beside it.

    Raises:
        WeightsError: of another layout; on access: damaged.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], plan: Mapping[str, Any]) -> None:
        if plan.get("layout") != LAYOUT:
            raise WeightsError(
                "The weights are packed in a layout that this version does not read.",
                hint="Train them again, or use the version that wrote them.",
            )
        self._bits, self._group = int(plan["bits"]), int(plan["group"])
        self._shapes = {name: tuple(int(n) for n in shape) for name, shape in plan["shapes"].items()}
        packed = {f"{name}.{part}" for name in self._shapes for part in (CODES, SCALES)}
        self._tensors = tensors
        self._names = [*(name for name in tensors if name not in packed), *self._shapes]

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._shapes:
            return self._tensors[name].astype(np.float32)
        try:
            parts = {part: self._tensors[f"{name}.{part}"] for part in (CODES, SCALES)}
        except KeyError as error:
            raise WeightsError(f"The packed weights lack {error}.") from error
        return unpack(parts, self._shapes[name], bits=self._bits, group=self._group)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def plane_bytes(count: int, bits: int) -> int:
    """Bytes that ``to_planes`` makes of this many codes."""
    low, high = (-(-count // 2), bits - LOW) if bits >= LOW else (0, bits)
    return low + high * -(-count // 8)


def to_planes(codes: np.ndarray, bits: int) -> np.ndarray:
    """uint8 codes of ``bits`` bits, 1-D, as bytes without gaps."""
    parts: list[np.ndarray] = []
    first = 0
    if bits >= LOW:
        half = -(-len(codes) // 2)
        low = codes & np.uint8(15)
        joined = low[:half].copy()
        joined[: len(codes) - half] |= low[half:] << np.uint8(4)
        parts.append(joined)
        first = LOW
    parts += [np.packbits(codes >> np.uint8(bit) & np.uint8(1)) for bit in range(first, bits)]
    return np.concatenate(parts)


def from_planes(data: np.ndarray, count: int, bits: int) -> np.ndarray:
    """The codes, uint8 [count], that ``to_planes`` stored."""
    codes = np.zeros(count, np.uint8)
    start, first = 0, 0
    if bits >= LOW:
        half = -(-count // 2)
        np.bitwise_and(data[:half], np.uint8(15), out=codes[:half])
        np.right_shift(data[: count - half], np.uint8(4), out=codes[half:])
        start, first = half, LOW
    for bit in range(first, bits):
        end = start + -(-count // 8)
        plane = np.unpackbits(data[start:end], count=count)
        codes |= np.left_shift(plane, np.uint8(bit), out=plane)
        start = end
    return codes


def _round(rows: np.ndarray, scales: np.ndarray, top: int) -> np.ndarray:
    return np.clip(np.rint(rows / scales), -top, top)
