"""A network's tensors as they are stored: in half precision, or large ones in eight bits.

>>> weight = torch.linspace(-1, 1, 8192).reshape(64, 128)
>>> kept = packed({"weight": weight})
>>> kept["weight"].dtype, float((restored(kept)["weight"] - weight).abs().max()) < 0.005
(torch.int8, True)

Each output channel has a scale of its own, beside the tensor under ``NAME:scale``; what is restored is
float32. Half the size, and pictures that differ by half a level of 255 on the average.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from countermark.core.errors import WeightsError

#: Tensors with fewer numbers stay in half precision.
LEAST = 4096
_SCALE = ":scale"


def stored(network: nn.Module) -> dict[str, Tensor]:
    """The network's tensors for storage, floating-point ones as float16."""
    return {name: _halved(value) for name, value in network.state_dict().items()}


def packed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with every large one of two or more axes as int8, and its scales as float16 [first axis]."""
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if not value.is_floating_point() or value.dim() < 2 or value.numel() < LEAST:
            found[name] = _halved(value)
            continue
        rows = value.float().flatten(1)
        scale = (rows.abs().amax(dim=1) / 127).clamp(min=1e-6).half()
        found[name] = (rows / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8).view_as(value)
        found[name + _SCALE] = scale
    return found


def restored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What ``stored`` or ``packed`` made, floating-point tensors as float32.

    Raises:
        WeightsError: ``weights.family``: a scale does not fit its tensor.
    """
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if name.endswith(_SCALE):
            continue
        scale = tensors.get(name + _SCALE)
        if scale is None:
            found[name] = value.float() if value.is_floating_point() else value
            continue
        if value.dtype != torch.int8 or scale.shape != value.shape[:1]:
            raise WeightsError(f"The scales of {name} do not fit it.", code="weights.family")
        found[name] = (value.float().flatten(1) * scale.float()[:, None]).view_as(value)
    return found


def _halved(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() else value
