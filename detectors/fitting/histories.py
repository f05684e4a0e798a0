"""Post-processing that both classes pass through alike before a detector is trained or measured.

Format, size and compression history must not tell the classes apart, or a detector learns them
instead of the images. A *history* is a short list of steps drawn at random; the same distribution
is used for real and synthetic images, and a pair (an image and its reconstruction) shares one draw.

>>> import numpy as np
>>> from countermark.core.seeds import rng
>>> picture = np.full((300, 400, 3), 90, np.uint8)
>>> random_history(picture, rng(1)).dtype
dtype('uint8')
"""

from __future__ import annotations

import cv2
import numpy as np

from countermark.core.images import Pixels
from countermark.core.perturb import perturb

#: Everyday edits and the ranges of their values, None for those without one; ``sharpen`` is drawn as
#: often as all others together.
EDITS: dict[str, tuple[float, float] | None] = {
    "sharpen": (0.3, 2.0),
    "contrast": (0.7, 1.4),
    "brightness": (0.75, 1.3),
    "gamma": (0.7, 1.4),
    "noise": (2.0, 8.0),
    "blur": (0.4, 1.2),
    "median": (3, 3),
    "rotate": (-4.0, 4.0),
    "caption": None,
    "border": None,
}
KERNELS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


def random_crop(image: Pixels, generator: np.random.Generator, smallest: float = 0.3) -> Pixels:
    """A rectangle of ``smallest`` to all of the area with a slightly changed aspect ratio.

    Removes what a frame tells: square, multiples of 64, a camera's resolution.
    """
    height, width = image.shape[:2]
    share = float(generator.uniform(smallest, 1.0))
    aspect = float(np.exp(generator.uniform(-0.3, 0.3)))
    high = int(np.clip(round(height * np.sqrt(share) * aspect), 1, height))
    wide = int(np.clip(round(width * np.sqrt(share) / aspect), 1, width))
    top = int(generator.integers(height - high + 1))
    left = int(generator.integers(width - wide + 1))
    return np.ascontiguousarray(image[top : top + high, left : left + wide])


def random_rescale(
    image: Pixels,
    generator: np.random.Generator,
    low: float = 0.4,
    high: float = 1.3,
    smallest: int = 160,
) -> Pixels:
    """Rescales by a log-uniform factor with a random kernel; never below ``smallest`` short side."""
    factor = float(np.exp(generator.uniform(np.log(low), np.log(high))))
    kernel = KERNELS[int(generator.integers(len(KERNELS)))]
    short = min(image.shape[:2])
    factor = max(factor, min(1.0, smallest / short))
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return cv2.resize(image, size, interpolation=kernel)


def random_compression(image: Pixels, generator: np.random.Generator, rounds: int) -> Pixels:
    """``rounds`` of JPEG (four of five) or WebP at a quality of 40-98."""
    for _ in range(rounds):
        codec = "webp" if generator.random() < 0.2 else "jpeg"
        image = perturb(f"{codec}:{int(generator.integers(40, 99))}", image, generator)
    return image


def random_history(image: Pixels, generator: np.random.Generator, *, crop: bool = True) -> Pixels:
    """One draw of what may happen to an image on its way: crop, rescale, 0-2 rounds of a codec."""
    if crop:
        image = random_crop(image, generator)
    if generator.random() < 0.6:
        image = random_rescale(image, generator)
    image = random_compression(image, generator, int(generator.choice([0, 1, 2], p=[0.15, 0.55, 0.3])))
    if generator.random() < 0.5:
        image = np.ascontiguousarray(image[:, ::-1])
    return image


def random_edits(image: Pixels, generator: np.random.Generator) -> Pixels:
    """A crop with one or two everyday edits, as somebody makes who improves a picture, or hides one."""
    image = random_crop(image, generator)
    names = list(EDITS)
    others = 0.5 / (len(names) - 1)
    for _ in range(int(generator.integers(1, 3))):
        name = str(generator.choice(names, p=[0.5] + [others] * (len(names) - 1)))
        between = EDITS[name]
        value = f":{generator.uniform(*between):.2f}" if between else ""
        image = perturb(name + value, image, generator)
    return image
