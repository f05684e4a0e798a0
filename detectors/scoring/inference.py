"""Networks prepared for scoring: batch norms folded into convolutions, channels last.

The same numbers up to rounding (about 1e-5 of a logit) at well over twice the speed on a CPU.

>>> import torch
>>> from torch import nn
>>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
>>> x = torch.rand(1, 3, 8, 8)
>>> bool(torch.allclose(network(x), for_scoring(network)(x), atol=1e-5))
True
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def for_scoring(network: nn.Module) -> nn.Module:
    """A copy for inference only: evaluation mode, folded batch norms, no gradients, channels last."""
    found = copy.deepcopy(network).eval().requires_grad_(False)
    fold_batch_norms(found)
    return found.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def fold_batch_norms(module: nn.Module) -> int:
    """Folds every batch norm that directly follows a convolution in the same container; counts them.

    timm's ``BatchNormAct2d`` keeps its activation. Containers whose children do not run in the order
    in which they were registered would be changed by this; none of the shipped families has one.
    """
    folded = 0
    before: tuple[str, nn.Conv2d] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and before is not None:
            last, convolution = before
            if convolution.out_channels == child.num_features and child.track_running_stats:
                setattr(module, last, fuse_conv_bn_eval(convolution, child))
                activation = getattr(child, "act", None)
                setattr(module, name, activation if isinstance(activation, nn.Module) else nn.Identity())
                folded += 1
            before = None
        elif isinstance(child, nn.Conv2d):
            before = (name, child)
        else:
            folded += fold_batch_norms(child)
            before = None
    return folded


def best_dtype(device: torch.device | str = "cpu") -> torch.dtype:
    """bf16 where the CPU multiplies it in hardware, otherwise float32."""
    if torch.device(device).type != "cpu":
        return torch.float32
    capable = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    capable = capable or getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.bfloat16 if capable else torch.float32
