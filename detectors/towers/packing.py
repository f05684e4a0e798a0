"""Weights in a few bits: group-wise symmetric quantisation for shipping, undone when loaded.

Codes of 2-8 bits are packed without gaps; every group of ``group`` weights along the last axis
shares one fp16 scale. Only storage is quantised: the network runs on the restored weights.

>>> import torch
>>> weight = torch.randn(8, 128, generator=torch.Generator().manual_seed(0))
>>> restored = unpack(pack(weight, bits=8, group=64), (8, 128), bits=8, group=64)
>>> bool((weight - restored).abs().max() < 0.02)
True
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from countermark.core.errors import WeightsError

CODES, SCALES = "codes", "scales"


def pack(weight: Tensor, *, bits: int, group: int) -> dict[str, Tensor]:
    """Quantises ``weight`` (last axis divisible by ``group``) into ``codes`` (uint8) and ``scales`` (fp16).

    The scale of a group is the one of 12 candidates with the least squared error, not the largest
    weight's: at 4-6 bits a clipped outlier costs less than a coarse step for all the others.
    """
    if not 2 <= bits <= 8 or weight.shape[-1] % group:
        raise WeightsError(f"Cannot pack {tuple(weight.shape)} into {bits} bits in groups of {group}.")
    top = 2 ** (bits - 1) - 1
    rows = weight.detach().float().reshape(-1, group)
    peak = rows.abs().amax(dim=1, keepdim=True).clamp_min(1e-8)
    best = torch.full((len(rows), 1), torch.inf)
    scales = peak / top
    for share in np.linspace(1.0, 0.72, 12 if bits < 8 else 1):
        trial = (peak * float(share) / top).half().float().clamp_min(6e-8)
        error = (_round(rows, trial, top) * trial - rows).square().sum(dim=1, keepdim=True)
        scales = torch.where(error < best, trial, scales)
        best = torch.minimum(error, best)
    codes = (_round(rows, scales, top) + top).to(torch.uint8).numpy()
    planes = np.unpackbits(codes.reshape(-1, 1), axis=1)[:, 8 - bits :]
    return {CODES: torch.from_numpy(np.packbits(planes.ravel())), SCALES: scales[:, 0].half()}


def unpack(packed: Mapping[str, Tensor], shape: tuple[int, ...], *, bits: int, group: int) -> Tensor:
    """The float32 weights of ``shape`` that ``pack`` stored.

    Raises:
        WeightsError: the codes or scales do not fit ``shape``.
    """
    count = int(np.prod(shape))
    codes, scales = packed[CODES], packed[SCALES]
    if codes.dtype != torch.uint8 or len(codes) != -(-count * bits // 8) or len(scales) * group != count:
        raise WeightsError(f"Packed weights do not fit the shape {shape} at {bits} bits.")
    values = torch.from_numpy(_codes(codes.numpy(), count, bits)).float() - (2 ** (bits - 1) - 1)
    return (values.reshape(-1, group) * scales.float()[:, None]).reshape(shape)


def pack_state(
    state: Mapping[str, Tensor], *, bits: int, group: int
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Packs every matrix whose last axis fits ``group``; the rest is stored as fp16.

    Returns:
        The tensors, and the shapes and settings that ``unpack_state`` needs (JSON types).
    """
    tensors: dict[str, Tensor] = {}
    shapes: dict[str, list[int]] = {}
    for name, value in state.items():
        if value.ndim == 2 and value.shape[-1] % group == 0 and value.numel() >= 4096:
            shapes[name] = list(value.shape)
            tensors |= {f"{name}.{part}": t for part, t in pack(value, bits=bits, group=group).items()}
        else:
            tensors[name] = value.detach().half()
    return tensors, {"bits": bits, "group": group, "shapes": shapes}


def unpack_state(tensors: Mapping[str, Tensor], plan: Mapping[str, Any]) -> dict[str, Tensor]:
    """Restores the float32 state that ``pack_state`` packed."""
    bits, group = int(plan["bits"]), int(plan["group"])
    shapes = {name: tuple(int(n) for n in shape) for name, shape in plan["shapes"].items()}
    packed = {f"{name}.{part}" for name in shapes for part in (CODES, SCALES)}
    state = {name: value.float() for name, value in tensors.items() if name not in packed}
    for name, shape in shapes.items():
        try:
            parts = {part: tensors[f"{name}.{part}"] for part in (CODES, SCALES)}
        except KeyError as error:
            raise WeightsError(f"The packed weights lack {error}.") from error
        state[name] = unpack(parts, shape, bits=bits, group=group)
    return state


def _round(rows: Tensor, scales: Tensor, top: int) -> Tensor:
    return (rows / scales).round().clamp(-top, top)


def _codes(data: np.ndarray, count: int, bits: int) -> np.ndarray:
    """Takes packed bytes apart, eight codes (``bits`` bytes) at a time; big-endian as numpy packs."""
    padded = np.zeros(-(-len(data) // bits) * bits, np.uint8)
    padded[: len(data)] = data
    blocks = padded.reshape(-1, bits)
    joined = np.zeros(len(blocks), np.uint64)
    for column in range(bits):
        joined = (joined << np.uint64(8)) | blocks[:, column]
    mask = np.uint64(2**bits - 1)
    codes = np.empty((len(blocks), 8), np.uint8)
    for place in range(8):
        codes[:, place] = (joined >> np.uint64(bits * (7 - place))) & mask
    return codes.ravel()[:count]
