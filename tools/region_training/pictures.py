"""Pictures with a synthetic part, composed anew each time: everything outside the part keeps its pixels.

``Composer.draw`` gives a picture and, for every pixel, the share of it that was exchanged. Untouched pictures
go through the same later history: changed tones, a new size, one JPEG or two, text and frames laid over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from countermark.core.images import Pixels
from countermark.core.perturb import perturb
from region_training.masks import draw_mask


@dataclass(frozen=True)
class Cutting:
    """A photograph and the synthetic copies of it by maker, all uint8 of one size."""

    source: str
    photo: Pixels
    copies: dict[str, Pixels] = field(default_factory=dict)


def load_cuttings(folder: Path) -> list[Cutting]:
    """What ``region_training.pairs`` has cut out."""
    found = []
    for place in sorted(folder.iterdir()):
        if not (place / "done").exists():
            continue
        pictures = {path.stem: _read(path) for path in sorted(place.glob("*.png"))}
        photo = pictures.pop("photo")
        found.append(Cutting(place.name.rsplit("-", 1)[0], photo, pictures))
    return found


def _read(path: Path) -> Pixels:
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


@dataclass(frozen=True)
class Composer:
    """Draws pictures.

    Args:
        cuttings: Photographs and their copies.
        pieces: Generated pictures, parts of which are put into photographs.
        side: Side of what is drawn, a multiple of 8.
        untouched: Share of pictures in which nothing is exchanged.
    """

    cuttings: Sequence[Cutting]
    pieces: Sequence[Pixels]
    side: int = 256
    untouched: float = 0.35

    def draw(self, generator: np.random.Generator) -> tuple[Pixels, np.ndarray]:
        """uint8 RGB [side, side, 3] and float32 [side, side] in [0, 1]."""
        cutting = self.cuttings[int(generator.integers(len(self.cuttings)))]
        box = self._box(cutting.photo, generator)
        photo = cutting.photo[box]
        mask = np.zeros(photo.shape[:2], np.float32)
        picture = photo
        if generator.random() >= self.untouched:
            mask = draw_mask(photo, generator)
            other = self._other(cutting, box, mask, generator)
            mask = mask * float(generator.choice([1.0, generator.uniform(0.85, 1)]))
            picture = blend(photo, other, mask)
        if generator.random() < 0.15:
            picture, mask = overlay(picture, mask, generator)
        return later(picture, mask, generator)

    def pair(
        self, generator: np.random.Generator, overlaid: float = 0.12
    ) -> tuple[tuple[Pixels, np.ndarray], tuple[Pixels, np.ndarray]]:
        """A picture with an exchanged part, and the same without it, through one later history.

        Each as ``draw`` gives it; the share of nothing is zero. Text and frames lie on so many of them.
        """
        cutting = self.cuttings[int(generator.integers(len(self.cuttings)))]
        box = self._box(cutting.photo, generator)
        photo = cutting.photo[box]
        mask = draw_mask(photo, generator)
        other = self._other(cutting, box, mask, generator)
        mask = mask * float(generator.choice([1.0, generator.uniform(0.85, 1)]))
        edited, over = blend(photo, other, mask), generator.random() < overlaid
        seed = int(generator.integers(2**31))

        def delivered(picture: Pixels, share: np.ndarray) -> tuple[Pixels, np.ndarray]:
            history = np.random.default_rng(seed)
            if over:
                picture, share = overlay(picture, share, history)
            return later(picture, share, history)

        untouched = np.ascontiguousarray(photo), np.zeros_like(mask)
        return delivered(edited, mask), delivered(*untouched)

    def exchanged(self, place: int, generator: np.random.Generator) -> tuple[Pixels, np.ndarray]:
        """A crop of one cutting with an exchanged part, as it is, and the mask."""
        cutting = self.cuttings[place]
        box = self._box(cutting.photo, generator)
        photo = cutting.photo[box]
        mask = draw_mask(photo, generator)
        return blend(photo, self._other(cutting, box, mask, generator), mask), mask

    def _box(self, photo: Pixels, generator: np.random.Generator) -> tuple[slice, slice]:
        top, left = (int(generator.integers((n - self.side) // 8 + 1)) * 8 for n in photo.shape[:2])
        return slice(top, top + self.side), slice(left, left + self.side)

    def _other(
        self,
        cutting: Cutting,
        box: tuple[slice, slice],
        mask: np.ndarray,
        generator: np.random.Generator,
    ) -> Pixels:
        """What comes in: a copy of the same place, a generated piece, another photograph, or a filling."""
        photo = cutting.photo[box]
        kind = float(generator.random())
        if kind < 0.12 and mask.mean() < 0.15:
            return filled(photo, mask, generator)
        if kind < 0.6 and cutting.copies:
            names = sorted(cutting.copies)
            return cutting.copies[names[int(generator.integers(len(names)))]][box]
        if kind < 0.82 and self.pieces:
            piece = self.pieces[int(generator.integers(len(self.pieces)))]
        else:
            piece = self.cuttings[int(generator.integers(len(self.cuttings)))].photo
        return fitted(piece, photo, mask, generator)


def blend(photo: Pixels, other: Pixels, mask: np.ndarray) -> Pixels:
    """``other`` where the mask is 1, ``photo`` where it is 0: there not a single value changes."""
    mixed = photo + mask[..., None] * (other.astype(np.float32) - photo)
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def filled(photo: Pixels, mask: np.ndarray, generator: np.random.Generator) -> Pixels:
    """Classical inpainting, now and then with noise on it."""
    hole = (mask > 0.02).astype(np.uint8)
    way = cv2.INPAINT_TELEA if generator.random() < 0.5 else cv2.INPAINT_NS
    found = cv2.inpaint(photo, hole, float(generator.integers(2, 6)), way)
    if generator.random() < 0.5:
        found = perturb(f"noise:{generator.uniform(1, 6)}", found, generator)
    return found


def fitted(piece: Pixels, photo: Pixels, mask: np.ndarray, generator: np.random.Generator) -> Pixels:
    """Another picture in the size of ``photo``: scaled, turned, and often near it in colour."""
    high, wide = photo.shape[:2]
    least = max(high / piece.shape[0], wide / piece.shape[1])
    if least > 1 or generator.random() < 0.5:
        factor = max(least, float(generator.uniform(0.5, 1.4)))
        piece = perturb(f"resize:{factor * 1.01}", piece)
    if generator.random() < 0.3:
        piece = perturb(f"rotate:{generator.uniform(-25, 25)}", piece)
    if generator.random() < 0.5:
        piece = piece[:, ::-1]
    top, left = (
        int(generator.integers(piece.shape[0] - high + 1)),
        int(generator.integers(piece.shape[1] - wide + 1)),
    )
    piece = piece[top : top + high, left : left + wide]
    if generator.random() < 0.6:
        inside = mask > 0.5
        if inside.sum() > 64:
            gap = photo[inside].mean(axis=0) - piece[inside].mean(axis=0)
            piece = np.clip(piece + gap, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(piece)


def overlay(picture: Pixels, mask: np.ndarray, generator: np.random.Generator) -> tuple[Pixels, np.ndarray]:
    """Text, a plain bar or a border: usual on pictures, and no synthetic part."""
    picture, mask = picture.copy(), mask.copy()
    high, wide = picture.shape[:2]
    kind = int(generator.integers(3))
    colour = tuple(int(c) for c in generator.choice([0, 16, 128, 235, 255], 3))
    if kind == 0:
        before = picture.copy()
        text = "".join(chr(int(c)) for c in generator.integers(65, 123, int(generator.integers(4, 16))))
        place = (int(generator.integers(wide // 2)), int(generator.integers(20, high)))
        font, size = int(generator.integers(0, 5)), float(generator.uniform(0.4, 2.0))
        thick = int(generator.integers(1, 4))
        cv2.putText(picture, text, place, font, size, colour, thick, cv2.LINE_AA)
        mask[np.any(picture != before, axis=2)] = 0
    elif kind == 1:
        top, tall = int(generator.integers(high)), int(generator.integers(8, high // 3))
        picture[top : top + tall], mask[top : top + tall] = colour, 0
    else:
        width = int(generator.integers(4, 24))
        for edge in (np.s_[:width], np.s_[-width:], np.s_[:, :width], np.s_[:, -width:]):
            picture[edge], mask[edge] = colour, 0
    return picture, mask


def later(picture: Pixels, mask: np.ndarray, generator: np.random.Generator) -> tuple[Pixels, np.ndarray]:
    """What happens to a picture after it was made, whether or not something was exchanged in it."""
    side = picture.shape[0]
    if generator.random() < 0.2:
        names = ("brightness:{:.2f}", "contrast:{:.2f}", "gamma:{:.2f}", "sharpen:{:.2f}")
        spec = names[int(generator.integers(4))].format(float(generator.uniform(0.6, 1.5)))
        picture = perturb(spec, picture)
    if generator.random() < 0.12:
        size = max(side // 2, round(side * float(generator.uniform(0.6, 1.25))) // 8 * 8)
        way = cv2.INTER_AREA if size < side else cv2.INTER_CUBIC
        picture = cv2.resize(picture, (size, size), interpolation=way)
        mask = cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)
        if size < side:  # kept at one size by repeating the picture in a mirror
            edge = (0, side - size, 0, side - size, cv2.BORDER_REFLECT)
            picture, mask = cv2.copyMakeBorder(picture, *edge), cv2.copyMakeBorder(mask, *edge)
        picture, mask = np.ascontiguousarray(picture[:side, :side]), mask[:side, :side]
    times = int(generator.choice([0, 1, 2], p=[0.36, 0.54, 0.1]))
    for _ in range(times):
        picture = perturb(f"jpeg:{int(generator.integers(65, 99))}", picture)
    return picture, mask
