"""Views: the square crops of an image that a detector looks at.

A detector never sees the whole file at one scale. The *whole* view shows the composition, the
*middle* crops show detail at the scale at which the web passes images on (short side 320), and the
*native* crops show pixels as they came. Crops are placed where there is most texture, because flat
areas carry no trace of how they were made.

>>> import numpy as np
>>> picture = np.zeros((600, 900, 3), np.uint8)
>>> [v.shape for v in make_views(picture, ViewPlan(whole=1, middle=1, native=1))]
[(224, 224, 3), (224, 224, 3), (224, 224, 3)]
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from countermark.core.decoding import REDUCED_SIDE
from countermark.core.errors import ImageError
from countermark.core.images import Pixels
from countermark.core.threads import worker_threads

SIDE = 224
MIDDLE = 320
#: Larger images are reduced to this short side first: bounds the cost of a 100-megapixel scan.
LARGEST_SHORT_SIDE = REDUCED_SIDE
#: Panoramas beyond this aspect ratio are cut to their middle for the whole view.
LARGEST_ASPECT = 3.0


@dataclass(frozen=True)
class ViewPlan:
    """How many views of each kind a detector takes, in this order."""

    whole: int = 1
    middle: int = 1
    native: int = 1

    @property
    def count(self) -> int:
        return self.whole + self.middle + self.native


def check_pixels(image: Pixels) -> Pixels:
    """Returns ``image`` if it is uint8 RGB H x W x 3 with at least one pixel.

    Raises:
        ImageError: ``image.not-rgb``.
    """
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
        or image.size == 0
    ):
        what = f"{image.dtype} array of shape {image.shape}" if isinstance(image, np.ndarray) else type(image)
        raise ImageError(
            f"A detector takes uint8 RGB arrays of shape H x W x 3, not a {what}.",
            code="image.not-rgb",
            hint="Read files with countermark.core.images.read_image(path).pixels.",
        )
    return image


def resize_short(image: Pixels, side: int) -> Pixels:
    """Scales so that the shorter side has ``side`` pixels: area when shrinking, bicubic when growing."""
    height, width = image.shape[:2]
    factor = side / min(height, width)
    size = (max(side, round(width * factor)), max(side, round(height * factor)))
    if size == (width, height):
        return image
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def crop_aspect(image: Pixels, largest: float = LARGEST_ASPECT) -> Pixels:
    """Cuts a strip-like image to its middle so that no side is over ``largest`` times the other."""
    height, width = image.shape[:2]
    high, wide = min(height, int(width * largest) + 1), min(width, int(height * largest) + 1)
    top, left = (height - high) // 2, (width - wide) // 2
    return image[top : top + high, left : left + wide]


def texture_crops(image: Pixels, count: int, side: int = SIDE) -> list[Pixels]:
    """The ``count`` crops of ``side`` pixels with most texture, overlapping by a half at most.

    Texture is the mean of the absolute Laplacian, capped so that a few hard edges (text, a frame)
    do not win over fine structure everywhere. Where there are fewer places than crops, the best
    are repeated. The image must be at least ``side`` pixels in both directions.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    energy = np.minimum(cv2.convertScaleAbs(cv2.Laplacian(grey, cv2.CV_16S)), np.uint8(24))
    sums = cv2.integral(energy)
    step = side // 4
    tops = _places(image.shape[0], side, step)
    lefts = _places(image.shape[1], side, step)
    rows, columns = np.meshgrid(tops, lefts, indexing="ij")
    rows, columns = rows.ravel(), columns.ravel()
    down, right = rows + side, columns + side
    totals = sums[down, right] - sums[rows, right] - sums[down, columns] + sums[rows, columns]
    chosen: list[tuple[int, int]] = []
    for i in np.argsort(-totals, kind="stable"):
        place = (int(rows[i]), int(columns[i]))
        if all(max(abs(place[0] - a), abs(place[1] - b)) >= side // 2 for a, b in chosen):
            chosen.append(place)
        if len(chosen) == count:
            break
    found = [image[a : a + side, b : b + side] for a, b in chosen]
    return [found[i % len(found)] for i in range(count)]


def views_of(images: Sequence[Pixels], plan: ViewPlan, side: int = SIDE) -> list[Pixels]:
    """The views of several images one after the other, made by ``worker_threads`` threads."""
    workers = min(len(images), worker_threads())
    if workers < 2:
        made = [make_views(image, plan, side) for image in images]
    else:
        with ThreadPoolExecutor(workers) as pool:
            made = list(pool.map(lambda image: make_views(image, plan, side), images))
    return [view for views in made for view in views]


def make_views(image: Pixels, plan: ViewPlan, side: int = SIDE) -> list[Pixels]:
    """The views of one image in the order whole, middle, native; each uint8 ``side`` x ``side`` x 3.

    Images smaller than a view are enlarged (bicubic) first.
    """
    image = check_pixels(image)
    if min(image.shape[:2]) > LARGEST_SHORT_SIDE:
        image = resize_short(image, LARGEST_SHORT_SIDE)
    short = min(image.shape[:2])
    views: list[Pixels] = []
    if plan.whole:
        small = resize_short(crop_aspect(image), side)
        views += [_centre(small, side)] * plan.whole
    if plan.middle:
        bound = crop_aspect(image)
        views += texture_crops(resize_short(bound, int(np.clip(short, side, MIDDLE))), plan.middle, side)
    if plan.native:
        views += texture_crops(resize_short(crop_aspect(image, 8), max(short, side)), plan.native, side)
    return views


def distinct(views: Sequence[Pixels], each: int) -> tuple[list[Pixels], np.ndarray]:
    """Views without repetitions inside a run of ``each`` (the views of one image), and where each went.

    At the scale of the web, the crops at short side 320 and at native resolution are the same pixels;
    a network needs to see them once. Returns the kept views and int [len(views)] places among them.
    """
    kept: list[Pixels] = []
    places = np.zeros(len(views), int)
    for start in range(0, len(views), each):
        first = len(kept)
        for index in range(start, min(start + each, len(views))):
            same = (p for p in range(first, len(kept)) if np.array_equal(kept[p], views[index]))
            places[index] = next(same, len(kept))
            if places[index] == len(kept):
                kept.append(views[index])
    return kept, places


def _centre(image: Pixels, side: int) -> Pixels:
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]


def _places(length: int, side: int, step: int) -> np.ndarray:
    last = length - side
    return np.unique(np.append(np.arange(0, last + 1, step), last))
