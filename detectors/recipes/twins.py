"""Twins: synthetic copies of real pictures with the same content, so that only pixels differ.

A detector fitted on unrelated photographs and fakes learns content. A twin is the photograph after
a generator's decoder: through a small autoencoder that the user gives, or through a simulated
upsampler when there is none. Blending with the original (alpha 0.5-1) weakens the trace; a masked
blend is an inpainted picture whose mask is known. Sources: DDA (2025) for aligned reconstructions;
``docs/detectors.md`` for what they did here.

>>> import numpy as np
>>> from countermark.core.seeds import rng
>>> photograph = np.random.default_rng(0).integers(0, 256, (96, 128, 3)).astype(np.uint8)
>>> twin, mask = make_twin(photograph, rng(1), simulate_upsampler, masked=1.0)
>>> twin.shape, bool(0 < mask.mean() < 1)
((96, 128, 3), True)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional

from countermark.core.autoencoder import DOWN, build_decoder, build_encoder
from countermark.core.errors import WeightsError
from countermark.core.images import Pixels
from countermark.core.seeds import derive

Reconstruct = Callable[[Pixels, np.random.Generator], Pixels]


def make_twin(
    picture: Pixels,
    generator: np.random.Generator,
    reconstruct: Reconstruct,
    *,
    alpha: tuple[float, float] = (0.5, 1.0),
    masked: float = 0.3,
) -> tuple[Pixels, np.ndarray]:
    """A synthetic twin and the share of every pixel that is synthetic.

    Args:
        picture: uint8 RGB, H x W x 3, both sides multiples of 8 (see ``cut_to_multiple``).
        reconstruct: From ``load_autoencoder``, or ``simulate_upsampler``.
        alpha: Range of the twin's share in the blend.
        masked: Probability that only a region is replaced.

    Returns:
        uint8 RGB of the same shape, and float32 H x W in [0, 1].
    """
    copy = reconstruct(picture, generator).astype(np.float32)
    share: np.ndarray = np.full(picture.shape[:2], generator.uniform(*alpha), np.float32)
    if generator.random() < masked:
        share = region(picture.shape[0], picture.shape[1], generator) * float(generator.uniform(0.8, 1.0))
    blend = picture + share[..., None] * (copy - picture)
    return np.clip(blend + 0.5, 0, 255).astype(np.uint8), share


def region(height: int, width: int, generator: np.random.Generator) -> np.ndarray:
    """A soft blob over 15-60 % of the picture: smoothed noise above a quantile; float32 in [0, 1]."""
    coarse = generator.normal(size=(int(generator.integers(3, 7)), int(generator.integers(3, 7))))
    field = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    mask = (field > np.quantile(field, 1 - generator.uniform(0.15, 0.6))).astype(np.float32)
    return cv2.GaussianBlur(mask, (0, 0), max(1.0, min(height, width) / 100))


def cut_to_multiple(picture: Pixels, multiple: int = DOWN) -> Pixels:
    """Cuts right and bottom so that both sides are multiples of ``multiple`` (at least one of them)."""
    height, width = (max(multiple, n - n % multiple) for n in picture.shape[:2])
    return np.ascontiguousarray(picture[:height, :width])


def simulate_upsampler(picture: Pixels, generator: np.random.Generator) -> Pixels:
    """What a decoder's last layers leave: halved, then upsampled by random means and small filters.

    Nearest, bilinear, pixel shuffle or transposed convolution, each followed by a random 3x3 filter
    near the identity; the low frequencies stay those of the picture. No weights are needed.
    """
    x = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255
    height, width = x.shape[-2:]
    steps = int(generator.integers(1, 3))
    draw = torch.Generator().manual_seed(derive(int(generator.integers(2**31)), "filters"))
    small = functional.interpolate(x, scale_factor=0.5**steps, mode="area")
    for _ in range(steps):
        kind = int(generator.integers(4))
        if kind < 2:
            small = functional.interpolate(small, scale_factor=2, mode=("nearest", "bilinear")[kind])
        elif kind == 2:
            jitter = 1 + 0.06 * torch.randn(3, 4, 1, 1, generator=draw)
            small = functional.pixel_shuffle((small[:, :, None] * jitter).flatten(1, 2), 2)
        else:
            weight = torch.full((3, 1, 4, 4), 1 / 4) * (1 + 0.1 * torch.randn(3, 1, 4, 4, generator=draw))
            small = functional.conv_transpose2d(small, weight, stride=2, padding=1, groups=3)
        filters = torch.randn(3, 1, 3, 3, generator=draw) * 0.04
        filters[:, :, 1, 1] += 1 - filters.sum(dim=(2, 3))
        small = functional.conv2d(functional.pad(small, (1, 1, 1, 1), mode="replicate"), filters, groups=3)
    copy = functional.interpolate(small, size=(height, width), mode="bilinear")
    pixels = copy[0].clamp(0, 1).permute(1, 2, 0).numpy() * 255
    return (pixels + 0.5).astype(np.uint8)


def load_autoencoder(path: Path | str) -> Reconstruct:
    """A tiny autoencoder (structure of TAEF2, MIT, madebyollin/taesd) as a maker of twins.

    Args:
        path: A ``.safetensors`` whose names begin with ``encoder.`` and ``decoder.``: 8x down, 32
            latent channels, width 64; input RGB in [0, 1].

    Raises:
        WeightsError: not such a file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(str(path))
        parts = []
        for name, network in (("encoder.", build_encoder()), ("decoder.", build_decoder())):
            own = {k.removeprefix(name): v.float() for k, v in tensors.items() if k.startswith(name)}
            network.load_state_dict(own)
            parts.append(network.eval().requires_grad_(False).to(memory_format=torch.channels_last))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise WeightsError(f"{path} is not a tiny autoencoder: {error}") from error
    encoder, decoder = parts

    def reconstruct(picture: Pixels, generator: np.random.Generator) -> Pixels:
        from countermark.detectors.scoring.inference import best_dtype

        dtype = best_dtype()
        x = torch.from_numpy(cut_to_multiple(picture)).permute(2, 0, 1)[None].to(dtype) / 255
        with torch.inference_mode():
            found = decoder.to(dtype)(encoder.to(dtype)(x)).float().clamp(0, 1)
        return (found[0].permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8)

    return reconstruct
