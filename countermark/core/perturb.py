"""The one list of perturbations: augmentation, stress, audits and benchmarks all use it.

A perturbation is written ``name`` or ``name:value`` and several are joined by ``+``:

>>> import numpy as np
>>> picture = np.zeros((100, 200, 3), np.uint8)
>>> perturb("resize:0.5+jpeg:75", picture).shape
(50, 100, 3)

All take and return uint8 RGB, H x W x 3. Geometry changes the size; nothing is scaled back.
Random ones (``noise``, ``crop``) draw from the generator that is handed in.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from countermark.core.errors import ConfigError
from countermark.core.images import Pixels, encode_image
from countermark.core.registry import Registry

Apply = Callable[[Pixels, float, np.random.Generator], Pixels]


@dataclass(frozen=True)
class Perturbation:
    """A named change to an image. ``value`` is its default; ``meaning`` says what the value is."""

    name: str
    value: float
    meaning: str
    apply: Apply


PERTURBATIONS: Registry[Perturbation] = Registry("perturbation")

#: How images reach us. Every figure of a detector is given under all four.
DELIVERIES: dict[str, str] = {
    "native": "none",
    "q96": "jpeg:96",
    "320q90": "shortside:320+jpeg:90",
    "q75": "jpeg:75",
}


def perturb(spec: str, pixels: Pixels, rng: np.random.Generator | None = None) -> Pixels:
    """Applies ``spec`` (see the module's docstring) to an image.

    Raises:
        UnknownNameError: names the known perturbations.
        ConfigError: a value that is not a number.
    """
    generator = rng if rng is not None else np.random.default_rng(0)
    for entry, value in parse(spec):
        pixels = entry.apply(pixels, value, generator)
    return np.ascontiguousarray(pixels)


def parse(spec: str) -> list[tuple[Perturbation, float]]:
    """Splits a spec into perturbations and values."""
    steps = []
    for part in spec.split("+"):
        name, _, text = part.strip().partition(":")
        entry = PERTURBATIONS.get(name)
        try:
            value = float(text) if text else entry.value
        except ValueError as error:
            raise ConfigError(f"{text!r} is not a number in the perturbation {part!r}.") from error
        if not np.isfinite(value):
            raise ConfigError(f"{text!r} is not a finite number in the perturbation {part!r}.")
        steps.append((entry, value))
    return steps


def _add(name: str, value: float, meaning: str) -> Callable[[Apply], Apply]:
    def register(apply: Apply) -> Apply:
        PERTURBATIONS.register(name, Perturbation(name, value, meaning, apply))
        return apply

    return register


@_add("none", 0, "unused")
def _none(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    return pixels


def _recode(pixels: Pixels, format: str, value: float) -> Pixels:
    quality = int(np.clip(value, 1, 100))
    with Image.open(io.BytesIO(encode_image(pixels, format, quality=quality))) as image:
        return np.array(image.convert("RGB"))


@_add("jpeg", 75, "quality 1-100")
def _jpeg(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    return _recode(pixels, "jpeg", value)


@_add("webp", 75, "quality 1-100")
def _webp(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    return _recode(pixels, "webp", value)


def resize_to(pixels: Pixels, width: int, height: int) -> Pixels:
    """Resizes with area averaging when shrinking and bicubic when growing."""
    shrinks = width * height < pixels.shape[0] * pixels.shape[1]
    size = (max(1, width), max(1, height))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


@_add("resize", 0.5, "factor")
def _resize(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    factor = float(np.clip(value, 0.01, 8))
    return resize_to(pixels, round(pixels.shape[1] * factor), round(pixels.shape[0] * factor))


@_add("shortside", 320, "pixels of the shorter side; smaller images stay as they are")
def _shortside(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    factor = value / min(pixels.shape[:2])
    return pixels if factor >= 1 else _resize(pixels, factor, rng)


@_add("roundtrip", 0.5, "factor of a resize that is undone")
def _roundtrip(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    return resize_to(_resize(pixels, value, rng), pixels.shape[1], pixels.shape[0])


@_add("stretch", 1.05, "horizontal factor")
def _stretch(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    factor = float(np.clip(value, 0.25, 4))
    return resize_to(pixels, round(pixels.shape[1] * factor), pixels.shape[0])


@_add("crop", 0.75, "share of the area that is kept, at a random place, same aspect")
def _crop(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    side = float(np.sqrt(np.clip(value, 0.001, 1)))
    height, width = (max(1, round(n * side)) for n in pixels.shape[:2])
    top = int(rng.integers(pixels.shape[0] - height + 1))
    left = int(rng.integers(pixels.shape[1] - width + 1))
    return pixels[top : top + height, left : left + width]


@_add("centercrop", 512, "largest side that is kept, from the middle")
def _centercrop(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    height, width = (min(n, max(1, int(value))) for n in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


@_add("rotate", 5, "degrees counter-clockwise; corners filled by reflection")
def _rotate(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    turns, rest = divmod(value, 90)
    if rest == 0:
        return np.rot90(pixels, int(turns) % 4)
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), value, 1)
    # Reflecting about the edge of a single row never ends in OpenCV.
    border = cv2.BORDER_REFLECT_101 if min(height, width) > 1 else cv2.BORDER_REPLICATE
    return cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=border)


@_add("flip", 0, "unused; left and right change places")
def _flip(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    return pixels[:, ::-1]


@_add("noise", 10, "standard deviation in grey levels")
def _noise(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(value)
    noisy: Pixels = np.clip(pixels + noise + 0.5, 0, 255).astype(np.uint8)
    return noisy


@_add("blur", 2, "sigma in pixels")
def _blur(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    return cv2.GaussianBlur(pixels, (0, 0), float(np.clip(value, 0.05, 50)))


@_add("median", 3, "odd window in pixels")
def _median(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    return cv2.medianBlur(np.ascontiguousarray(pixels), int(np.clip(value, 1, 31)) | 1)


@_add("sharpen", 1, "amount of unsharp masking, sigma 1.5")
def _sharpen(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    soft = cv2.GaussianBlur(pixels, (0, 0), 1.5)
    return cv2.addWeighted(pixels, 1 + value, soft, -value, 0)


def _table(pixels: Pixels, curve: Callable[[np.ndarray], np.ndarray]) -> Pixels:
    levels = curve(np.arange(256, dtype=np.float64))
    return cv2.LUT(pixels, np.clip(levels + 0.5, 0, 255).astype(np.uint8))


@_add("brightness", 1.2, "factor")
def _brightness(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    return _table(pixels, lambda x: x * value)


@_add("contrast", 1.3, "factor around middle grey")
def _contrast(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    return _table(pixels, lambda x: (x - 127.5) * value + 127.5)


@_add("gamma", 1.3, "exponent")
def _gamma(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    return _table(pixels, lambda x: 255 * (x / 255) ** max(value, 0.01))


@_add("screenshot", 0.7, "scale at which it is shown before it is saved as JPEG 80")
def _screenshot(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    return _jpeg(_resize(pixels, value, rng), 80, rng)


@_add("border", 0.05, "width of a white border as a share of the shorter side")
def _border(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    width = max(1, round(min(pixels.shape[:2]) * float(np.clip(value, 0, 2))))
    return cv2.copyMakeBorder(pixels, width, width, width, width, cv2.BORDER_CONSTANT, value=(255, 255, 255))


@_add("caption", 0.1, "share of the height, at the bottom, covered by a caption bar")
def _caption(pixels: Pixels, value: float, rng: np.random.Generator) -> Pixels:
    result = np.array(pixels)
    bar = max(1, round(pixels.shape[0] * float(np.clip(value, 0, 1))))
    result[-bar:] = 16
    scale = bar / 40
    place = (max(1, bar // 4), pixels.shape[0] - bar // 3)
    cv2.putText(
        result,
        "caption text",
        place,
        cv2.FONT_HERSHEY_SIMPLEX,
        scale,
        (235, 235, 235),
        max(1, round(scale * 2)),
        cv2.LINE_AA,
    )
    return result
