"""Makers of synthetic content: each turns a photograph into a copy that a network or a filter drew.

A maker takes uint8 RGB and gives uint8 RGB of the same size. Those in ``HELD_OUT`` are never trained on.
Super-resolvers in ncnn's format are looked for in a folder that the caller gives; without it the makers that
need no weights remain.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from countermark.core.images import Pixels
from countermark.detectors.recipes.twins import Reconstruct, simulate_upsampler

#: Files (without ``.param``/``.bin``), scale, pixels cut off at each border of the input, input and output.
NCNN = {
    "compact-x2": ("realesr-animevideov3-x2", 2, 0, "data", "output"),
    "compact-x4": ("realesr-animevideov3-x4", 4, 0, "data", "output"),
    "rrdb-x4": ("realesrgan-x4plus", 4, 0, "data", "output"),
    "upconv-x2": ("models-upconv_7_photo/scale2.0x_model", 2, 7, "Input1", "Eltwise4"),
    "upconv-denoise-x2": ("models-upconv_7_photo/noise1_scale2.0x_model", 2, 7, "Input1", "Eltwise4"),
    "cugan-x2": ("models-se/up2x-no-denoise", 2, 18, "in0", "out0"),
}
HELD_OUT = ("cugan-x2", "sharp-median")


def degraded(picture: Pixels, scale: int, generator: np.random.Generator) -> Pixels:
    """Reduced by ``scale``, by one of several filters."""
    high, wide = picture.shape[0] // scale, picture.shape[1] // scale
    way = (cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LINEAR)[int(generator.integers(3))]
    blurred = cv2.GaussianBlur(picture, (0, 0), 0.35 * scale) if way != cv2.INTER_AREA else picture
    return cv2.resize(blurred, (wide, high), interpolation=way)


def ncnn_maker(folder: Path, name: str) -> Reconstruct:
    """A super-resolver of ``NCNN``: the picture reduced and enlarged again by the network."""
    import ncnn

    stem, scale, border, source, result = NCNN[name]
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_vulkan_compute = False
    path = next(folder.rglob(f"{stem}.param"))
    net.load_param(str(path))
    net.load_model(str(path.with_suffix(".bin")))

    def make(picture: Pixels, generator: np.random.Generator) -> Pixels:
        small = degraded(picture, scale, generator)
        high, wide = small.shape[:2]
        padded = cv2.copyMakeBorder(small, border, border, border, border, cv2.BORDER_REFLECT_101)
        values = np.ascontiguousarray(padded.transpose(2, 0, 1), np.float32) / 255
        extractor = net.create_extractor()
        extractor.input(source, ncnn.Mat(values))
        code, out = extractor.extract(result)
        if code:
            raise RuntimeError(f"{name} failed: {code}")
        found = np.array(out).transpose(1, 2, 0) * 255
        found = np.clip(found + 0.5, 0, 255).astype(np.uint8)
        top, left = (found.shape[0] - high * scale) // 2, (found.shape[1] - wide * scale) // 2
        found = found[top : top + high * scale, left : left + wide * scale]
        return _fill(found, picture)

    return make


def _fill(found: Pixels, picture: Pixels) -> Pixels:
    """``found`` in the size of ``picture``: missing rows and columns are repeated."""
    high, wide = picture.shape[0] - found.shape[0], picture.shape[1] - found.shape[1]
    found = cv2.copyMakeBorder(found, 0, max(0, high), 0, max(0, wide), cv2.BORDER_REFLECT_101)
    return found[: picture.shape[0], : picture.shape[1]]


def own_superres(scale: int) -> Reconstruct:
    """The super-resolver that ships with the project."""
    from countermark.generators import load_generator
    from countermark.generators.superres.enlarge import enlarge

    network = load_generator("superres").network  # type: ignore[attr-defined]

    def make(picture: Pixels, generator: np.random.Generator) -> Pixels:
        return _fill(enlarge(network, degraded(picture, scale, generator), scale), picture)

    return make


def denoised(picture: Pixels, generator: np.random.Generator) -> Pixels:
    """Without its noise, as a retoucher's brush leaves it."""
    tone, space = float(generator.uniform(15, 60)), float(generator.uniform(2, 6))
    return cv2.bilateralFilter(picture, 9, tone, space)


def sharp_median(picture: Pixels, generator: np.random.Generator) -> Pixels:
    """Median and unsharp mask: held out, as a filter that nothing was trained on."""
    soft = cv2.medianBlur(picture, 5)
    return cv2.addWeighted(soft, 1.8, cv2.GaussianBlur(soft, (0, 0), 1.2), -0.8, 0)


def makers(folder: Path | None, autoencoder: Path | None) -> dict[str, Callable[[], Reconstruct]]:
    """Every maker by name; calling a value loads it."""
    found: dict[str, Callable[[], Reconstruct]] = {
        "upsampler": lambda: simulate_upsampler,
        "superres-x2": lambda: own_superres(2),
        "superres-x4": lambda: own_superres(4),
        "denoised": lambda: denoised,
        "sharp-median": lambda: sharp_median,
    }
    if autoencoder is not None:
        from countermark.detectors.recipes.twins import load_autoencoder

        found["autoencoder"] = lambda: load_autoencoder(autoencoder)
    if folder is not None:
        for name in NCNN:
            found[name] = lambda name=name: ncnn_maker(folder, name)  # type: ignore[misc]
    return found
